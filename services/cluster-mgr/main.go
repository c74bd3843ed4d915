// Command cluster-mgr decides over all clusters: where replicas go, how many
// there are, which cluster is ill and what moves.
package main

import (
	"context"
	"flag"
	"strings"
	"time"
	_ "time/tzdata" // schedules in zones work in an image that holds nothing else

	"gantry.dev/pkg/serve"
	"gantry.dev/services/cluster-mgr/internal/app"
)

func main() {
	serve.Main("cluster-mgr", func(flags *flag.FlagSet) func(context.Context, serve.Common) error {
		var c app.Config
		etcd := flags.String("etcd", "", "URLs of etcd, separated by commas")
		flags.StringVar(&c.Name, "name", "cluster-mgr", "name of this instance")
		flags.DurationVar(&c.AutoscaleInterval, "autoscale-interval", 30*time.Second, "time between two rounds of the autoscaler")
		flags.DurationVar(&c.SampleInterval, "sample-interval", 15*time.Second, "how often a pod's metrics are renewed at the latest; rates are taken over four of them")
		flags.DurationVar(&c.UseWindow, "use-window", time.Hour, "over which time placement takes the 95th percentile of what nodes use, from Prometheus; at least a minute")
		flags.DurationVar(&c.HealthInterval, "health-interval", 2*time.Second, "time between two verdicts about the clusters")
		recoverAfter := flags.Duration("recover-after", time.Minute, "how long a cluster that was down must answer without a break to be healthy again")
		flags.DurationVar(&c.FailBackAfter, "failback-after", 5*time.Minute, "how long a cluster must have been healthy before work is brought back to it")
		alertmanagers := flags.String("alertmanager", "", "URLs of the Alertmanagers that are told about alarms, separated by commas; empty: nobody is told")
		flags.StringVar(&c.SecretKey, "secret-key", "", "file with the keys that secrets are sealed with, one base64 of 32 bytes a line, the first seals; empty: there are no secrets")
		return func(ctx context.Context, common serve.Common) error {
			c.Common = common
			c.Health.RecoverAfterMS = recoverAfter.Milliseconds()
			c.Etcd = strings.Split(*etcd, ",")
			if *alertmanagers != "" {
				c.Alertmanagers = strings.Split(*alertmanagers, ",")
			}
			return app.Run(ctx, c)
		}
	})
}
