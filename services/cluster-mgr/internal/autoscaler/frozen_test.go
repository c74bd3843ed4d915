package autoscaler

import (
	"testing"

	gantryv1 "gantry.dev/proto/gen/gantry/v1"
	"gantry.dev/services/cluster-mgr/internal/failover"
	"gantry.dev/services/cluster-mgr/internal/fleet"
	"gantry.dev/services/cluster-mgr/internal/store"
)

// There is never a second writer of replicas: an app that is too busy waits,
// and grows as soon as the cause is gone.
func TestAFrozenAppKeepsItsNumber(t *testing.T) {
	t.Parallel()
	moving := fleet.Operation{Name: "operations/1", Plan: failover.Plan{Kind: failover.KindMigrateApps}}
	for name, c := range map[string]struct{ freeze, thaw func(w *world, app string) }{
		"automation is frozen": { // rule C3
			func(w *world, _ string) { w.loop.Frozen = func() string { return "we suspect ourselves" } },
			func(w *world, _ string) { w.loop.Frozen = func() string { return "" } },
		},
		"an operation moves work": {
			func(w *world, _ string) { w.operation(moving, gantryv1.OperationMetadata_STATE_RUNNING) },
			func(w *world, _ string) { w.operation(moving, gantryv1.OperationMetadata_STATE_SUCCEEDED) },
		},
		"a release is being rolled out": {
			func(w *world, app string) { w.view.Clusters["clusters/site-a"].Workloads[app].Release = 0 },
			func(w *world, app string) { w.view.Clusters["clusters/site-a"].Workloads[app].Release = 1 },
		},
		"its pods are being exchanged": {
			func(w *world, app string) { w.view.Clusters["clusters/site-a"].Workloads[app].UpdatedReplicas = 3 },
			func(w *world, app string) { w.view.Clusters["clusters/site-a"].Workloads[app].UpdatedReplicas = 4 },
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			app := w.app("busy", 4, 0.8)
			c.freeze(w, app)
			if w.rounds(3); w.desired(app) != 4 {
				t.Errorf("frozen, it has %d", w.desired(app))
			}
			c.thaw(w, app)
			if w.rounds(1); w.desired(app) != 6 {
				t.Errorf("afterwards it has %d", w.desired(app))
			}
		})
	}
}

// operation stores an operation in a state.
func (w *world) operation(o fleet.Operation, state gantryv1.OperationMetadata_State) {
	w.t.Helper()
	o.ModRevision, o.Metadata = store.Any, &gantryv1.OperationMetadata{State: state}
	w.put(func(c *store.Change) {
		if err := o.Put(w.store, c, w.now); err != nil {
			w.t.Fatal(err)
		}
	})
}

// A pod that ends serves nobody, and its use is no reason to grow.
func TestAPodThatEndsDoesNotCount(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	app := w.app("web", 5, 0.5)
	w.view.Clusters["clusters/site-a"].Pods[4].Terminating = true
	w.mu.Lock()
	w.use["web-4"] = 5
	w.mu.Unlock()
	if w.rounds(1); w.desired(app) != 5 {
		t.Errorf("it has %d", w.desired(app))
	}
}
