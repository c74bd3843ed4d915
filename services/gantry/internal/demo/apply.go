package demo

import (
	"context"

	"gantry.dev/pkg/fault"
	gantryv1 "gantry.dev/proto/gen/gantry/v1"
)

// What follows is what `gantry apply` does with each kind. A resource that is
// there already is kept or brought to the manifest's state, so the demo can
// be run again.

func (s *stage) applyClusters(ctx context.Context) error {
	for _, c := range s.res.clusters {
		_, err := s.api.Clusters.CreateCluster(ctx, &gantryv1.CreateClusterRequest{Cluster: c})
		if fault.Is(err, fault.KindExists) { // under this name?
			_, err = s.getCluster(ctx, clusterName(c))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (s *stage) applyProject(ctx context.Context) error {
	_, err := s.api.Projects.UpdateProject(ctx, &gantryv1.UpdateProjectRequest{Project: s.res.project, AllowMissing: true})
	return err
}

func (s *stage) applyGateway(ctx context.Context) error {
	_, err := s.api.Gateways.CreateGateway(ctx, &gantryv1.CreateGatewayRequest{Gateway: s.res.gateway})
	if fault.Is(err, fault.KindExists) { // under this name?
		_, err = s.gatewayNodes(ctx)
	}
	return err
}

func (s *stage) applyRoute(ctx context.Context) error {
	_, err := s.api.Routes.UpdateRoute(ctx, &gantryv1.UpdateRouteRequest{Route: s.res.route, AllowMissing: true})
	return err
}

func (s *stage) applyApp(ctx context.Context, app *gantryv1.App) (*gantryv1.App, error) {
	return s.api.Apps.UpdateApp(ctx, &gantryv1.UpdateAppRequest{App: app, AllowMissing: true})
}
