package api

import (
	"context"

	"gantry.dev/pkg/fault"
	gantryv1 "gantry.dev/proto/gen/gantry/v1"
	"gantry.dev/services/cluster-mgr/internal/placement"
	"gantry.dev/services/cluster-mgr/internal/store"
	"google.golang.org/protobuf/proto"
)

func (s *appService) ScaleApp(ctx context.Context, r *gantryv1.ScaleAppRequest) (*gantryv1.App, error) {
	return s.once(ctx, r, func() (*gantryv1.App, error) { return s.scale(ctx, r) })
}

func (s *appService) scale(ctx context.Context, r *gantryv1.ScaleAppRequest) (*gantryv1.App, error) {
	item, assignment, err := s.assigned(ctx, r.GetName(), r.GetEtag())
	if err != nil {
		return nil, err
	}
	if a := item.Value.GetSpec().GetAutoscale(); a != nil {
		return nil, fault.Precondition("AUTOSCALED", "the autoscaler owns the replicas of %s (%d to %d); change minReplicas and maxReplicas of its policy, or remove the policy", r.GetName(), a.GetMinReplicas(), a.GetMaxReplicas())
	}
	next := proto.CloneOf(item.Value)
	next.Spec.Replicas = r.GetReplicas()
	had := assignment.Value.Desired
	assignment.Value.Desired = int(r.GetReplicas())
	return s.release(ctx, r, release{app: next, revision: item.ModRevision, assignment: assignment, before: item.Value.GetSpec(), desiredBefore: had}, false)
}

// assigned reads an app that an etag may be given of, and its assignment.
func (s *appService) assigned(ctx context.Context, name, etag string) (item store.Item[*gantryv1.App], assignment store.Item[store.Assignment], err error) {
	if item, err = s.Store.Apps.Get(ctx, name); err != nil {
		return item, assignment, err
	}
	if err = current(item, etag); err != nil {
		return item, assignment, err
	}
	assignment, err = s.Store.Assignments.Get(ctx, name)
	return item, assignment, err
}

// RollbackApp makes a new release of what an older one ran: image, arguments,
// environment, files, ports, checks and resources. How many replicas there
// are, by which policy, and where, stays as it is now: an older number could
// be far too small for the present load.
func (s *appService) RollbackApp(ctx context.Context, r *gantryv1.RollbackAppRequest) (*gantryv1.App, error) {
	return s.once(ctx, r, func() (*gantryv1.App, error) { return s.rollback(ctx, r) })
}

func (s *appService) rollback(ctx context.Context, r *gantryv1.RollbackAppRequest) (*gantryv1.App, error) {
	item, assignment, err := s.assigned(ctx, r.GetName(), "")
	if err != nil {
		return nil, err
	}
	old, err := s.Store.Releases.Get(ctx, store.ReleaseName(r.GetName(), r.GetRelease()))
	if err != nil {
		return nil, err
	}
	next := proto.CloneOf(item.Value)
	next.Spec = proto.CloneOf(old.Value.GetSpec())
	keepSize(next.GetSpec(), item.Value.GetSpec())
	return s.release(ctx, r, release{
		app: next, revision: item.ModRevision, assignment: assignment, before: item.Value.GetSpec(), desiredBefore: assignment.Value.Desired,
		digest: old.Value.GetDigest(), of: r.GetRelease(), versions: old.Value.GetSecretVersions(),
	}, false)
}

// keepSize copies how many replicas there are, and where, into another spec.
func keepSize(spec, from *gantryv1.AppSpec) {
	spec.Replicas, spec.Autoscale = from.GetReplicas(), proto.CloneOf(from.GetAutoscale())
	spec.Placement, spec.Priority = proto.CloneOf(from.GetPlacement()), from.GetPriority()
}

// RebalanceApp asks the leader to divide an app's replicas anew. Dividing
// changes no number and no release, so there is nothing to check but the etag.
func (s *appService) RebalanceApp(ctx context.Context, r *gantryv1.RebalanceAppRequest) (*gantryv1.App, error) {
	return s.once(ctx, r, func() (*gantryv1.App, error) { return s.rebalance(ctx, r) })
}

func (s *appService) rebalance(ctx context.Context, r *gantryv1.RebalanceAppRequest) (*gantryv1.App, error) {
	item, assignment, err := s.assigned(ctx, r.GetName(), r.GetEtag())
	if err != nil {
		return nil, err
	}
	if item.Value.GetSpec().GetClass() == gantryv1.AppClass_APP_CLASS_SINGLE {
		return nil, fault.Precondition("SINGLE_STAYS", "%s runs in one copy, which only planned work moves; an operator does it with `gantry cluster migrate`", r.GetName())
	}
	plan, err := s.Fitter.Division(ctx, item.Value, assignment.Value.Desired, true)
	if err != nil {
		return nil, err
	}
	if plan.Shortfall != nil {
		return nil, s.noRoom(ctx, item.Value, fault.Exhausted("CAPACITY_EXHAUSTED", "%s", plan.Shortfall.Sentence))
	}
	if r.GetValidateOnly() {
		shown := s.view(item, assignment.Value)
		divided(shown, plan)
		return shown, s.led(ctx, shown)
	}
	change := store.NewChange()
	s.Store.Apps.Expect(change, item.Name, item.ModRevision)
	assignment.Value.Rebalance = true
	s.Store.Assignments.Put(change, item.Name, assignment.Value, assignment.ModRevision)
	shown := s.view(item, assignment.Value)
	if err := s.led(ctx, shown); err != nil {
		return nil, err
	}
	_, err = s.commit(ctx, change, r, withoutFiles(shown))
	return shown, err
}

// divided shows an app as a plan would divide it.
func divided(app *gantryv1.App, plan placement.Plan) {
	var parts []*gantryv1.ClusterAssignment
	for _, share := range plan.Shares {
		part := &gantryv1.ClusterAssignment{Cluster: "clusters/" + share.Cluster}
		for _, now := range app.GetStatus().GetAssignments() {
			if now.GetCluster() == part.GetCluster() {
				part = now
			}
		}
		part.Replicas, part.Reason = int32(share.Replicas), share.Reason
		parts = append(parts, part)
	}
	app.Status.Assignments = parts
	app.Status.Message = "not changed; this is how it would be divided"
}
