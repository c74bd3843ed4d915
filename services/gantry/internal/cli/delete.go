package cli

import (
	"context"
	"fmt"
	"slices"

	gantryv1 "gantry.dev/proto/gen/gantry/v1"
	"gantry.dev/services/gantry/internal/client"
	"gantry.dev/services/gantry/internal/output"
	"github.com/spf13/cobra"
)

func (s *runner) deleteCommand() *cobra.Command {
	var files []string
	cmd := &cobra.Command{
		Use:   "delete TYPE NAME... | TYPE/NAME | -f FILE",
		Short: "Delete apps, routes, streamroutes, secrets, volumes, projects, gateways or clusters",
		Long: `Deletes resources. Deleting a cluster makes the platform forget it; nothing in
the cluster itself is touched; nor is what a deleted volume holds. With -f the resources of a file are deleted in
the reverse of the order in which they would be applied.`,
		Example: "  gantry delete app web\n  gantry delete -f app.yaml",
	}
	filesFlag(cmd, &files)
	cmd.ValidArgsFunction = s.completeResource
	cmd.RunE = s.withClient(callTimeout, func(ctx context.Context, c *client.Client, args []string) error {
		targets, err := s.deleteTargets(args, files)
		if err != nil {
			return err
		}
		for _, t := range targets {
			if err := deleteOne(ctx, c, t.plural, t.name); err != nil {
				return err
			}
			fmt.Fprintf(s.Out, "%s deleted\n", output.Short(t.name))
		}
		return nil
	})
	return cmd
}

// target is one resource that a command is about.
type target struct{ plural, name string }

func (s *runner) deleteTargets(args, files []string) ([]target, error) {
	switch {
	case len(args) > 0 && len(files) > 0:
		return nil, usage("names and -f exclude each other")
	case len(files) > 0:
		return s.fileTargets(files)
	case len(args) == 0:
		return nil, usage("say what to delete: gantry delete TYPE NAME, or -f FILE")
	}
	typeName, names := splitTarget(args)
	r, err := findResource(typeName)
	if err != nil {
		return nil, err
	}
	if len(names) == 0 {
		return nil, usage("name the %s to delete", r.names[1])
	}
	q, _, err := s.scopeOf(r, false, names)
	if err != nil {
		return nil, err
	}
	var out []target
	for _, name := range names {
		out = append(out, target{r.plural(), r.fullName(name, q.parent)})
	}
	return out, nil
}

func (s *runner) fileTargets(files []string) ([]target, error) {
	docs, err := s.readFiles(files)
	if err != nil {
		return nil, err
	}
	var out []target
	for _, d := range slices.Backward(docs) {
		r, err := findResource(d.Kind)
		if err != nil {
			return nil, err
		}
		if named, ok := d.Resource.(interface{ GetName() string }); ok {
			out = append(out, target{r.plural(), named.GetName()})
		}
	}
	return out, nil
}

func deleteOne(ctx context.Context, c *client.Client, plural, name string) error {
	var err error
	switch plural {
	case "apps":
		_, err = c.Apps.DeleteApp(ctx, &gantryv1.DeleteAppRequest{Name: name})
	case "routes":
		_, err = c.Routes.DeleteRoute(ctx, &gantryv1.DeleteRouteRequest{Name: name})
	case "streamRoutes":
		_, err = c.Streams.DeleteStreamRoute(ctx, &gantryv1.DeleteStreamRouteRequest{Name: name})
	case "secrets":
		_, err = c.Secrets.DeleteSecret(ctx, &gantryv1.DeleteSecretRequest{Name: name})
	case "volumes":
		_, err = c.Volumes.DeleteVolume(ctx, &gantryv1.DeleteVolumeRequest{Name: name})
	case "projects":
		_, err = c.Projects.DeleteProject(ctx, &gantryv1.DeleteProjectRequest{Name: name})
	case "gateways":
		_, err = c.Gateways.DeleteGateway(ctx, &gantryv1.DeleteGatewayRequest{Name: name})
	case "clusters":
		_, err = c.Clusters.DeleteCluster(ctx, &gantryv1.DeleteClusterRequest{Name: name})
	default:
		return usage("%s cannot be deleted; apps, routes, streamroutes, secrets, volumes, projects, gateways and clusters can", plural)
	}
	return err
}
