package cli

import (
	"context"
	"fmt"

	gantryv1 "gantry.dev/proto/gen/gantry/v1"
	"gantry.dev/services/gantry/internal/client"
	"gantry.dev/services/gantry/internal/output"
	"github.com/google/uuid"
	"github.com/spf13/cobra"
)

func (s *runner) scaleCommand() *cobra.Command {
	var replicas int32
	var wait bool
	cmd := &cobra.Command{
		Use:     "scale app NAME --replicas N",
		Short:   "Set an app's replicas over all clusters",
		Example: "  gantry scale app web --replicas 6 --wait",
		Args:    cobra.RangeArgs(1, 2),
	}
	cmd.Flags().Int32Var(&replicas, "replicas", 0, "wanted replicas over all clusters")
	cmd.Flags().BoolVar(&wait, "wait", false, "wait until they are ready")
	cmd.ValidArgsFunction = s.completeResource
	cmd.RunE = s.withClient(waitTimeout, func(ctx context.Context, c *client.Client, args []string) error {
		if !cmd.Flags().Changed("replicas") {
			return usage("say how many with --replicas N")
		}
		name, err := s.appName(args)
		if err != nil {
			return err
		}
		app, err := c.Apps.ScaleApp(ctx, &gantryv1.ScaleAppRequest{Name: name, Replicas: replicas, RequestId: uuid.NewString()})
		if err != nil {
			return err
		}
		fmt.Fprintf(s.Out, "%s scaled to %d\n", output.ShortName(app), replicas)
		return s.maybeFollow(ctx, c, name, wait)
	})
	return cmd
}

func (s *runner) rollbackCommand() *cobra.Command {
	var to int32
	var wait bool
	cmd := &cobra.Command{
		Use:   "rollback app NAME --to N",
		Short: "Make an older release the wanted one again",
		Long: `Makes a new release with the content of an older one: its image digest and all
that a pod is made of. How many replicas there are, by which autoscale policy,
and where, stays as it is now, so that a rollback under load takes nothing away;
"gantry scale" changes the number. "gantry get releases NAME" lists releases.`,
		Example: "  gantry rollback app web --to 3 --wait",
		Args:    cobra.RangeArgs(1, 2),
	}
	cmd.Flags().Int32Var(&to, "to", 0, "number of the release to repeat")
	cmd.Flags().BoolVar(&wait, "wait", false, "wait until it runs everywhere")
	cmd.ValidArgsFunction = s.completeResource
	cmd.RunE = s.withClient(waitTimeout, func(ctx context.Context, c *client.Client, args []string) error {
		if to < 1 {
			return usage("name the release with --to N; gantry get releases APP lists them")
		}
		name, err := s.appName(args)
		if err != nil {
			return err
		}
		app, err := c.Apps.RollbackApp(ctx, &gantryv1.RollbackAppRequest{Name: name, Release: to, RequestId: uuid.NewString()})
		if err != nil {
			return err
		}
		fmt.Fprintf(s.Out, "%s rolled back to release %d, as release %d\n", output.ShortName(app), to, app.GetStatus().GetRelease())
		return s.maybeFollow(ctx, c, name, wait)
	})
	return cmd
}

func (s *runner) maybeFollow(ctx context.Context, c *client.Client, name string, wait bool) error {
	if !wait {
		return nil
	}
	return s.followApp(ctx, c, name)
}

// appName reads "app web", "app/web" or the full name.
func (s *runner) appName(args []string) (string, error) {
	name, err := s.oneTarget(args, "app")
	return name.name, err
}

// oneTarget reads one "TYPE NAME" or "TYPE/NAME" of the allowed types.
func (s *runner) oneTarget(args []string, allowed ...string) (target, error) {
	typeName, names := splitTarget(args)
	r, err := findResource(typeName)
	if err != nil {
		return target{}, err
	}
	if len(names) != 1 {
		return target{}, usage("name one %s", r.names[1])
	}
	for _, a := range allowed {
		if r.names[1] != a {
			continue
		}
		q, _, err := s.scopeOf(r, false, names)
		if err != nil {
			return target{}, err
		}
		return target{r.plural(), r.fullName(names[0], q.parent)}, nil
	}
	return target{}, usage("this command is not for a %s", r.names[1])
}
