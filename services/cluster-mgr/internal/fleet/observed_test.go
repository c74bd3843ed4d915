package fleet

import (
	"errors"
	"testing"

	ipaasv1 "gantry.dev/proto/gen/gantry/ipaas/v1"
	gantryv1 "gantry.dev/proto/gen/gantry/v1"
	"gantry.dev/services/cluster-mgr/internal/observe"
	"gantry.dev/services/cluster-mgr/internal/store"
)

const (
	lookedAt = "clusters/site-a"
	seenApp  = "projects/pay/apps/web"
)

// seen is a cluster that answers and runs two replicas.
func seen() observe.ClusterView {
	return observe.ClusterView{
		State: &ipaasv1.GetClusterStateResponse{ApiServerReady: true}, IdentityOK: true,
		Workloads: map[string]*ipaasv1.WorkloadState{seenApp: {Replicas: 2, ReadyReplicas: 2}},
	}
}

// Each of these alone makes what was seen old: nothing is ready for certain,
// nothing is taken away, and pods go on being served (rules C1, K2).
func TestAClusterThatCannotBeObserved(t *testing.T) {
	t.Parallel()
	silent := errors.New("no answer")
	for _, c := range []struct {
		name     string
		change   func(v *observe.ClusterView)
		observed bool
	}{
		{"it answers", func(*observe.ClusterView) {}, true},
		{"its ipaas does not answer", func(v *observe.ClusterView) { v.StateErr = silent }, false},
		{"its lists do not come", func(v *observe.ClusterView) { v.WorkloadsErr = silent }, false},
		{"another cluster answers", func(v *observe.ClusterView) { v.IdentityOK = false }, false},
		{"its API server is dead", func(v *observe.ClusterView) { v.State.ApiServerReady = false }, false},
	} {
		view := seen()
		c.change(&view)
		cluster := &gantryv1.Cluster{Name: lookedAt, TrafficPercent: 100}
		s := Snapshot{
			Clusters: []store.Item[*gantryv1.Cluster]{{Name: lookedAt, Value: cluster}},
			View:     observe.View{Clusters: map[string]observe.ClusterView{lookedAt: view}},
		}
		ready := 0
		if c.observed {
			ready = 2
		}
		if s.Observed(lookedAt) != c.observed || s.Ready(seenApp, lookedAt) != ready {
			t.Errorf("%s: observed %t, %d ready", c.name, s.Observed(lookedAt), s.Ready(seenApp, lookedAt))
		}
		if hold, eligible, reason := s.admit(cluster); hold == c.observed || eligible != c.observed {
			t.Errorf("%s: hold %t, eligible %t: %s", c.name, hold, eligible, reason)
		}
		if got := s.Serving(seenApp)[0]; got.Ready != 2 || got.Unknown == c.observed {
			t.Errorf("%s: serving %+v", c.name, got)
		}
	}
	if (Snapshot{}).Observed(lookedAt) {
		t.Error("a cluster that nobody has looked at is observed")
	}
}
