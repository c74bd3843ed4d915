package planning_test

import (
	"testing"

	"gantry.dev/pkg/etcdkv/etcdtest"
	"gantry.dev/pkg/fault"
	ipaasv1 "gantry.dev/proto/gen/gantry/ipaas/v1"
	gantryv1 "gantry.dev/proto/gen/gantry/v1"
	"gantry.dev/services/cluster-mgr/internal/observe"
	"gantry.dev/services/cluster-mgr/internal/planning"
	"gantry.dev/services/cluster-mgr/internal/store"
)

// still is a view that does not change: two empty clusters with room for four
// replicas of 500m each.
type still struct{}

func (still) View() observe.View {
	v := observe.View{Clusters: map[string]observe.ClusterView{}}
	for _, name := range []string{siteA, siteB} {
		v.Clusters[name] = observe.ClusterView{IdentityOK: true, State: &ipaasv1.GetClusterStateResponse{
			ApiServerReady: true,
			Nodes:          []*gantryv1.NodeCapacity{{Name: "n", Ready: true, AllocatableMilliCpu: 2000, AllocatableMemoryBytes: 8 << 30}},
		}}
	}
	return v
}

func half(name string, cpu string) *gantryv1.App {
	return &gantryv1.App{Name: name, Spec: &gantryv1.AppSpec{Image: "hello:v1", Resources: &gantryv1.Resources{Cpu: cpu, Memory: "64Mi"}}}
}

func TestFitKeepsWhatWasPromised(t *testing.T) {
	s := store.New(etcdtest.Start(t).Client(t))
	planner, err := planning.New(planning.Config{Store: s, Observer: still{}, Images: func(*gantryv1.Cluster, *gantryv1.App) (bool, string) { return true, "" }})
	if err != nil {
		t.Fatal(err)
	}
	fit := func(app *gantryv1.App, desired int, reason string) {
		t.Helper()
		if err := planner.Fit(t.Context(), app, desired); (reason == "") != (err == nil) || reason != "" && !fault.HasReason(err, reason) {
			t.Errorf("%d of %s: %v, want %q", desired, app.GetName(), err, reason)
		}
	}
	fit(half(pay, "500m"), 1, "NO_CLUSTER")
	change := store.NewChange()
	for _, n := range []string{siteA, siteB} {
		s.Clusters.Put(change, n, &gantryv1.Cluster{Name: n, TrafficPercent: 100}, 0)
	}
	// One app is assigned but on no node, one was admitted only.
	s.Apps.Put(change, pay, half(pay, "500m"), 0)
	s.Assignments.Put(change, pay, store.Assignment{App: pay, Desired: 3, Shares: []store.ShareRecord{{Cluster: siteA, Replicas: 2}, {Cluster: siteB, Replicas: 1}}}, 0)
	s.Apps.Put(change, cron, half(cron, "500m"), 0)
	s.Assignments.Put(change, cron, store.Assignment{App: cron, Desired: 2}, 0)
	if _, err := s.Commit(t.Context(), change); err != nil {
		t.Fatal(err)
	}
	fit(half("projects/pay/apps/new", "500m"), 3, "")
	fit(half("projects/pay/apps/new", "500m"), 4, "CAPACITY_EXHAUSTED")
	fit(half(pay, "500m"), 6, "")
	fit(half(pay, "500m"), 7, "CAPACITY_EXHAUSTED")
	fit(half(pay, "nonsense"), 1, "RESOURCES_INVALID")
	fit(half("projects/pay/apps/new", "2001m"), 1, "CAPACITY_EXHAUSTED")

	anew, err := planner.Division(t.Context(), half(cron, "500m"), 2, true)
	if err != nil || anew.Replicas("site-a") != 1 || anew.Replicas("site-b") != 1 {
		t.Errorf("divided anew: %+v, %v", anew, err)
	}
	report, err := planner.Survival(t.Context())
	if err != nil || len(report.GetLosses()) != 2 || report.GetLosses()[0].GetReplicas() != 2 || report.GetLosses()[0].GetUnplaced() != 0 || report.GetTime() == nil {
		t.Errorf("survival: %v, %v", report, err)
	}
}
