package cli

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"gantry.dev/pkg/fault"
	gantryv1 "gantry.dev/proto/gen/gantry/v1"
	"gantry.dev/services/gantry/internal/client"
	"gantry.dev/services/gantry/internal/manifest"
	"gantry.dev/services/gantry/internal/output"
	"gantry.dev/services/ingress-agent/offline"
	"github.com/pmezard/go-difflib/difflib"
	"github.com/spf13/cobra"
)

func (s *runner) routeDiff() *cobra.Command {
	var files []string
	cmd := &cobra.Command{
		Use:   "diff -f FILE",
		Short: "Show what applying routes would change",
		Long: `Lets the platform check the routes of YAML files and shows what applying them would
change: of their fields, and of the Nginx file of their host as it would be with
this route alone. Nothing is changed. Other resources of the files are passed over.`,
		Example: "  gantry route diff -f routes.yaml",
		Args:    cobra.NoArgs,
	}
	filesFlag(cmd, &files)
	cmd.RunE = s.withClient(callTimeout, func(ctx context.Context, c *client.Client, _ []string) error {
		if len(files) == 0 {
			return usage("name a file with -f FILE")
		}
		docs, err := s.readFiles(files)
		if err != nil {
			return err
		}
		for _, d := range docs {
			route, ok := d.Resource.(*gantryv1.Route)
			if !ok {
				continue
			}
			if err := s.diffOne(ctx, c, d, route); err != nil {
				return err
			}
		}
		return nil
	})
	return cmd
}

func (s *runner) diffOne(ctx context.Context, c *client.Client, d manifest.Document, route *gantryv1.Route) error {
	before, after, err := tryRoute(ctx, c, route, true)
	if err != nil {
		return locate(d, err)
	}
	fmt.Fprintf(s.Out, "%s %s\n", output.ShortName(route), outcome(before != nil, routeWish(before), routeWish(after)))
	for _, view := range []func(*gantryv1.Route) (routeText, error){fieldsOf, nginxOf} {
		old, err := view(before)
		if err != nil {
			return err
		}
		next, err := view(after)
		if err != nil {
			return err
		}
		if err := s.showDifference(old, next); err != nil {
			return err
		}
	}
	return nil
}

// routeText is a route as text; without name of no route.
type routeText struct{ name, text string }

// fieldsOf is a route's manifest.
func fieldsOf(r *gantryv1.Route) (routeText, error) {
	if r == nil {
		return routeText{}, nil
	}
	var text bytes.Buffer
	printer := &output.Printer{Out: &text, Format: output.YAML}
	err := printer.One(routeWish(r))
	return routeText{output.ShortName(r), text.String()}, err
}

// nginxOf is what a load balancer node makes of the route alone, or why it
// would not serve it.
func nginxOf(r *gantryv1.Route) (routeText, error) {
	if r == nil {
		return routeText{}, nil
	}
	c := offline.Config(nil, output.Last(r.GetGateway()), []*gantryv1.Route{r})
	rendered, err := offline.Render(c, usualNode())
	if err != nil {
		return routeText{}, fault.Internal("NOT_RENDERED", "%s: %w", r.GetName(), err)
	}
	file := offline.HostFile(r.GetHost())
	text := string(rendered.Files[file])
	for _, p := range rendered.Problems {
		text += "# not served: " + oneLine(p.Reason) + "\n"
	}
	return routeText{file, text}, nil
}

// showDifference prints a unified diff; nothing of equal texts.
func (s *runner) showDifference(old, next routeText) error {
	if old == next {
		return nil
	}
	text, err := difflib.GetUnifiedDiffString(difflib.UnifiedDiff{
		FromFile: cmp.Or(old.name, "/dev/null"), A: slices.Collect(strings.Lines(old.text)),
		ToFile: cmp.Or(next.name, "/dev/null"), B: slices.Collect(strings.Lines(next.text)),
		Context: 3,
	})
	fmt.Fprint(s.Out, text)
	return err
}
