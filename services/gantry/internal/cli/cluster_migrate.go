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

// migrateOptions are the flags of `gantry cluster migrate`.
type migrateOptions struct {
	format          string
	step, together  int32
	every           time.Duration
	dryRun, approve bool
	async           bool
}

func (s *runner) clusterMigrate() *cobra.Command {
	var o migrateOptions
	cmd := &cobra.Command{
		Use:   "migrate NAME",
		Short: "Move all apps of a cluster elsewhere, as planned work",
		Long: `Plans to leave a cluster: as many replicas start on the others first, then the
traffic moves in steps, then nothing is left here. The plan waits for approval,
"gantry operation approve" or --approve; "gantry cluster failback" brings
everything back, "gantry operation reverse" takes the operation back.`,
		Example: "  gantry cluster migrate site-b --dry-run\n  gantry cluster migrate site-b --approve --step 10 --every 30s",
		Args:    cobra.ExactArgs(1),
	}
	flags := cmd.Flags()
	outputFlag(cmd, &o.format)
	flags.BoolVar(&o.dryRun, "dry-run", false, "show the plan, change nothing")
	flags.BoolVar(&o.approve, "approve", false, "approve the plan at once and show its steps")
	flags.BoolVar(&o.async, "async", false, "with --approve: do not wait for the end")
	flags.Int32Var(&o.step, "step", 0, "size of a traffic step in percent points (default 25)")
	flags.DurationVar(&o.every, "every", 0, "pause between traffic steps, whole seconds (default 2s)")
	flags.Int32Var(&o.together, "concurrency", 0, "so many apps start elsewhere at a time (default all)")
	cmd.MarkFlagsMutuallyExclusive("dry-run", "approve")
	cmd.ValidArgsFunction = s.completeCluster
	cmd.RunE = s.withClient(waitTimeout, func(ctx context.Context, c *client.Client, args []string) error {
		seconds, err := wholeSeconds("every", o.every)
		if err != nil {
			return err
		}
		op, err := c.Clusters.MigrateApps(ctx, &gantryv1.MigrateAppsRequest{
			Name: clusterName(args[0]), StepPercent: o.step, StepSeconds: seconds, Concurrency: o.together,
			ValidateOnly: o.dryRun, RequestId: uuid.NewString(),
		})
		if err != nil {
			return err
		}
		return s.planned(ctx, c, op, o)
	})
	return cmd
}

// planned shows a plan, and approves it if that is wanted.
func (s *runner) planned(ctx context.Context, c *client.Client, op *longrunningpb.Operation, o migrateOptions) error {
	if o.approve {
		op, err := c.Operations.ApproveOperation(ctx, &gantryv1.ApproveOperationRequest{Name: op.GetName()})
		return s.startOperation(ctx, c, op, err, o.async)
	}
	printer, err := s.printer(o.format)
	if err != nil {
		return err
	}
	if printer.Format != output.Table {
		return printer.One(op)
	}
	output.Operation(s.Out, op)
	if o.dryRun {
		fmt.Fprintln(s.Err, "nothing was changed (dry run)")
		return nil
	}
	fmt.Fprintf(s.Err, "it waits for approval: gantry operation approve %s\n", output.Last(op.GetName()))
	return nil
}

func (s *runner) clusterSurvival() *cobra.Command {
	var format string
	cmd := &cobra.Command{
		Use:   "survival",
		Short: "Show for each cluster what would not fit elsewhere if it died now",
		Long: `Shows the N-1 report: for each cluster how many replicas it has, how many of
them would find no place on the others, what is missing for them, and which apps
would not be whole. Apps are shown that you may see.`,
		Example: "  gantry cluster survival\n  gantry cluster survival -o json",
		Args:    cobra.NoArgs,
	}
	outputFlag(cmd, &format)
	cmd.RunE = s.withClient(callTimeout, func(ctx context.Context, c *client.Client, _ []string) error {
		printer, err := s.printer(format)
		if err != nil {
			return err
		}
		report, err := c.Clusters.GetSurvivalReport(ctx, &gantryv1.GetSurvivalReportRequest{})
		if err != nil {
			return err
		}
		if printer.Format != output.Table && printer.Format != output.Wide {
			return printer.One(report)
		}
		if err := printer.List(messages(report.GetLosses())); err != nil {
			return err
		}
		output.Losses(s.Out, report)
		return nil
	})
	return cmd
}
