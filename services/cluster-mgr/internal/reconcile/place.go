package reconcile

import (
	"context"

	gantryv1 "gantry.dev/proto/gen/gantry/v1"
	"gantry.dev/services/cluster-mgr/internal/decision"
	"gantry.dev/services/cluster-mgr/internal/fleet"
	"gantry.dev/services/cluster-mgr/internal/placement"
	"gantry.dev/services/cluster-mgr/internal/store"
)

// place decides where an app's replicas go and stores the assignment together
// with the decision when anything changed.
func (l *Loop) place(ctx context.Context, snapshot fleet.Snapshot, app *gantryv1.App) (store.Assignment, error) {
	item := snapshot.Assignments[app.GetName()]
	in, err := snapshot.Placement(app, item.Value.Desired, l.Images)
	if err != nil {
		return store.Assignment{}, err
	}
	out := placement.Decide(in)
	next := item.Value
	next.App = app.GetName()
	next.Release = int(app.GetStatus().GetRelease())
	next.Shortfall = ""
	if out.Shortfall != nil {
		next.Shortfall = out.Shortfall.Sentence
	}
	moved := out.Changed() || len(item.Value.Shares) == 0 && next.Desired > 0
	if !moved && next.Release == item.Value.Release && next.Shortfall == item.Value.Shortfall {
		return item.Value, nil
	}
	change := store.NewChange().Guard(l.term.Guard())
	if moved || next.Shortfall != item.Value.Shortfall {
		next.Decision = decision.Placement(in, out).Epoch(l.term.Epoch).Put(l.Store, change)
	}
	next.Shares = fleet.Shares(out)
	l.Store.Assignments.Put(change, app.GetName(), next, item.ModRevision)
	if _, err := l.Store.Commit(ctx, change); err != nil {
		return store.Assignment{}, err
	}
	return next, nil
}
