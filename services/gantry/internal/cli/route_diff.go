package cli

import (
	"bytes"
	"context"
	"fmt"
	"strings"

	gantryv1 "gantry.dev/proto/gen/gantry/v1"
	"gantry.dev/services/gantry/internal/client"
	"gantry.dev/services/gantry/internal/manifest"
	"gantry.dev/services/gantry/internal/output"
	"github.com/spf13/cobra"
)

func (s *runner) routeDiff() *cobra.Command {
	var files []string
	cmd := &cobra.Command{
		Use:   "diff -f FILE",
		Short: "Show what applying routes would change",
		Long: `Lets the platform check the routes of YAML files and shows, line by line, what
applying them would change. Nothing is changed. Other resources of the files are
passed over.`,
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
	old, err := routeLines(before)
	if err != nil {
		return err
	}
	next, err := routeLines(after)
	if err != nil {
		return err
	}
	for _, line := range difference(old, next) {
		fmt.Fprintln(s.Out, line)
	}
	return nil
}

// routeLines is a route's manifest; nothing of no route.
func routeLines(r *gantryv1.Route) ([]string, error) {
	if r == nil {
		return nil, nil
	}
	var text bytes.Buffer
	printer := &output.Printer{Out: &text, Format: output.YAML}
	err := printer.One(routeWish(r))
	return strings.Split(strings.TrimSuffix(text.String(), "\n"), "\n"), err
}

// difference gives the lines that go ("- ") and come ("+ "), in order: all but
// a longest common subsequence.
func difference(old, next []string) []string {
	// common[i][j] is the length of the longest one of old[i:] and next[j:].
	common := make([][]int, len(old)+1)
	common[len(old)] = make([]int, len(next)+1)
	for i := len(old) - 1; i >= 0; i-- {
		common[i] = make([]int, len(next)+1)
		for j := len(next) - 1; j >= 0; j-- {
			common[i][j] = max(common[i+1][j], common[i][j+1])
			if old[i] == next[j] {
				common[i][j] = common[i+1][j+1] + 1
			}
		}
	}
	var out []string
	i, j := 0, 0
	for i < len(old) || j < len(next) {
		switch {
		case i < len(old) && j < len(next) && old[i] == next[j]:
			i, j = i+1, j+1
		case j == len(next) || i < len(old) && common[i+1][j] >= common[i][j+1]:
			out = append(out, "- "+old[i])
			i++
		default:
			out = append(out, "+ "+next[j])
			j++
		}
	}
	return out
}
