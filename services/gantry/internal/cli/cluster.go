package cli

import (
	"context"
	"fmt"
	"time"

	"cloud.google.com/go/longrunning/autogen/longrunningpb"
	gantryv1 "gantry.dev/proto/gen/gantry/v1"
	"gantry.dev/services/gantry/internal/client"
	"gantry.dev/services/gantry/internal/output"
	"github.com/google/uuid"
	"github.com/spf13/cobra"
)

func (s *runner) clusterCommand() *cobra.Command {
	return group("cluster", "Register clusters and move traffic and work between them",
		s.clusterRegister(), s.clusterSet(), s.clusterHealth(), s.clusterSurvival(),
		s.clusterSwitch(), s.clusterMigrate(), s.clusterFailback())
}

func (s *runner) clusterRegister() *cobra.Command {
	cluster := &gantryv1.Cluster{}
	var dryRun bool
	cmd := &cobra.Command{
		Use:   "register NAME --ipaas ADDR --registry ADDR",
		Short: "Register a cluster by the address of its ipaas",
		Long: `Registers a cluster. Its ipaas must answer; the identity that it gives may
belong to one cluster only.`,
		Example: "  gantry cluster register site-a --ipaas 10.111.0.1:7100 --prometheus http://127.0.0.1:9490 --registry 10.111.0.1:5000",
		Args:    cobra.ExactArgs(1),
	}
	flags := cmd.Flags()
	flags.StringVar(&cluster.IpaasAddress, "ipaas", "", "host:port of its ipaas")
	flags.StringVar(&cluster.PrometheusUrl, "prometheus", "", "URL of the Prometheus that scrapes it; without one its apps cannot be autoscaled")
	flags.StringVar(&cluster.Registry, "registry", "", "host:port of the registry that its nodes pull from")
	flags.StringVar(&cluster.Location, "location", "", "where it is, in words")
	flags.Int32Var(&cluster.Weight, "weight", 0, "share in placement relative to other clusters (default 1)")
	flags.BoolVar(&dryRun, "dry-run", false, "check everything, change nothing")
	cmd.RunE = s.withClient(callTimeout, func(ctx context.Context, c *client.Client, args []string) error {
		if cluster.IpaasAddress == "" || cluster.Registry == "" {
			return usage("a cluster needs --ipaas ADDR and --registry ADDR")
		}
		cluster.Name = clusterName(args[0])
		got, err := c.Clusters.CreateCluster(ctx, &gantryv1.CreateClusterRequest{Cluster: cluster, ValidateOnly: dryRun, RequestId: uuid.NewString()})
		if err != nil {
			return err
		}
		if dryRun {
			fmt.Fprintf(s.Out, "%s can be registered (dry run)\n", output.ShortName(cluster))
			return nil
		}
		fmt.Fprintf(s.Out, "%s registered, identity %s\n", output.ShortName(got), got.GetIdentity())
		return nil
	})
	return cmd
}

// switchOptions are the flags of `gantry cluster switch`.
type switchOptions struct {
	to, step   int32
	every      time.Duration
	away, back bool
	async      bool
}

