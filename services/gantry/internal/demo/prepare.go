package demo

import (
	"context"
	"path"

	"gantry.dev/pkg/fault"
	gantryv1 "gantry.dev/proto/gen/gantry/v1"
	"gantry.dev/services/gantry/internal/output"
)

// startEverything mends what an earlier run may have left broken.
func (s *stage) startEverything(ctx context.Context) error {
	for _, c := range s.res.clusters {
		if err := s.cfg.Platform.Start(ctx, clusterName(c)); err != nil {
			return err
		}
	}
	for _, n := range s.res.gateway.GetNodes() {
		if err := s.cfg.Platform.Start(ctx, n.GetName()); err != nil {
			return err
		}
	}
	return nil
}

// tidy brings the registered clusters to where a first run begins: healthy,
// no work under way, all traffic and replicas at home.
func (s *stage) tidy(ctx context.Context) error {
	for _, c := range s.res.clusters {
		if err := s.awaitHealthy(ctx, clusterName(c)); err != nil {
			return err
		}
	}
	if err := s.endOldOperations(ctx); err != nil {
		return err
	}
	for _, c := range s.res.clusters {
		if err := s.bringHome(ctx, clusterName(c)); err != nil {
			return err
		}
	}
	return nil
}

func (s *stage) endOldOperations(ctx context.Context) error {
	list, err := s.api.Operations.ListOperations(ctx, &gantryv1.ListOperationsRequest{})
	if err != nil {
		return err
	}
	for _, op := range list.GetOperations() {
		if op.GetDone() {
			continue
		}
		if output.OperationMetadata(op).GetState() != gantryv1.OperationMetadata_STATE_AWAITING_APPROVAL {
			s.say("an operation of an earlier run is under way: %s", output.OperationMetadata(op).GetSummary())
			if err := s.follow(ctx, op); err != nil {
				return err
			}
			continue
		}
		_, err := s.api.Operations.CancelOperation(ctx, &gantryv1.CancelOperationRequest{Name: op.GetName()})
		if err != nil && !fault.Is(err, fault.KindPrecondition) {
			return err // a precondition: it has just ended by itself
		}
		s.say("cancelled %s, left by an earlier run", path.Base(op.GetName()))
	}
	return nil
}

func (s *stage) bringHome(ctx context.Context, cluster string) error {
	c, err := s.getCluster(ctx, cluster)
	if err != nil {
		return err
	}
	switch {
	case c.GetEvacuated():
		s.command("gantry cluster failback %s", cluster)
		return s.failBack(ctx, cluster)
	case c.GetTrafficPercent() != 100:
		s.command("gantry cluster switch %s --back --step %d", cluster, switchStep)
		return s.switchTraffic(ctx, cluster, 100)
	}
	return nil
}

// removeLopsided deletes the sample app when an earlier run has left all of it
// in one cluster: growing and shrinking move as little as they can, so it would
// stay there.
func (s *stage) removeLopsided(ctx context.Context) error {
	app, err := s.api.Apps.GetApp(ctx, &gantryv1.GetAppRequest{Name: s.res.app.GetName()})
	if fault.Is(err, fault.KindNotFound) {
		return nil
	}
	if err != nil || s.everywhere(app) {
		return err
	}
	s.say("an earlier run has left the app in one cluster; it is deleted first")
	s.command("gantry delete -f %s", s.manifest("route"))
	_, err = s.api.Routes.DeleteRoute(ctx, &gantryv1.DeleteRouteRequest{Name: s.res.route.GetName()})
	if err != nil && !fault.Is(err, fault.KindNotFound) {
		return err
	}
	s.command("gantry delete -f %s", s.manifest("app"))
	if _, err := s.api.Apps.DeleteApp(ctx, &gantryv1.DeleteAppRequest{Name: app.GetName()}); err != nil {
		return err
	}
	return await(ctx, briefPatience, "the old app to be gone", func(ctx context.Context) (bool, string, error) {
		_, err := s.api.Apps.CreateApp(ctx, &gantryv1.CreateAppRequest{Parent: s.res.project.GetName(), App: s.res.app, ValidateOnly: true})
		return !fault.HasReason(err, "APP_BEING_DELETED"), "it is still being deleted", nil
	})
}

// everywhere tells whether each cluster has replicas of the app.
func (s *stage) everywhere(app *gantryv1.App) bool {
	for _, c := range s.res.clusters {
		if replicas, _ := replicasOn(app, clusterName(c)); replicas == 0 {
			return false
		}
	}
	return true
}
