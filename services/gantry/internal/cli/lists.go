package cli

import (
	"context"

	"cloud.google.com/go/longrunning/autogen/longrunningpb"
	gantryv1 "gantry.dev/proto/gen/gantry/v1"
	"gantry.dev/services/gantry/internal/client"
	"google.golang.org/protobuf/proto"
)

func listApps(ctx context.Context, c *client.Client, s *scope) ([]proto.Message, error) {
	return pages(func(token string) ([]*gantryv1.App, string, error) {
		r, err := c.Apps.ListApps(ctx, &gantryv1.ListAppsRequest{Parent: s.parent, PageSize: pageSize, PageToken: token})
		return r.GetApps(), r.GetNextPageToken(), err
	})
}

func listReleases(ctx context.Context, c *client.Client, s *scope) ([]proto.Message, error) {
	return pages(func(token string) ([]*gantryv1.Release, string, error) {
		r, err := c.Apps.ListReleases(ctx, &gantryv1.ListReleasesRequest{Parent: s.app, PageSize: pageSize, PageToken: token})
		return r.GetReleases(), r.GetNextPageToken(), err
	})
}

// listPods asks for one app, or for each app of the project.
func listPods(ctx context.Context, c *client.Client, s *scope) ([]proto.Message, error) {
	if s.app != "" {
		return podsOf(ctx, c, s, s.app)
	}
	apps, err := listApps(ctx, c, s)
	if err != nil {
		return nil, err
	}
	var all []proto.Message
	for _, m := range apps {
		app, ok := m.(*gantryv1.App)
		if !ok {
			continue
		}
		pods, err := podsOf(ctx, c, s, app.GetName())
		if err != nil {
			return nil, err
		}
		all = append(all, pods...)
	}
	return all, nil
}

func podsOf(ctx context.Context, c *client.Client, s *scope, app string) ([]proto.Message, error) {
	r, err := c.Apps.ListPods(ctx, &gantryv1.ListPodsRequest{Parent: app})
	if err != nil {
		return nil, err
	}
	s.unreachable = append(s.unreachable, r.GetUnreachable()...)
	var out []proto.Message
	for _, p := range r.GetPods() {
		out = append(out, p)
	}
	return out, nil
}

func listRoutes(ctx context.Context, c *client.Client, s *scope) ([]proto.Message, error) {
	return pages(func(token string) ([]*gantryv1.Route, string, error) {
		r, err := c.Routes.ListRoutes(ctx, &gantryv1.ListRoutesRequest{Parent: s.parent, PageSize: pageSize, PageToken: token})
		return r.GetRoutes(), r.GetNextPageToken(), err
	})
}

func listStreamRoutes(ctx context.Context, c *client.Client, s *scope) ([]proto.Message, error) {
	return pages(func(token string) ([]*gantryv1.StreamRoute, string, error) {
		r, err := c.Streams.ListStreamRoutes(ctx, &gantryv1.ListStreamRoutesRequest{Parent: s.parent, PageSize: pageSize, PageToken: token})
		return r.GetStreamRoutes(), r.GetNextPageToken(), err
	})
}

func listSecrets(ctx context.Context, c *client.Client, s *scope) ([]proto.Message, error) {
	return pages(func(token string) ([]*gantryv1.Secret, string, error) {
		r, err := c.Secrets.ListSecrets(ctx, &gantryv1.ListSecretsRequest{Parent: s.parent, PageSize: pageSize, PageToken: token})
		return r.GetSecrets(), r.GetNextPageToken(), err
	})
}

func listVolumes(ctx context.Context, c *client.Client, s *scope) ([]proto.Message, error) {
	return pages(func(token string) ([]*gantryv1.Volume, string, error) {
		r, err := c.Volumes.ListVolumes(ctx, &gantryv1.ListVolumesRequest{Parent: s.parent, PageSize: pageSize, PageToken: token})
		return r.GetVolumes(), r.GetNextPageToken(), err
	})
}

func listProjects(ctx context.Context, c *client.Client, _ *scope) ([]proto.Message, error) {
	return pages(func(token string) ([]*gantryv1.Project, string, error) {
		r, err := c.Projects.ListProjects(ctx, &gantryv1.ListProjectsRequest{PageSize: pageSize, PageToken: token})
		return r.GetProjects(), r.GetNextPageToken(), err
	})
}

func listClusters(ctx context.Context, c *client.Client, _ *scope) ([]proto.Message, error) {
	return pages(func(token string) ([]*gantryv1.Cluster, string, error) {
		r, err := c.Clusters.ListClusters(ctx, &gantryv1.ListClustersRequest{PageSize: pageSize, PageToken: token})
		return r.GetClusters(), r.GetNextPageToken(), err
	})
}

func listGateways(ctx context.Context, c *client.Client, _ *scope) ([]proto.Message, error) {
	return pages(func(token string) ([]*gantryv1.Gateway, string, error) {
		r, err := c.Gateways.ListGateways(ctx, &gantryv1.ListGatewaysRequest{PageSize: pageSize, PageToken: token})
		return r.GetGateways(), r.GetNextPageToken(), err
	})
}

// What grows for ever is shown by its newest page only.

func listOperations(ctx context.Context, c *client.Client, _ *scope) ([]proto.Message, error) {
	r, err := c.Operations.ListOperations(ctx, &gantryv1.ListOperationsRequest{PageSize: newestOnly})
	return messages[*longrunningpb.Operation](r.GetOperations()), err
}

func listDecisions(ctx context.Context, c *client.Client, _ *scope) ([]proto.Message, error) {
	r, err := c.Decisions.ListDecisions(ctx, &gantryv1.ListDecisionsRequest{PageSize: newestOnly})
	return messages[*gantryv1.Decision](r.GetDecisions()), err
}

func listAlarms(ctx context.Context, c *client.Client, _ *scope) ([]proto.Message, error) {
	r, err := c.Alarms.ListAlarms(ctx, &gantryv1.ListAlarmsRequest{PageSize: newestOnly})
	return messages[*gantryv1.Alarm](r.GetAlarms()), err
}

const newestOnly = 50

func messages[T proto.Message](items []T) []proto.Message {
	var out []proto.Message
	for _, m := range items {
		out = append(out, m)
	}
	return out
}
