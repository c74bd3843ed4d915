package cli

import (
	"context"
	"slices"
	"time"

	"gantry.dev/services/gantry/internal/client"
	"gantry.dev/services/gantry/internal/output"
	"github.com/spf13/cobra"
	"google.golang.org/protobuf/proto"
)

// completionTimeout keeps a shell from hanging on a platform that is away.
const completionTimeout = 2 * time.Second

const noFiles = cobra.ShellCompDirectiveNoFileComp

// completeResource completes TYPE, then names of that type; of releases and
// pods the name is that of an app.
func (s *runner) completeResource(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) == 0 {
		var types []string
		for _, r := range resources() {
			types = append(types, r.plural())
		}
		return types, noFiles
	}
	r, err := findResource(args[0])
	if err != nil {
		return nil, noFiles
	}
	if r.ofApp {
		r.list, r.ofApp = listApps, false
	}
	return s.names(cmd.Context(), r, args[1:])
}

func (s *runner) completeApp(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	return s.completeOne(cmd, args, "apps")
}

func (s *runner) completeCluster(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	return s.completeOne(cmd, args, "clusters")
}

func (s *runner) completeOperation(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	return s.completeOne(cmd, args, "operations")
}

func (s *runner) completeOne(cmd *cobra.Command, args []string, plural string) ([]string, cobra.ShellCompDirective) {
	r, err := findResource(plural)
	if err != nil || len(args) > 0 {
		return nil, noFiles
	}
	return s.names(cmd.Context(), r, nil)
}

// completeFlag completes --context and --project.
func (s *runner) completeFlag(flag string) cobra.CompletionFunc {
	return func(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
		if flag == "project" {
			return s.completeOne(cmd, nil, "projects")
		}
		file, err := s.configFile()
		if err != nil {
			return nil, noFiles
		}
		var contexts []string
		for _, c := range file.Contexts {
			contexts = append(contexts, c.Name)
		}
		return contexts, noFiles
	}
}

// names are the short names of all resources of a type but those in used.
func (s *runner) names(ctx context.Context, r resource, used []string) ([]string, cobra.ShellCompDirective) {
	c, err := s.dial()
	if err != nil {
		return nil, noFiles
	}
	defer c.Close()
	ctx, cancel := context.WithTimeout(ctx, completionTimeout)
	defer cancel()
	items, err := s.listAll(ctx, c, r)
	if err != nil {
		return nil, noFiles
	}
	var out []string
	for _, m := range items {
		n, ok := m.(interface{ GetName() string })
		if ok && !slices.Contains(used, output.Last(n.GetName())) {
			out = append(out, output.Last(n.GetName()))
		}
	}
	return out, noFiles
}

func (s *runner) listAll(ctx context.Context, c *client.Client, r resource) ([]proto.Message, error) {
	q, _, err := s.scopeOf(r, false, nil)
	if err != nil {
		return nil, err
	}
	return r.list(ctx, c, q)
}
