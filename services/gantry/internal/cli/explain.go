package cli

import (
	"context"
	"fmt"
	"strings"

	gantryv1 "gantry.dev/proto/gen/gantry/v1"
	"gantry.dev/services/gantry/internal/client"
	"gantry.dev/services/gantry/internal/output"
	"github.com/spf13/cobra"
)

// explainOptions are the flags of `gantry explain`.
type explainOptions struct {
	format string
	kind   string
	limit  int32
}

func (s *runner) explainCommand() *cobra.Command {
	o := explainOptions{}
	cmd := &cobra.Command{
		Use:   "explain app/NAME | cluster/NAME | decision/ID",
		Short: "Tell what the platform decided by itself, and why",
		Long: `Tells the decisions about an app or a cluster in words, newest first: when, what,
the formula filled in, and the reasons. -o json and -o yaml include the inputs of
each decision, from which it can be computed again.`,
		Example: "  gantry explain app/web\n  gantry explain cluster/site-b --kind health\n  gantry explain decision/01J9 -o json",
		Args:    cobra.RangeArgs(1, 2),
	}
	outputFlag(cmd, &o.format)
	cmd.Flags().Int32Var(&o.limit, "limit", 10, "at most so many decisions")
	cmd.Flags().StringVar(&o.kind, "kind", "", "only placement, autoscale, health or failover")
	cmd.ValidArgsFunction = s.completeResource
	cmd.RunE = s.withClient(callTimeout, func(ctx context.Context, c *client.Client, args []string) error {
		printer, err := s.printer(o.format)
		if err != nil {
			return err
		}
		t, err := s.oneTarget(args, "app", "cluster", "decision", "project", "gateway", "route")
		if err != nil {
			return err
		}
		decisions, err := decisionsAbout(ctx, c, t, o, inputsWanted(printer.Format))
		if err != nil {
			return err
		}
		return s.explain(printer, t, decisions)
	})
	return cmd
}

func inputsWanted(f output.Format) bool { return f == output.JSON || f == output.YAML }

// decisionsAbout lists the decisions about a resource, or gets the one named.
func decisionsAbout(ctx context.Context, c *client.Client, t target, o explainOptions, inputs bool) ([]*gantryv1.Decision, error) {
	if t.plural == "decisions" {
		d, err := c.Decisions.GetDecision(ctx, &gantryv1.GetDecisionRequest{Name: t.name})
		return []*gantryv1.Decision{d}, err
	}
	kind, err := decisionKind(o.kind)
	if err != nil {
		return nil, err
	}
	r, err := c.Decisions.ListDecisions(ctx, &gantryv1.ListDecisionsRequest{Subject: t.name, Kind: kind, PageSize: o.limit})
	if err != nil || !inputs {
		return r.GetDecisions(), err
	}
	var full []*gantryv1.Decision
	for _, d := range r.GetDecisions() {
		d, err := c.Decisions.GetDecision(ctx, &gantryv1.GetDecisionRequest{Name: d.GetName()})
		if err != nil {
			return nil, err
		}
		full = append(full, d)
	}
	return full, nil
}

func decisionKind(word string) (gantryv1.Decision_Kind, error) {
	if word == "" {
		return gantryv1.Decision_KIND_UNSPECIFIED, nil
	}
	number, ok := gantryv1.Decision_Kind_value["KIND_"+strings.ToUpper(word)]
	if !ok || number == 0 {
		return 0, usage("there is no kind of decision %q; the kinds are placement, autoscale, health, failover", word)
	}
	return gantryv1.Decision_Kind(number), nil
}

func (s *runner) explain(printer *output.Printer, t target, decisions []*gantryv1.Decision) error {
	if printer.Format != output.Table {
		if t.plural == "decisions" {
			return printer.One(decisions[0])
		}
		return printer.List(messages(decisions))
	}
	if len(decisions) == 0 {
		fmt.Fprintf(s.Err, "the platform has decided nothing about %s yet\n", output.Short(t.name))
	}
	for i, d := range decisions {
		if i > 0 {
			fmt.Fprintln(s.Out)
		}
		output.Explain(s.Out, d, s.Zone)
	}
	return nil
}
