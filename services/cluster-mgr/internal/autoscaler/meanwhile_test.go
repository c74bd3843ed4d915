package autoscaler

import (
	"net/http"
	"testing"

	gantryv1 "gantry.dev/proto/gen/gantry/v1"
	"gantry.dev/services/cluster-mgr/internal/store"
)

// What is written while a round asks its question: where replicas are delays
// nothing, but a number or an app that somebody changed stays as it is.
func TestWrittenMeanwhile(t *testing.T) {
	w := newWorld(t)
	moved, grown, changed, still := w.app("moved", 4, 0.8), w.app("grown", 4, 0.8), w.app("changed", 4, 0.8), w.app("still", 4, 0.8)
	w.trouble = func(out http.ResponseWriter, r *http.Request) {
		w.mu.Lock()
		w.trouble = nil
		w.mu.Unlock()
		w.put(func(c *store.Change) {
			w.store.Assignments.Put(c, moved, store.Assignment{App: moved, Desired: 4, Release: 1, Shares: []store.ShareRecord{{Cluster: "clusters/site-b", Replicas: 4}}}, store.Any)
			w.store.Assignments.Put(c, grown, store.Assignment{App: grown, Desired: 5, Release: 1}, store.Any)
			w.store.Apps.Put(c, changed, &gantryv1.App{Name: changed, Spec: &gantryv1.AppSpec{}, Status: &gantryv1.AppStatus{Release: 1}}, store.Any)
		})
		w.ServeHTTP(out, r)
	}
	w.rounds(1)
	for app, want := range map[string]int{moved: 6, grown: 5, changed: 4, still: 6} {
		if got := w.desired(app); got != want {
			t.Errorf("%s has %d, want %d", app, got, want)
		}
	}
	a, err := w.store.Assignments.Get(t.Context(), moved)
	if err != nil || a.Value.Replicas("clusters/site-b") != 4 {
		t.Errorf("what was written meanwhile is lost: %+v, %v", a.Value, err)
	}
}
