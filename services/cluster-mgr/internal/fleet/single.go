package fleet

import (
	gantryv1 "gantry.dev/proto/gen/gantry/v1"
	"gantry.dev/services/cluster-mgr/internal/placement"
)

// Single tells whether at most one copy of an app may ever run (rule C5).
func Single(app *gantryv1.App) bool {
	return app.GetSpec().GetClass() == gantryv1.AppClass_APP_CLASS_SINGLE
}

// only bends the placement of an app of class single: where it is assigned it
// stays, whatever happens to the cluster, until an operation has fenced it; it
// starts only where no other cluster shows a copy.
func (s Snapshot) only(in placement.Input) placement.Input {
	in.Desired = min(in.Desired, 1)
	held := false
	for i := range in.Clusters {
		if c := &in.Clusters[i]; c.Current > 0 && in.Desired > 0 {
			c.Hold, c.Idle, c.Eligible, held = true, false, false, true
			c.Reason = "it is of class single and moves only behind a fence"
		}
	}
	for i := range in.Clusters {
		c := &in.Clusters[i]
		if other := s.elsewhere(in.App, "clusters/"+c.Name); !held && c.Eligible && other != "" {
			c.Eligible, c.Reason = false, "waits until the copy in "+other+" has ended"
		}
	}
	return in
}
