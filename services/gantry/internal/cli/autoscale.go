package cli

import (
	"context"

	"gantry.dev/pkg/fault"
	gantryv1 "gantry.dev/proto/gen/gantry/v1"
	"gantry.dev/services/gantry/internal/client"
	"gantry.dev/services/gantry/internal/output"
	"github.com/google/uuid"
	"github.com/spf13/cobra"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/fieldmaskpb"
)

func (s *runner) autoscaleCommand() *cobra.Command {
	return group("autoscale", "Hold and release the autoscaler of an app, and try it on this machine",
		s.autoscalePause("pause", "Keep an app's present replicas until it is resumed", true),
		s.autoscalePause("resume", "Let the autoscaler decide again", false),
		s.autoscaleEval(), s.autoscaleReplay())
}

func (s *runner) autoscalePause(verb, short string, paused bool) *cobra.Command {
	var format string
	cmd := &cobra.Command{
		Use:     verb + " APP",
		Short:   short,
		Example: "  gantry autoscale " + verb + " web",
		Args:    cobra.ExactArgs(1),
	}
	outputFlag(cmd, &format)
	cmd.ValidArgsFunction = s.completeApp
	cmd.RunE = s.withClient(callTimeout, func(ctx context.Context, c *client.Client, args []string) error {
		name, err := s.appOf(args[0])
		if err != nil {
			return err
		}
		app, err := pauseApp(ctx, c, name, paused)
		if err != nil {
			return err
		}
		return s.done(format, app, "%s autoscaling %sd at %d replicas", output.ShortName(app), verb, app.GetStatus().GetDesiredReplicas())
	})
	return cmd
}

func pauseApp(ctx context.Context, c *client.Client, name string, paused bool) (*gantryv1.App, error) {
	app, err := c.Apps.GetApp(ctx, &gantryv1.GetAppRequest{Name: name})
	if err != nil {
		return nil, err
	}
	if app.GetSpec().GetAutoscale() == nil {
		return nil, fault.Precondition("NOT_AUTOSCALED", "%s has no autoscale policy, its replicas are what `gantry scale` says", output.ShortName(app))
	}
	next := &gantryv1.App{Name: app.GetName(), Spec: proto.CloneOf(app.GetSpec())}
	next.Spec.Autoscale.Paused = paused
	return c.Apps.UpdateApp(ctx, &gantryv1.UpdateAppRequest{
		App: next, UpdateMask: &fieldmaskpb.FieldMask{Paths: []string{"spec.autoscale.paused"}}, RequestId: uuid.NewString(),
	})
}
