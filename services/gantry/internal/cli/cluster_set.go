package cli

import (
	"context"
	"time"

	gantryv1 "gantry.dev/proto/gen/gantry/v1"
	"gantry.dev/services/gantry/internal/client"
	"gantry.dev/services/gantry/internal/output"
	"github.com/google/uuid"
	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/fieldmaskpb"
)

// setOptions are the flags of `gantry cluster set`.
type setOptions struct {
	format      string
	dryRun      bool
	wanted      gantryv1.Cluster
	automatic   bool
	after       time.Duration
	maxUnplaced int32
}

func (s *runner) clusterSet() *cobra.Command {
	o := &setOptions{}
	cmd := &cobra.Command{
		Use:   "set NAME",
		Short: "Change a cluster's weight, addresses or failover policy",
		Long: `Changes what is said of a cluster; what no flag names stays. A new ipaas address
must lead to the same cluster. With --auto-failover the platform approves the
plan for the loss of this cluster by itself, when everything that you demand
holds; without it the plan waits for you.`,
		Example: "  gantry cluster set site-b --auto-failover --after 90s --max-unplaced 10\n  gantry cluster set site-b --auto-failover=false\n  gantry cluster set site-a --weight 2",
		Args:    cobra.ExactArgs(1),
	}
	flags := cmd.Flags()
	outputFlag(cmd, &o.format)
	flags.BoolVar(&o.dryRun, "dry-run", false, "check everything, change nothing")
	flags.StringVar(&o.wanted.Location, "location", "", "where it is, in words")
	flags.StringVar(&o.wanted.IpaasAddress, "ipaas", "", "host:port of its ipaas")
	flags.StringVar(&o.wanted.PrometheusUrl, "prometheus", "", "URL of the Prometheus that scrapes it; empty: none")
	flags.StringVar(&o.wanted.Registry, "registry", "", "host:port of the registry that its nodes pull from")
	flags.Int32Var(&o.wanted.Weight, "weight", 0, "share in placement relative to other clusters")
	flags.BoolVar(&o.automatic, "auto-failover", false, "approve the plan for its loss without asking")
	flags.DurationVar(&o.after, "after", 0, "how long the verdict must have held before that, whole seconds (default 60s)")
	flags.Int32Var(&o.maxUnplaced, "max-unplaced", 0, "largest share of the replicas, in percent, that may stay without a place")
	cmd.ValidArgsFunction = s.completeCluster
	cmd.RunE = s.withClient(callTimeout, func(ctx context.Context, c *client.Client, args []string) error {
		mask := o.mask(cmd)
		if len(mask) == 0 {
			return usage("say what to set; gantry cluster set --help shows it")
		}
		after, err := wholeSeconds("after", o.after)
		if err != nil {
			return err
		}
		present, err := c.Clusters.GetCluster(ctx, &gantryv1.GetClusterRequest{Name: clusterName(args[0])})
		if err != nil {
			return err
		}
		got, err := c.Clusters.UpdateCluster(ctx, &gantryv1.UpdateClusterRequest{
			Cluster: o.over(present, cmd, after), UpdateMask: &fieldmaskpb.FieldMask{Paths: mask}, ValidateOnly: o.dryRun, RequestId: uuid.NewString(),
		})
		if err != nil {
			return err
		}
		if o.dryRun {
			return s.done(o.format, got, "%s can be changed so (dry run)", output.ShortName(got))
		}
		return s.done(o.format, got, "%s changed", output.ShortName(got))
	})
	return cmd
}

// flagFields are the fields that flags set.
func flagFields() [][2]string {
	return [][2]string{
		{"location", "location"}, {"ipaas", "ipaas_address"}, {"prometheus", "prometheus_url"}, {"registry", "registry"}, {"weight", "weight"},
		{"auto-failover", "failover.automatic"}, {"after", "failover.after_seconds"}, {"max-unplaced", "failover.max_unplaced_percent"},
	}
}

// mask names what the given flags change.
func (o *setOptions) mask(cmd *cobra.Command) []string {
	var paths []string
	for _, f := range flagFields() {
		if cmd.Flags().Changed(f[0]) {
			paths = append(paths, f[1])
		}
	}
	return paths
}

// over lays the given flags over the present cluster: the request is checked
// as a whole, also where the mask leaves a field out.
func (o *setOptions) over(present *gantryv1.Cluster, cmd *cobra.Command, after int32) *gantryv1.Cluster {
	out := &gantryv1.Cluster{
		Name: present.GetName(), Location: present.GetLocation(), IpaasAddress: present.GetIpaasAddress(),
		PrometheusUrl: present.GetPrometheusUrl(), Registry: present.GetRegistry(), Weight: o.wanted.GetWeight(),
		Failover: &gantryv1.FailoverPolicy{Automatic: o.automatic, AfterSeconds: after, MaxUnplacedPercent: o.maxUnplaced},
	}
	for flag, set := range map[string]func(){
		"location":   func() { out.Location = o.wanted.GetLocation() },
		"ipaas":      func() { out.IpaasAddress = o.wanted.GetIpaasAddress() },
		"prometheus": func() { out.PrometheusUrl = o.wanted.GetPrometheusUrl() },
		"registry":   func() { out.Registry = o.wanted.GetRegistry() },
	} {
		if cmd.Flags().Changed(flag) {
			set()
		}
	}
	return out
}
