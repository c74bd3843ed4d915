package cli

import (
	"context"
	"fmt"
	"strings"

	"gantry.dev/pkg/fault"
	gantryv1 "gantry.dev/proto/gen/gantry/v1"
	"gantry.dev/services/gantry/internal/client"
	"gantry.dev/services/gantry/internal/output"
	"github.com/spf13/cobra"
	"google.golang.org/protobuf/proto"
)

// getOptions are the flags of `gantry get`.
type getOptions struct {
	format      string
	watch       bool
	allProjects bool
}

func (s *runner) getCommand() *cobra.Command {
	var o getOptions
	cmd := &cobra.Command{
		Use:   "get TYPE [NAME...] | TYPE/NAME",
		Short: "Show resources",
		Long: `Shows resources: apps, releases, pods, routes, streamroutes, secrets, volumes, projects,
clusters, gateways, operations, decisions, alarms. Releases and pods are those of an app:
"gantry get pods web" shows the pods in all clusters.`,
		Example: "  gantry get apps\n  gantry get app web -o yaml\n  gantry get pods web -w\n  gantry get clusters -o wide",
		Args:    cobra.MinimumNArgs(1),
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		standard := callTimeout
		if o.watch {
			standard = 0
		}
		return s.withClient(standard, func(ctx context.Context, c *client.Client, args []string) error {
			return s.get(ctx, c, o, args)
		})(cmd, args)
	}
	cmd.ValidArgsFunction = s.completeResource
	flags := cmd.Flags()
	outputFlag(cmd, &o.format)
	flags.BoolVarP(&o.watch, "watch", "w", false, "go on and print what changes")
	flags.BoolVarP(&o.allProjects, "all-projects", "A", false, "look into all projects that you may see")
	return cmd
}

// outputFlag adds -o.
func outputFlag(cmd *cobra.Command, format *string) {
	cmd.Flags().StringVarP(format, "output", "o", "", "format: "+strings.Join(output.Formats(), ", "))
	_ = cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions(output.Formats(), cobra.ShellCompDirectiveNoFileComp)) // the flag is there
}

func (s *runner) printer(format string) (*output.Printer, error) {
	f, err := output.ParseFormat(format)
	if err != nil {
		return nil, usageError{err}
	}
	return &output.Printer{Out: s.Out, Format: f, Now: s.Now()}, nil
}

func (s *runner) get(ctx context.Context, c *client.Client, o getOptions, args []string) error {
	printer, err := s.printer(o.format)
	if err != nil {
		return err
	}
	typeName, names := splitTarget(args)
	r, err := findResource(typeName)
	if err != nil {
		return err
	}
	q, names, err := s.scopeOf(r, o.allProjects, names)
	if err != nil {
		return err
	}
	printer.AllProjects = o.allProjects && r.inProject && !r.ofApp
	fetch := func(ctx context.Context) ([]proto.Message, error) { return s.fetch(ctx, c, r, q, names) }
	switch {
	case o.watch && r.plural() == "apps":
		return s.watchApps(ctx, c, printer, q.parent, names)
	case o.watch:
		return s.poll(ctx, printer, fetch)
	}
	items, err := fetch(ctx)
	if err != nil {
		return err
	}
	if len(names) == 1 && len(items) == 1 {
		return printer.One(items[0])
	}
	if len(items) == 0 && (printer.Format == output.Table || printer.Format == output.Wide) {
		fmt.Fprintf(s.Err, "no %s%s\n", r.plural(), in(q))
	}
	return printer.List(items)
}

func in(q *scope) string {
	switch {
	case q.app != "":
		return " of " + output.Short(q.app)
	case q.parent != "" && q.parent != allProjects:
		return " in " + output.Short(q.parent)
	}
	return ""
}

// splitTarget reads "app web", "app/web" or "apps".
func splitTarget(args []string) (typeName string, names []string) {
	if t, name, ok := strings.Cut(args[0], "/"); ok {
		return t, append([]string{name}, args[1:]...)
	}
	return args[0], args[1:]
}

const allProjects = "projects/-"

