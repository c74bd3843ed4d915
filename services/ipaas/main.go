// Command ipaas wraps one Kubernetes cluster: it applies workloads, reports
// what runs and streams endpoints. It decides nothing.
package main

import (
	"context"
	"flag"

	"gantry.dev/pkg/serve"
	"gantry.dev/services/ipaas/internal/app"
)

func main() {
	serve.Main("ipaas", func(flags *flag.FlagSet) func(context.Context, serve.Common) error {
		var c app.Config
		flags.StringVar(&c.Cluster, "cluster", "", "id of the cluster, told to the apps as GANTRY_CLUSTER")
		flags.StringVar(&c.Kubeconfig, "kubeconfig", "", "file with access to the cluster; empty: the service account of the pod")
		flags.StringVar(&c.ClusterDomain, "cluster-domain", "", "domain of the cluster's services; empty: that of the pod's own search list, else cluster.local")
		return func(ctx context.Context, common serve.Common) error {
			c.Common = common
			return app.Run(ctx, c)
		}
	})
}
