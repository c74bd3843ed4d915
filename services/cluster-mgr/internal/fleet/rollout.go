package fleet

import (
	"fmt"

	"gantry.dev/pkg/names"
	gantryv1 "gantry.dev/proto/gen/gantry/v1"
)

// Rollout says which release of an app is still being rolled out, as part of a
// sentence; empty: every observed cluster that has replicas runs the wanted
// one.
func (s Snapshot) Rollout(app *gantryv1.App) string {
	wanted := app.GetStatus().GetRelease()
	for _, c := range s.Clusters {
		if s.Assignments[app.GetName()].Value.Replicas(c.Name) == 0 || !s.Observed(c.Name) {
			continue
		}
		w := s.View.Clusters[c.Name].Workloads[app.GetName()]
		if w.GetRelease() != wanted || w.GetUpdatedReplicas() < w.GetReadyReplicas() {
			return fmt.Sprintf("release %d is being rolled out in %s", wanted, names.ID(c.Name))
		}
	}
	return ""
}
