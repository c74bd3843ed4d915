package fleet

import (
	"cmp"
	"slices"

	gantryv1 "gantry.dev/proto/gen/gantry/v1"
	"gantry.dev/services/cluster-mgr/internal/placement"
	"gantry.dev/services/cluster-mgr/internal/store"
)

// InOrder are the apps in the order in which they get room: by priority, then
// name.
func (s Snapshot) InOrder() []store.Item[*gantryv1.App] {
	apps := slices.Clone(s.Apps)
	slices.SortStableFunc(apps, func(a, b store.Item[*gantryv1.App]) int {
		return cmp.Or(cmp.Compare(b.Value.GetSpec().GetPriority(), a.Value.GetSpec().GetPriority()), cmp.Compare(a.Name, b.Name))
	})
	return apps
}

// Settled is a Draft in which all other apps have the room that is due to
// them: also those whose replicas were admitted, but not placed yet.
func (s Snapshot) Settled(except string, there ImageThere) Snapshot {
	draft := s.Draft()
	for _, app := range s.InOrder() {
		if app.Name == except || !s.Unplaced(app.Name) {
			continue
		}
		in, err := draft.Placement(app.Value, s.Assignments[app.Name].Value.Desired, there)
		if err != nil {
			continue // its own placement says so
		}
		draft.Take(in, placement.Decide(in))
	}
	return draft
}

// Unplaced tells whether more replicas of an app were admitted than placed.
func (s Snapshot) Unplaced(app string) bool {
	a := s.Assignments[app].Value
	sum := 0
	for _, share := range a.Shares {
		sum += share.Replicas
	}
	return a.Desired > sum
}
