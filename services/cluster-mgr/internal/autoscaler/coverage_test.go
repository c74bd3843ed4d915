package autoscaler

import (
	"testing"

	gantryv1 "gantry.dev/proto/gen/gantry/v1"
	"gantry.dev/services/cluster-mgr/internal/store"
)

// rule A3: a silent cluster keeps its replicas while it is in rotation, and
// counts for nothing when it is not. The numbers are the design's: five pods
// at 80 % are seen, five are not.
func TestASilentCluster(t *testing.T) {
	for name, test := range map[string]struct {
		change func(*gantryv1.Cluster)
		want   int
	}{
		"in rotation":         {func(*gantryv1.Cluster) {}, 13},
		"with little of it":   {func(c *gantryv1.Cluster) { c.TrafficPercent = 1 }, 13},
		"evacuated":           {func(c *gantryv1.Cluster) { c.Evacuated = true }, 8},
		"without its traffic": {func(c *gantryv1.Cluster) { c.TrafficPercent = 0 }, 8},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			app := w.app("web", 5, 0.8)
			silent := &gantryv1.Cluster{Name: "clusters/site-b", TrafficPercent: 100}
			test.change(silent)
			w.put(func(c *store.Change) {
				w.store.Clusters.Put(c, silent.GetName(), silent, 0)
				w.store.Assignments.Put(c, app, store.Assignment{App: app, Desired: 10, Release: 1, Shares: []store.ShareRecord{
					{Cluster: "clusters/site-a", Replicas: 5}, {Cluster: silent.GetName(), Replicas: 5},
				}}, store.Any)
			})
			w.rounds(1)
			if got := w.desired(app); got != test.want {
				t.Errorf("it has %d, want %d", got, test.want)
			}
		})
	}
}
