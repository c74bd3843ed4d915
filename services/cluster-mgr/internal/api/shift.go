package api

import (
	"context"

	"cloud.google.com/go/longrunning/autogen/longrunningpb"
	"gantry.dev/pkg/fault"
	gantryv1 "gantry.dev/proto/gen/gantry/v1"
	"gantry.dev/services/cluster-mgr/internal/store"
)

// ShiftTraffic leads an app's requests to other clusters, step by step.
func (s *appService) ShiftTraffic(ctx context.Context, r *gantryv1.ShiftTrafficRequest) (*longrunningpb.Operation, error) {
	plan := func() (*longrunningpb.Operation, error) { return s.Planner.ShiftTraffic(ctx, r, user(ctx).User) }
	if r.GetValidateOnly() {
		return plan()
	}
	// The steps of other shifts are written meanwhile.
	return s.startOnce(ctx, r, plan)
}

// led adds to an app how its requests are divided now.
func (s *appService) led(ctx context.Context, app *gantryv1.App) error {
	item, err := s.Store.Shares.Get(ctx, app.GetName())
	if err != nil && !fault.Is(err, fault.KindNotFound) {
		return err
	}
	app.Status.TrafficShares = shownShares(item.Value)
	return nil
}

// shownShares are shares as the API shows them; nil: by ready pods.
func shownShares(r store.TrafficShares) map[string]int32 {
	if len(r.Clusters) == 0 {
		return nil
	}
	out := make(map[string]int32, len(r.Clusters))
	for cluster, percent := range r.Clusters {
		out["clusters/"+cluster] = percent
	}
	return out
}