func (s *runner) clusterSwitch() *cobra.Command {
	var o switchOptions
	cmd := &cobra.Command{
		Use:   "switch NAME --to-percent N | --away | --back",
		Short: "Take traffic from a cluster, or give it back, in steps",
		Long: `Moves the share of its normal traffic that a cluster gets. Replicas stay where
they are. The command shows the steps and ends with them; interrupting it does
not stop them (gantry operation cancel does).`,
		Example: "  gantry cluster switch site-b --away\n  gantry cluster switch site-b --to-percent 50 --step 10 --every 5s",
		Args:    cobra.ExactArgs(1),
	}
	flags := cmd.Flags()
	flags.Int32Var(&o.to, "to-percent", 0, "share of its normal traffic at the end, 0 to 100")
	flags.BoolVar(&o.away, "away", false, "the same as --to-percent 0")
	flags.BoolVar(&o.back, "back", false, "the same as --to-percent 100")
	flags.Int32Var(&o.step, "step", 0, "size of a step in percent points (default 25)")
	flags.DurationVar(&o.every, "every", 0, "pause between steps, whole seconds (default 2s)")
	flags.BoolVar(&o.async, "async", false, "do not wait for the end")
	cmd.MarkFlagsMutuallyExclusive("to-percent", "away", "back")
	cmd.ValidArgsFunction = s.completeCluster
	cmd.RunE = s.withClient(waitTimeout, func(ctx context.Context, c *client.Client, args []string) error {
		if !cmd.Flags().Changed("to-percent") && !o.away && !o.back {
			return usage("say where to: --to-percent N, --away or --back")
		}
		seconds, err := wholeSeconds("every", o.every)
		if err != nil {
			return err
		}
		if o.back {
			o.to = 100
		}
		op, err := c.Clusters.SwitchTraffic(ctx, &gantryv1.SwitchTrafficRequest{
			Name: clusterName(args[0]), ToPercent: o.to, StepPercent: o.step,
			StepSeconds: seconds, RequestId: uuid.NewString(),
		})
		return s.startOperation(ctx, c, op, err, o.async)
	})
	return cmd
}

func (s *runner) clusterFailback() *cobra.Command {
	var async bool
	cmd := &cobra.Command{
		Use:     "failback NAME",
		Short:   "Bring replicas and traffic back to a cluster that is healthy again",
		Example: "  gantry cluster failback site-b",
		Args:    cobra.ExactArgs(1),
	}
	cmd.Flags().BoolVar(&async, "async", false, "do not wait for the end")
	cmd.ValidArgsFunction = s.completeCluster
	cmd.RunE = s.withClient(waitTimeout, func(ctx context.Context, c *client.Client, args []string) error {
		op, err := c.Clusters.FailBack(ctx, &gantryv1.FailBackRequest{Name: clusterName(args[0]), RequestId: uuid.NewString()})
		return s.startOperation(ctx, c, op, err, async)
	})
	return cmd
}

// startOperation follows a new operation, unless it shall run on its own.
func (s *runner) startOperation(ctx context.Context, c *client.Client, op *longrunningpb.Operation, err error, async bool) error {
	if err != nil {
		return err
	}
	if async {
		fmt.Fprintf(s.Out, "%s started\n", output.Short(op.GetName()))
		return nil
	}
	op, err = s.followOperation(ctx, c, op.GetName())
	if err != nil {
		return err
	}
	fmt.Fprintf(s.Out, "%s %s\n", output.Short(op.GetName()), output.OperationState(op))
	return nil
}

func (s *runner) clusterHealth() *cobra.Command {
	var format string
	cmd := &cobra.Command{
		Use:     "health NAME",
		Short:   "Show the verdict about a cluster and every voice it rests on",
		Example: "  gantry cluster health site-b\n  gantry cluster health site-b -o json",
		Args:    cobra.ExactArgs(1),
	}
	outputFlag(cmd, &format)
	cmd.ValidArgsFunction = s.completeCluster
	cmd.RunE = s.withClient(callTimeout, func(ctx context.Context, c *client.Client, args []string) error {
		printer, err := s.printer(format)
		if err != nil {
			return err
		}
		cluster, err := c.Clusters.GetCluster(ctx, &gantryv1.GetClusterRequest{Name: clusterName(args[0])})
		if err != nil {
			return err
		}
		health := cluster.GetHealth()
		if printer.Format != output.Table && printer.Format != output.Wide {
			return printer.One(health)
		}
		output.Verdict(s.Out, cluster, s.Now())
		return printer.List(messages(health.GetVoices()))
	})
	return cmd
}

// clusterName accepts "site-a", "cluster/site-a" and "clusters/site-a".
func clusterName(arg string) string {
	return "clusters/" + output.Last(arg)
}
