package cli

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	gantryv1 "gantry.dev/proto/gen/gantry/v1"
	"gantry.dev/services/gantry/internal/client"
	"gantry.dev/services/gantry/internal/manifest"
	"gantry.dev/services/gantry/internal/output"
	"github.com/pmezard/go-difflib/difflib"
	"github.com/spf13/cobra"
)

func (s *runner) routeDiff() *cobra.Command {
	var files []string
	cmd := &cobra.Command{
		Use:   "diff -f FILE",
		Short: "Show what applying routes would change",
		Long: `Lets the platform check the routes of YAML files and shows what applying them would
change: of their fields, and of the Nginx files of their hosts, which hold all routes
of a host, those too that the files do not name. Nothing is changed. Other resources
of the files are passed over.`,
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
		var trials []trial
		for _, d := range docs {
			route, ok := d.Resource.(*gantryv1.Route)
			if !ok {
				continue
			}
			t, err := s.diffOne(ctx, c, d, route)
			if err != nil {
				return err
			}
			trials = append(trials, t)
		}
		return s.diffHosts(ctx, c, trials)
	})
	return cmd
}

// diffOne shows what applying a route would change of its fields.
func (s *runner) diffOne(ctx context.Context, c *client.Client, d manifest.Document, route *gantryv1.Route) (trial, error) {
	before, after, err := tryRoute(ctx, c, route, true)
	if err != nil {
		return trial{}, locate(d, err)
	}
	fmt.Fprintf(s.Out, "%s %s\n", output.ShortName(route), outcome(before != nil, routeWish(before), routeWish(after)))
	old, err := fieldsOf(before)
	if err != nil {
		return trial{}, err
	}
	next, err := fieldsOf(after)
	if err != nil {
		return trial{}, err
	}
	return trial{before, after}, s.showDifference(old, next)
}

// routeText is a text about routes; without name of no route.
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