// scopeOf says where to look; of releases and pods the first name is the app.
func (s *runner) scopeOf(r resource, all bool, names []string) (*scope, []string, error) {
	q := &scope{}
	if !r.inProject {
		return q, names, nil
	}
	if all {
		q.parent = allProjects
	} else if len(names) == 0 || !strings.HasPrefix(names[0], "projects/") {
		parent, err := s.projectName()
		if err != nil {
			return nil, nil, err
		}
		q.parent = parent
	}
	if !r.ofApp {
		return q, names, nil
	}
	if len(names) == 0 {
		if r.plural() == "pods" {
			return q, nil, nil
		}
		return nil, nil, usage("name the app: gantry get %s APP", r.plural())
	}
	if all {
		return nil, nil, usage("-A and the name of an app exclude each other")
	}
	apps := resource{names: []string{"apps", "app"}, inProject: true}
	q.app = apps.fullName(strings.TrimPrefix(strings.TrimPrefix(names[0], "apps/"), "app/"), q.parent)
	return q, names[1:], nil
}

// fetch gets the named resources, or all.
func (s *runner) fetch(ctx context.Context, c *client.Client, r resource, q *scope, names []string) ([]proto.Message, error) {
	q.unreachable = nil
	if len(names) == 0 {
		items, err := r.list(ctx, c, q)
		s.warnUnreachable(q)
		return items, err
	}
	if q.parent == allProjects {
		return nil, usage("-A and names exclude each other")
	}
	var items []proto.Message
	for _, name := range names {
		m, err := r.find(ctx, c, q, name)
		if err != nil {
			return nil, err
		}
		items = append(items, m)
	}
	return items, nil
}

func (s *runner) warnUnreachable(q *scope) {
	for _, cluster := range q.unreachable {
		fmt.Fprintf(s.Err, "%s cannot be asked: its pods are unknown, not gone; see gantry explain %s\n", output.Short(cluster), output.Short(cluster))
	}
}

// watchApps prints the apps and each change until ctx ends. It goes on where it
// was when portal or cluster-mgr is restarted.
func (s *runner) watchApps(ctx context.Context, c *client.Client, p *output.Printer, parent string, names []string) error {
	version := ""
	for {
		err := s.watchOnce(ctx, c, p, parent, names, &version)
		if ctx.Err() != nil {
			return endOfWatch(ctx)
		}
		if !fault.Is(err, fault.KindUnavailable) {
			return err
		}
		fmt.Fprintln(s.Err, "the watch broke off; trying again")
		if !s.pause(ctx) {
			return endOfWatch(ctx)
		}
	}
}

func (s *runner) watchOnce(ctx context.Context, c *client.Client, p *output.Printer, parent string, names []string, version *string) error {
	stream, err := c.Apps.WatchApps(ctx, &gantryv1.WatchAppsRequest{Parent: parent, ResourceVersion: *version})
	if err != nil {
		return err
	}
	for {
		event, err := stream.Recv()
		if err != nil {
			return err
		}
		*version = event.GetResourceVersion()
		if !wanted(event.GetApp().GetName(), names) {
			continue
		}
		switch event.GetEvent() {
		case gantryv1.WatchAppsResponse_EVENT_PUT:
			p.Now = s.Now()
			if err := p.One(event.GetApp()); err != nil {
				return err
			}
		case gantryv1.WatchAppsResponse_EVENT_DELETE:
			fmt.Fprintf(s.Err, "%s is deleted\n", output.Short(event.GetApp().GetName()))
		}
	}
}

func wanted(name string, names []string) bool {
	for _, n := range names {
		if output.Last(n) == output.Last(name) {
			return true
		}
	}
	return len(names) == 0
}

// poll prints what has changed since the last look, until ctx ends.
func (s *runner) poll(ctx context.Context, p *output.Printer, fetch func(context.Context) ([]proto.Message, error)) error {
	last := map[string]proto.Message{}
	for {
		items, err := fetch(ctx)
		if ctx.Err() != nil {
			return endOfWatch(ctx)
		}
		if err != nil {
			return err
		}
		p.Now = s.Now()
		for _, m := range items {
			name := output.ShortName(m)
			if proto.Equal(last[name], m) {
				continue
			}
			last[name] = m
			if err := p.One(m); err != nil {
				return err
			}
		}
		if !s.pause(ctx) {
			return endOfWatch(ctx)
		}
	}
}

// endOfWatch: being interrupted is how a watch ends; running out of --timeout
// is not.
func endOfWatch(ctx context.Context) error {
	if fault.Is(ctx.Err(), fault.KindCancelled) {
		return nil
	}
	return fault.From(ctx.Err())
}
