package cli

import (
	"context"
	"fmt"

	gantryv1 "gantry.dev/proto/gen/gantry/v1"
	"gantry.dev/services/gantry/internal/client"
	"gantry.dev/services/gantry/internal/output"
	"github.com/google/uuid"
	"github.com/spf13/cobra"
	"google.golang.org/protobuf/proto"
)

func (s *runner) appCommand() *cobra.Command {
	return group("app", "Divide an app's replicas anew", s.appRebalance())
}

// rebalanceOptions are the flags of `gantry app rebalance`.
type rebalanceOptions struct {
	format       string
	dryRun, wait bool
}

func (s *runner) appRebalance() *cobra.Command {
	var o rebalanceOptions
	cmd := &cobra.Command{
		Use:   "rebalance NAME",
		Short: "Divide an app's replicas over the clusters as if none were placed yet",
		Long: `Divides an app's replicas anew. Otherwise a change of their number divides only
the difference, so that an app stays where it once was. Replicas start in their
new cluster before the old ones end.`,
		Example: "  gantry app rebalance web --dry-run\n  gantry app rebalance web --wait",
		Args:    cobra.ExactArgs(1),
	}
	outputFlag(cmd, &o.format)
	cmd.Flags().BoolVar(&o.dryRun, "dry-run", false, "show the division, change nothing")
	cmd.Flags().BoolVar(&o.wait, "wait", false, "wait until it is done")
	cmd.ValidArgsFunction = s.completeApp
	cmd.RunE = s.withClient(waitTimeout, func(ctx context.Context, c *client.Client, args []string) error {
		name, err := s.appOf(args[0])
		if err != nil {
			return err
		}
		app, err := c.Apps.RebalanceApp(ctx, &gantryv1.RebalanceAppRequest{Name: name, ValidateOnly: o.dryRun, RequestId: uuid.NewString()})
		if err != nil {
			return err
		}
		if o.dryRun {
			return s.showDivision(o.format, app)
		}
		if err := s.done(o.format, app, "%s is divided anew", output.ShortName(app)); err != nil {
			return err
		}
		return s.maybeFollow(ctx, c, name, o.wait)
	})
	return cmd
}

// showDivision prints how an app would be divided.
func (s *runner) showDivision(format string, app *gantryv1.App) error {
	printer, err := s.printer(format)
	if err != nil {
		return err
	}
	if printer.Format != output.Table && printer.Format != output.Wide {
		return printer.One(app)
	}
	fmt.Fprintf(s.Err, "%s would be divided so (dry run):\n", output.ShortName(app))
	return printer.List(messages(app.GetStatus().GetAssignments()))
}

// appOf reads "web", "app/web", "apps/web" or the full name.
func (s *runner) appOf(arg string) (string, error) {
	r, err := findResource("apps")
	if err != nil {
		return "", err
	}
	name := arg
	if typeName, names := splitTarget([]string{arg}); len(names) == 1 && (typeName == "app" || typeName == "apps") {
		name = names[0]
	}
	q, _, err := s.scopeOf(r, false, []string{name})
	if err != nil {
		return "", err
	}
	return r.fullName(name, q.parent), nil
}

// done tells what was done in a sentence, or prints what it made.
func (s *runner) done(format string, m proto.Message, sentence string, args ...any) error {
	if format == "" {
		fmt.Fprintf(s.Out, sentence+"\n", args...)
		return nil
	}
	printer, err := s.printer(format)
	if err != nil {
		return err
	}
	return printer.One(m)
}
