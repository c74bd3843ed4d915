package api

import (
	"context"

	"gantry.dev/pkg/fault"
	gantryv1 "gantry.dev/proto/gen/gantry/v1"
	"gantry.dev/services/cluster-mgr/internal/fleet"
)

// fits refuses an app whose wanted replicas find no room.
func (s *appService) fits(ctx context.Context, app *gantryv1.App, desired int) error {
	err := s.Fitter.Fit(ctx, app, desired)
	if fault.HasReason(err, "CAPACITY_EXHAUSTED") {
		return s.noRoom(ctx, app, err)
	}
	return err
}

// noRoom is why an app finds no room: there is none, or nobody sees where
// there would be. Out of sight is not full (rule C1), and is soon over.
func (s *appService) noRoom(ctx context.Context, app *gantryv1.App, exhausted error) error {
	snapshot, err := fleet.Load(ctx, s.Store, s.Observer.View())
	if err != nil {
		return err
	}
	for _, c := range snapshot.Clusters {
		if snapshot.MayRun(app, c.Name) && snapshot.Observed(c.Name) {
			return exhausted
		}
	}
	return fault.Unavailable("CLUSTERS_NOT_OBSERVED", "none of the clusters that %s may run in can be observed now, so their room is not known; nothing was changed, try again in a moment, `gantry get clusters` shows their state", app.GetName())
}
