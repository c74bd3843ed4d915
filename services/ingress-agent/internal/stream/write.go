package stream

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"

	"gantry.dev/services/ingress-agent/internal/conftext"
)

// Env is what the files need to know about the node; paths are absolute.
type Env struct {
	// Directory of everything that belongs to this Nginx.
	StateDir string
	// Directory of Nginx's dynamic modules.
	ModulesDir string
	// User of the workers; empty: that of the agent.
	WorkerUser string
}

// Paths below Env.StateDir that the files name and the agent uses.
const (
	controlSocket = "run/control.sock"
	pidFile       = "run/nginx.pid"
	errorLog      = "log/nginx.error.log"
)

// Names of a generation's files.
const (
	mainConf  = "nginx.conf"
	routesDir = "streams"
)

// Variables that the files carry for the reader.
const (
	gatewayVar  = "$gantry_gateway"
	layoutVar   = "$gantry_layout"
	routeVar    = "$gantry_route"
	upstreamVar = "$gantry_upstream"
)

// files renders the model: nginx.conf and a file per route. layout is the
// identity of their content; Nginx tells it when asked what it serves.
func files(m Model, env Env) (all map[string][]byte, layout string, err error) {
	all = map[string][]byte{}
	for _, r := range m.Routes {
		text, err := conftext.WriteNginx([]conftext.Node{upstreamOf(r), serverOf(r)})
		if err != nil {
			return nil, "", fmt.Errorf("%s: %w", r.Name, err)
		}
		all[routeFile(r.Name)] = text
	}
	text, err := conftext.WriteNginx(mainOf(m, env, "-"))
	if err != nil {
		return nil, "", fmt.Errorf("%s: %w", mainConf, err)
	}
	all[mainConf] = text
	layout = layoutOf(all)
	all[mainConf], err = conftext.WriteNginx(mainOf(m, env, layout))
	return all, layout, err
}

func layoutOf(files map[string][]byte) string {
	hash := sha256.New()
	for _, name := range slices.Sorted(maps.Keys(files)) {
		fmt.Fprintf(hash, "%s %d\n%s", name, len(files[name]), files[name])
	}
	return hex.EncodeToString(hash.Sum(nil))[:16]
}

// blockName names a route's upstream and file: "shop.db".
func blockName(route string) string {
	parts := strings.Split(route, "/")
	return parts[1] + "." + parts[3]
}

func routeFile(route string) string { return path.Join(routesDir, blockName(route)+".conf") }

func mainOf(m Model, env Env, layout string) []conftext.Node {
	main := []conftext.Node{
		conftext.Line("daemon", "on"),
		conftext.Line("pid", path.Join(env.StateDir, pidFile)),
		conftext.Line("error_log", path.Join(env.StateDir, errorLog), "warn"),
		conftext.Line("load_module", path.Join(env.ModulesDir, "ngx_stream_module.so")),
		// Never changed by a reload: the number of listeners would change.
		conftext.Line("worker_processes", "auto"),
		conftext.Line("worker_rlimit_nofile", "65536"),
		// No worker_shutdown_timeout: it would cut established connections.
	}
	if env.WorkerUser != "" {
		main = append(main, conftext.Line("user", env.WorkerUser, "nogroup"))
	}
	return append(main,
		conftext.BlockOf("events", nil, conftext.Line("worker_connections", "32768")),
		conftext.BlockOf("stream", nil,
			conftext.Line("proxy_connect_timeout", "500ms"),
			// A pod that does not take the connection costs the client nothing.
			conftext.Line("proxy_next_upstream", "on"),
			conftext.Line("proxy_next_upstream_timeout", "10s"),
			conftext.Line("proxy_half_close", "on"),
			conftext.Line("proxy_socket_keepalive", "on"),
			conftext.BlockOf("server", nil,
				conftext.Line("listen", "unix:"+path.Join(env.StateDir, controlSocket)),
				conftext.LineOf("set", conftext.Expr(gatewayVar), conftext.Text(m.Gateway)),
				conftext.LineOf("set", conftext.Expr(layoutVar), conftext.Text(layout)),
				conftext.LineOf("return", conftext.Expr(layoutVar)),
			),
			conftext.Line("include", routesDir+"/*.conf"),
		),
	)
}

func upstreamOf(r Route) conftext.Node {
	name := blockName(r.Name)
	// The workers share what they know of the pods.
	lines := []conftext.Node{conftext.Line("zone", name, "256k")}
	if r.Listen.UDP {
		// A client's datagrams stay with one pod over reloads.
		lines = append(lines, conftext.LineOf("hash", conftext.Expr("$remote_addr:$remote_port"), conftext.Text("consistent")))
	}
	for _, s := range r.Servers {
		args := []string{s.Address, "weight=" + strconv.Itoa(s.Weight), "max_fails=1", "fail_timeout=5s"}
		if s.Last {
			args = append(args, "backup")
		}
		lines = append(lines, conftext.Line("server", args...))
	}
	if len(r.Servers) == 0 {
		lines = append(lines, conftext.Line("server", nobody, "down"))
	}
	return conftext.BlockOf("upstream", []conftext.Arg{conftext.Text(name)}, lines...)
}

// nobody stands for no pod: an upstream must have a server.
const nobody = "0.0.0.1:1"

func serverOf(r Route) conftext.Node {
	lines := []conftext.Node{
		listenOf(r.Listen),
		conftext.LineOf("set", conftext.Expr(routeVar), conftext.Text(r.Name)),
		conftext.LineOf("set", conftext.Expr(upstreamVar), conftext.Text(r.Upstream)),
	}
	for _, cidr := range r.Allow {
		lines = append(lines, conftext.Line("allow", cidr))
	}
	if len(r.Allow) > 0 {
		lines = append(lines, conftext.Line("deny", "all"))
	}
	if r.ProxyProtocol {
		lines = append(lines, conftext.Line("proxy_protocol", "on"))
	}
	return conftext.BlockOf("server", nil, append(lines,
		conftext.Line("proxy_timeout", strconv.Itoa(r.Idle)+"s"),
		conftext.Line("proxy_pass", blockName(r.Name)),
	)...)
}

func listenOf(l Listener) conftext.Node {
	if l.UDP {
		// With a socket per worker a client's datagrams meet one worker.
		return conftext.Line("listen", strconv.Itoa(l.Port), "udp", "reuseport")
	}
	return conftext.Line("listen", strconv.Itoa(l.Port), "so_keepalive=on")
}
