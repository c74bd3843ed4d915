package cli

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	gantryv1 "gantry.dev/proto/gen/gantry/v1"
	"gantry.dev/services/gantry/internal/client"
	"gantry.dev/services/gantry/internal/output"
	"github.com/google/uuid"
	"github.com/spf13/cobra"
)

func (s *runner) trafficCommand() *cobra.Command {
	return group("traffic", "Lead an app's requests to other clusters, step by step", s.trafficShift(), s.trafficGet(), s.trafficReset())
}

// shiftOptions are the flags of `gantry traffic shift` and `reset`.
type shiftOptions struct {
	format        string
	to            []string
	step          int32
	every         time.Duration
	dryRun, async bool
}

func (s *runner) trafficShift() *cobra.Command {
	var o shiftOptions
	cmd := &cobra.Command{
		Use:   "shift APP --to CLUSTER=PERCENT[,CLUSTER=PERCENT…]",
		Short: "Change the share of an app's requests that clusters get",
		Long: `Leads an app's requests to other clusters in steps; replicas stay where they are.
Clusters that are not named share the rest in proportion to their ready pods.
Each step is served by every load balancer node before the next. When the errors
or the latency of the app rise in the clusters that gain, the former shares are
given back at once; "gantry operation reverse" gives them back later, "gantry
traffic reset" leads requests by ready pods again. The command shows the steps and
ends with them; interrupting it does not stop them (gantry operation cancel does).`,
		Example: "  gantry traffic shift web --to site-b=100 --step 20 --every 10s\n  gantry traffic shift web --to site-a=90,site-b=10 --dry-run",
		Args:    cobra.ExactArgs(1),
	}
	cmd.Flags().StringSliceVar(&o.to, "to", nil, "percent of the requests at the end, by cluster: site-b=100")
	return s.shiftFlags(cmd, &o, func() (map[string]int32, error) {
		if len(o.to) == 0 {
			return nil, usage("say where to with --to CLUSTER=PERCENT; gantry traffic reset leads requests by ready pods again")
		}
		return readShares(o.to)
	})
}

func (s *runner) trafficReset() *cobra.Command {
	var o shiftOptions
	cmd := &cobra.Command{
		Use:     "reset APP",
		Short:   "Lead an app's requests by ready pods again",
		Long:    `Ends the shares of an app's requests, in steps as "gantry traffic shift" set them.`,
		Example: "  gantry traffic reset web --step 50",
		Args:    cobra.ExactArgs(1),
	}
	return s.shiftFlags(cmd, &o, func() (map[string]int32, error) { return map[string]int32{}, nil })
}

// shiftFlags completes a command that shifts to the wanted shares.
func (s *runner) shiftFlags(cmd *cobra.Command, o *shiftOptions, wanted func() (map[string]int32, error)) *cobra.Command {
	flags := cmd.Flags()
	outputFlag(cmd, &o.format)
	flags.Int32Var(&o.step, "step", 0, "size of a step in percent points (default 25)")
	flags.DurationVar(&o.every, "every", 0, "pause between steps, whole seconds (default 2s)")
	flags.BoolVar(&o.dryRun, "dry-run", false, "show the steps, change nothing")
	flags.BoolVar(&o.async, "async", false, "do not wait for the end")
	cmd.ValidArgsFunction = s.completeApp
	cmd.RunE = s.withClient(waitTimeout, func(ctx context.Context, c *client.Client, args []string) error {
		seconds, err := wholeSeconds("every", o.every)
		if err != nil {
			return err
		}
		shares, err := wanted()
		if err != nil {
			return err
		}
		name, err := s.appOf(args[0])
		if err != nil {
			return err
		}
		return s.shift(ctx, c, *o, &gantryv1.ShiftTrafficRequest{
			Name: name, Shares: shares, StepPercent: o.step, StepSeconds: seconds,
			ValidateOnly: o.dryRun, RequestId: uuid.NewString(),
		})
	})
	return cmd
}

func (s *runner) shift(ctx context.Context, c *client.Client, o shiftOptions, r *gantryv1.ShiftTrafficRequest) error {
	op, err := c.Apps.ShiftTraffic(ctx, r)
	if err != nil || !o.dryRun {
		return s.startOperation(ctx, c, op, err, o.async)
	}
	return s.planned(ctx, c, op, migrateOptions{format: o.format, dryRun: true})
}

// readShares reads "site-a=90", "site-b=10".
func readShares(args []string) (map[string]int32, error) {
	out := map[string]int32{}
	for _, arg := range args {
		cluster, number, ok := strings.Cut(arg, "=")
		percent, err := strconv.ParseInt(strings.TrimSuffix(number, "%"), 10, 32)
		if !ok || cluster == "" || err != nil || percent < 0 || percent > 100 {
			return nil, usage("--to takes CLUSTER=PERCENT with 0 to 100 percent, not %q", arg)
		}
		if _, twice := out[clusterName(cluster)]; twice {
			return nil, usage("--to names %s twice", cluster)
		}
		out[clusterName(cluster)] = int32(percent)
	}
	return out, nil
}

func (s *runner) trafficGet() *cobra.Command {
	var format string
	cmd := &cobra.Command{
		Use:     "get APP",
		Short:   "Show how an app's requests are divided over the clusters",
		Example: "  gantry traffic get web\n  gantry traffic get web -o json",
		Args:    cobra.ExactArgs(1),
	}
	outputFlag(cmd, &format)
	cmd.ValidArgsFunction = s.completeApp
	cmd.RunE = s.withClient(callTimeout, func(ctx context.Context, c *client.Client, args []string) error {
		printer, err := s.printer(format)
		if err != nil {
			return err
		}
		name, err := s.appOf(args[0])
		if err != nil {
			return err
		}
		app, err := c.Apps.GetApp(ctx, &gantryv1.GetAppRequest{Name: name})
		if err != nil {
			return err
		}
		if printer.Format != output.Table && printer.Format != output.Wide {
			return printer.One(app)
		}
		s.showShares(app)
		return nil
	})
	return cmd
}

// showShares prints the share of each cluster beside its ready pods.
func (s *runner) showShares(app *gantryv1.App) {
	shares, ready := app.GetStatus().GetTrafficShares(), map[string]int32{}
	for _, a := range app.GetStatus().GetAssignments() {
		ready[a.GetCluster()] = a.GetReadyReplicas()
	}
	for cluster := range shares {
		ready[cluster] += 0
	}
	if len(shares) == 0 {
		fmt.Fprintf(s.Err, "the requests of %s go by ready pods\n", output.ShortName(app))
	}
	w := tabwriter.NewWriter(s.Out, 0, 0, 3, ' ', 0)
	fmt.Fprintln(w, "CLUSTER\tSHARE\tREADY")
	for _, cluster := range slices.Sorted(maps.Keys(ready)) {
		share := "-"
		if len(shares) > 0 {
			share = fmt.Sprintf("%d %%", shares[cluster])
		}
		fmt.Fprintf(w, "%s\t%s\t%d\n", output.Last(cluster), share, ready[cluster])
	}
	_ = w.Flush() // what cannot be written to the screen cannot be told on it either
}
