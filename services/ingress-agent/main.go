// Command ingress-agent runs a load balancer node: its Nginx and Keepalived.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"strings"

	"gantry.dev/pkg/serve"
	"gantry.dev/services/ingress-agent/internal/app"
)

func main() {
	if len(os.Args) > 1 && os.Args[1] == app.CheckCommand {
		os.Exit(check(os.Args[2:]))
	}
	serve.Main("ingress-agent", func(flags *flag.FlagSet) func(context.Context, serve.Common) error {
		var c app.Config
		var endpoints string
		flags.StringVar(&c.Gateway, "gateway", "main", "name of the gateway that this node belongs to")
		flags.StringVar(&c.Node, "node", "", "name of this node in the gateway")
		flags.StringVar(&endpoints, "etcd", "", "URLs of etcd, separated by commas")
		flags.StringVar(&c.StateDir, "state-dir", "/var/lib/gantry/ingress-agent", "directory of everything that the agent writes")
		flags.StringVar(&c.Nginx, "nginx", "nginx", "the Nginx program")
		flags.StringVar(&c.NginxModules, "nginx-modules", "/usr/lib/nginx/modules", "directory of Nginx's dynamic modules")
		flags.StringVar(&c.Keepalived, "keepalived", "keepalived", "the Keepalived program; empty: the VIP is somebody else's work")
		flags.StringVar(&c.Interface, "interface", "eth0", "network interface that carries the VIP")
		flags.IntVar(&c.HTTPPort, "http-port", 80, "port of HTTP on all addresses of the node")
		flags.IntVar(&c.HTTPSPort, "https-port", 443, "port of HTTPS, opened when a host needs it; 0: none")
		flags.StringVar(&c.GatewayKey, "gateway-key", "", "file of the key that opens the gateway's certificates; empty: hosts with TLS are not served")
		return func(ctx context.Context, common serve.Common) error {
			c.Common, c.Etcd = common, strings.Split(endpoints, ",")
			return app.Run(ctx, c)
		}
	})
}

// check is run by Keepalived: 0 when the local Nginx serves.
func check(args []string) int {
	flags := flag.NewFlagSet(app.CheckCommand, flag.ContinueOnError)
	stateDir := flags.String("state-dir", "", "state directory of the agent")
	if err := flags.Parse(args); err != nil {
		return 2
	}
	if err := app.Check(context.Background(), *stateDir); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}
