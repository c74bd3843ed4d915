package reconcile

import (
	"testing"

	ipaasv1 "gantry.dev/proto/gen/gantry/ipaas/v1"
	gantryv1 "gantry.dev/proto/gen/gantry/v1"
	"gantry.dev/services/cluster-mgr/internal/fleet"
	"gantry.dev/services/cluster-mgr/internal/observe"
	"gantry.dev/services/cluster-mgr/internal/store"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

const web = "projects/pay/apps/web"

// site is one cluster of a test: what is assigned, runs and is ready there.
type site struct {
	name                   string
	share, running, ready  int
	unreachable, noneAtAll bool
}

func snapshotOf(desired int, sites ...site) (fleet.Snapshot, store.Assignment) {
	a := store.Assignment{App: web, Desired: desired, Release: 3}
	s := fleet.Snapshot{View: observe.View{Clusters: map[string]observe.ClusterView{}}}
	for _, x := range sites {
		s.Clusters = append(s.Clusters, store.Item[*gantryv1.Cluster]{Name: x.name, Value: &gantryv1.Cluster{Name: x.name}})
		a.Shares = append(a.Shares, store.ShareRecord{Cluster: x.name, Replicas: x.share})
		v := observe.ClusterView{IdentityOK: true, State: &ipaasv1.GetClusterStateResponse{ApiServerReady: !x.unreachable}}
		if !x.noneAtAll {
			v.Workloads = map[string]*ipaasv1.WorkloadState{web: {App: web, Replicas: int32(x.running), ReadyReplicas: int32(x.ready)}}
		}
		s.View.Clusters[x.name] = v
	}
	return s, a
}

func replicas(s fleet.Snapshot, a store.Assignment) map[string]int {
	out := map[string]int{}
	for _, w := range plan(s, &gantryv1.App{Name: web}, a) {
		out[w.cluster] = w.replicas
	}
	return out
}

// rule C2: replicas leave a cluster only as fast as they are ready elsewhere.
func TestReplicasMoveWithoutAGap(t *testing.T) {
	tests := []struct {
		name  string
		sites []site
		want  map[string]int
	}{
		{"nothing moves", []site{{"a", 2, 2, 2, false, false}, {"b", 2, 2, 2, false, false}}, map[string]int{"a": 2, "b": 2}},
		{"growing is at once", []site{{"a", 3, 2, 2, false, false}, {"b", 1, 1, 1, false, false}}, map[string]int{"a": 3, "b": 1}},
		{"b fills, a keeps all", []site{{"a", 2, 4, 4, false, false}, {"b", 2, 0, 0, false, true}}, map[string]int{"a": 4, "b": 2}},
		{"one is ready in b, a gives one", []site{{"a", 2, 4, 4, false, false}, {"b", 2, 2, 1, false, false}}, map[string]int{"a": 3, "b": 2}},
		{"both are ready in b, a gives both", []site{{"a", 2, 4, 4, false, false}, {"b", 2, 2, 2, false, false}}, map[string]int{"a": 2, "b": 2}},
		{"what runs beyond its share elsewhere does not count", []site{{"a", 2, 3, 3, false, false}, {"b", 2, 3, 3, false, false}}, map[string]int{"a": 2, "b": 2}},
		{"a cluster that cannot be asked counts as empty", []site{{"a", 2, 4, 4, false, false}, {"b", 2, 2, 2, true, false}}, map[string]int{"a": 4, "b": 2}},
		{"a returned cluster gives up what is ready elsewhere", []site{{"a", 4, 4, 4, false, false}, {"b", 0, 2, 2, false, false}}, map[string]int{"a": 4, "b": 0}},
		{"what two give up is not ready for either", []site{{"a", 1, 3, 3, false, false}, {"b", 1, 3, 3, false, false}, {"c", 2, 0, 0, false, true}}, map[string]int{"a": 3, "b": 3, "c": 2}},
		{"never was there", []site{{"a", 4, 4, 4, false, false}, {"b", 0, 0, 0, false, true}}, map[string]int{"a": 4}},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, replicas(snapshotOf(4, tc.sites...))); diff != "" {
				t.Errorf("replicas (-want +got):\n%s", diff)
			}
		})
	}
}

// rule C5: the copy that is given up is not kept until the new one is ready.
func TestASingleCopyIsNeverKept(t *testing.T) {
	s, a := snapshotOf(1, site{name: "a", share: 0, running: 1, ready: 1}, site{name: "b", share: 1, noneAtAll: true})
	got := map[string]int{}
	for _, w := range plan(s, &gantryv1.App{Name: web, Spec: &gantryv1.AppSpec{Class: gantryv1.AppClass_APP_CLASS_SINGLE}}, a) {
		got[w.cluster] = w.replicas
	}
	if diff := cmp.Diff(map[string]int{"a": 0, "b": 1}, got); diff != "" {
		t.Errorf("replicas (-want +got):\n%s", diff)
	}
}

// rule C2, for any two clusters: what stays is never less than what is wanted,
// unless less runs already.
func TestNoStepGoesBelowWhatIsWanted(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := func(label string) int { return rapid.IntRange(0, 20).Draw(t, label) }
		a := site{name: "a", share: n("share a"), running: n("running a")}
		b := site{name: "b", share: n("share b"), running: n("running b")}
		a.ready, b.ready = min(a.running, n("ready a")), min(b.running, n("ready b"))
		s, assignment := snapshotOf(a.share+b.share, a, b)
		got := replicas(s, assignment)
		// At worst the step takes ready replicas first.
		staysReady := max(0, a.ready-max(0, a.running-got["a"])) + max(0, b.ready-max(0, b.running-got["b"]))
		if wanted := min(assignment.Desired, a.ready+b.ready); staysReady < wanted && (a.ready == a.running && b.ready == b.running) {
			t.Fatalf("%+v %+v → %v: %d of %d ready replicas stay", a, b, got, staysReady, wanted)
		}
	})
}

func TestImageReference(t *testing.T) {
	for image, want := range map[string]string{
		"hello:v1":             "10.0.0.1:5000/hello@sha256:ab",
		"team/hello:v1":        "10.0.0.1:5000/team/hello@sha256:ab",
		"team/hello@sha256:00": "10.0.0.1:5000/team/hello@sha256:ab",
	} {
		if got := ImageReference("10.0.0.1:5000", image, "sha256:ab"); got != want {
			t.Errorf("%s: %s", image, got)
		}
	}
}
