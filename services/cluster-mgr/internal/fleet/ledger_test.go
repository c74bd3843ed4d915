package fleet

import (
	"errors"
	"testing"

	ipaasv1 "gantry.dev/proto/gen/gantry/ipaas/v1"
	gantryv1 "gantry.dev/proto/gen/gantry/v1"
	"gantry.dev/services/cluster-mgr/internal/observe"
	"gantry.dev/services/cluster-mgr/internal/placement"
	"gantry.dev/services/cluster-mgr/internal/store"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	siteA = "clusters/site-a"
	siteB = "clusters/site-b"
	web   = "projects/pay/apps/web"
	api   = "projects/pay/apps/api"
)

// everywhere has every image.
func everywhere(*gantryv1.Cluster, *gantryv1.App) (bool, string) { return true, "" }

// land is two observed clusters of two nodes with 1000m each, and apps of 250m.
func land() Snapshot {
	s := Snapshot{Assignments: map[string]store.Item[store.Assignment]{}, View: observe.View{Clusters: map[string]observe.ClusterView{}}}
	for _, name := range []string{siteA, siteB} {
		s.Clusters = append(s.Clusters, store.Item[*gantryv1.Cluster]{Name: name, Value: &gantryv1.Cluster{Name: name, TrafficPercent: 100}})
		s.View.Clusters[name] = observe.ClusterView{IdentityOK: true, Workloads: map[string]*ipaasv1.WorkloadState{}, State: &ipaasv1.GetClusterStateResponse{
			ApiServerReady: true,
			Nodes:          []*gantryv1.NodeCapacity{node("n1", true), node("n2", true)},
		}}
	}
	return s
}

func node(name string, ready bool) *gantryv1.NodeCapacity {
	return &gantryv1.NodeCapacity{Name: name, Ready: ready, AllocatableMilliCpu: 1000, AllocatableMemoryBytes: 8 << 30, MaxPods: 10}
}

func appOf(name string, change ...func(*gantryv1.AppSpec)) *gantryv1.App {
	app := &gantryv1.App{Name: name, Spec: &gantryv1.AppSpec{Resources: &gantryv1.Resources{Cpu: "250m", Memory: "64Mi"}}}
	for _, f := range change {
		f(app.GetSpec())
	}
	return app
}

// assign adds an app with its shares in site-a and site-b.
func (s *Snapshot) assign(app *gantryv1.App, desired, a, b int) {
	s.Apps = append(s.Apps, store.Item[*gantryv1.App]{Name: app.GetName(), Value: app})
	s.Assignments[app.GetName()] = store.Item[store.Assignment]{Name: app.GetName(), Value: store.Assignment{
		App: app.GetName(), Desired: desired, Shares: []store.ShareRecord{{Cluster: siteA, Replicas: a}, {Cluster: siteB, Replicas: b}},
	}}
}

// bind puts a pod of an app, and its request, onto a node of site-a.
func (s *Snapshot) bind(app, name string, change ...func(*gantryv1.Pod)) {
	v := s.View.Clusters[siteA]
	p := &gantryv1.Pod{App: app, Node: name, Phase: "Running"}
	for _, f := range change {
		f(p)
	}
	v.Pods = append(v.Pods, p)
	for _, n := range v.State.GetNodes() {
		if n.GetName() == name && !ended(p) {
			n.RequestedMilliCpu += 250
			n.Pods++
		}
	}
	s.View.Clusters[siteA] = v
}

// free is what a cluster's nodes have left, in thousandths of a CPU.
func (s Snapshot) free(cluster string) int64 {
	var sum int64
	for _, n := range s.nodes(cluster) {
		sum += n.Allocatable.MilliCPU - n.Requested.MilliCPU
	}
	return sum
}

func TestWhatIsAssignedIsReserved(t *testing.T) {
	tests := []struct {
		name string
		make func(*Snapshot)
		want int64
	}{
		{"nothing", func(*Snapshot) {}, 2000},
		{"assigned, not there yet", func(s *Snapshot) { s.assign(appOf(web), 3, 3, 0) }, 1250},
		{"on its node, counted once", func(s *Snapshot) {
			s.assign(appOf(web), 2, 2, 0)
			s.bind(web, "n1")
			s.bind(web, "n2")
		}, 1500},
		{"some on nodes, some on the way", func(s *Snapshot) {
			s.assign(appOf(web), 3, 3, 0)
			s.bind(web, "n1")
		}, 1250},
		{"a pod without a node holds its reservation", func(s *Snapshot) {
			s.assign(appOf(web), 1, 1, 0)
			s.bind(web, "")
		}, 1750},
		{"a pod that ends is not the one that comes", func(s *Snapshot) {
			s.assign(appOf(web), 1, 1, 0)
			s.bind(web, "n1", func(p *gantryv1.Pod) { p.Terminating = true })
		}, 1500},
		{"a pod that has ended holds nothing", func(s *Snapshot) {
			s.assign(appOf(web), 1, 1, 0)
			s.bind(web, "n1", func(p *gantryv1.Pod) { p.Phase = "Failed" })
		}, 1750},
		{"a pod on a dead node comes again elsewhere", func(s *Snapshot) {
			s.assign(appOf(web), 1, 1, 0)
			s.bind(web, "n2")
			s.View.Clusters[siteA].State.Nodes[1].Ready = false
		}, 750},
		{"what was told to run while replicas move", func(s *Snapshot) {
			s.assign(appOf(web), 3, 1, 2)
			s.View.Clusters[siteA].Workloads[web] = &ipaasv1.WorkloadState{App: web, Replicas: 3}
		}, 1250},
		{"two apps", func(s *Snapshot) {
			s.assign(appOf(api), 2, 2, 0)
			s.assign(appOf(web), 3, 3, 0)
			s.bind(api, "n1")
		}, 750},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			s := land()
			tc.make(&s)
			if got := s.free(siteA); got != tc.want {
				t.Errorf("free %dm, want %dm", got, tc.want)
			}
			if got := s.Draft().free(siteA); got != tc.want {
				t.Errorf("free in a draft %dm, want %dm", got, tc.want)
			}
		})
	}
}

func TestPodsAreCountedToo(t *testing.T) {
	s := land()
	tiny := appOf(web, func(spec *gantryv1.AppSpec) { spec.Resources.Cpu = "1m" })
	s.assign(tiny, 6, 6, 0)
	in, err := s.Placement(appOf(api, func(spec *gantryv1.AppSpec) { spec.Resources.Cpu = "1m" }), 34, everywhere)
	if err != nil {
		t.Fatal(err)
	}
	if out := placement.Decide(in); out.Shortfall != nil || out.Replicas("site-a") != 14 || out.Replicas("site-b") != 20 {
		t.Errorf("%+v", out)
	}
	in.Desired++
	if out := placement.Decide(in); out.Shortfall == nil {
		t.Errorf("one pod too many fits: %+v", out)
	}
}

// The app's own replicas that are on the way are no room for more of them.
func TestOwnReservationCounts(t *testing.T) {
	s := land()
	s.assign(appOf(web), 16, 8, 8)
	in, err := s.Placement(appOf(web), 17, everywhere)
	if err != nil {
		t.Fatal(err)
	}
	if out := placement.Decide(in); out.Shortfall == nil || out.Shortfall.Replicas != 1 {
		t.Errorf("%+v", out)
	}
}

func TestADraftLeavesLessToTheNext(t *testing.T) {
	s := land()
	draft := s.Draft()
	for _, name := range []string{api, web} {
		in, err := draft.Placement(appOf(name), 6, everywhere)
		if err != nil {
			t.Fatal(err)
		}
		out := placement.Decide(in)
		if out.Shortfall != nil {
			t.Fatal(out.Shortfall.Sentence)
		}
		draft.Take(in, out)
	}
	if a, b := draft.free(siteA), draft.free(siteB); a+b != 4000-12*250 {
		t.Errorf("free %dm and %dm", a, b)
	}
	if s.free(siteA) != 2000 {
		t.Error("the snapshot itself was changed")
	}
}

// What was admitted, but not placed yet, is promised.
func TestSettledCountsWhatWasAdmitted(t *testing.T) {
	s := land()
	s.assign(appOf(api), 12, 0, 0)
	s.assign(appOf("projects/pay/apps/vast"), 100, 0, 0) // fits nowhere, so it takes nothing
	in, err := s.Settled(web, everywhere).Placement(appOf(web), 5, everywhere)
	if err != nil {
		t.Fatal(err)
	}
	if out := placement.Decide(in); out.Shortfall == nil || out.Shortfall.Replicas != 1 {
		t.Errorf("%+v", out)
	}
}

func TestLargerReplicasNeedRoomAnew(t *testing.T) {
	s := land()
	s.assign(appOf(web), 4, 4, 0)
	for _, n := range []string{"n1", "n1", "n2", "n2"} {
		s.bind(web, n)
	}
	for cpu, missing := range map[string]int{"500m": 0, "1": 0, "1001m": 4, "100m": 0} {
		in, err := s.Settled(web, everywhere).Placement(appOf(web, func(spec *gantryv1.AppSpec) { spec.Resources.Cpu = cpu }), 4, everywhere)
		if err != nil {
			t.Fatal(err)
		}
		got := 0
		if out := placement.Decide(s.Grown(in)); out.Shortfall != nil {
			got = out.Shortfall.Replicas
		}
		if got != missing {
			t.Errorf("%s: %d missing, want %d", cpu, got, missing)
		}
	}
}

func TestTheSpecReachesPlacement(t *testing.T) {
	s := land()
	app := appOf(web, func(spec *gantryv1.AppSpec) {
		spec.Placement = &gantryv1.Placement{Strategy: gantryv1.Placement_STRATEGY_ORDERED, Clusters: []*gantryv1.ClusterPlacement{
			{Cluster: siteA, Min: 1, Max: 9, Weight: 3}, {Cluster: siteB, Priority: 7},
		}}
	})
	in, err := s.Placement(app, 2, everywhere)
	if err != nil {
		t.Fatal(err)
	}
	a, b := in.Clusters[0], in.Clusters[1]
	if in.Strategy != placement.StrategyOrdered || a.Min != 1 || a.Max != 9 || a.Weight != 3 || a.Priority != 0 || b.Priority != 7 {
		t.Errorf("%+v", in)
	}
	for proto, want := range map[gantryv1.Placement_Strategy]placement.Strategy{
		gantryv1.Placement_STRATEGY_PACK: placement.StrategyPack, gantryv1.Placement_STRATEGY_SPREAD: "", gantryv1.Placement_STRATEGY_UNSPECIFIED: "",
	} {
		if got := strategy(proto); got != want {
			t.Errorf("%s: %q, want %q", proto, got, want)
		}
	}
}

// rule C5
func TestSingleStaysWhereItIs(t *testing.T) {
	job := appOf(web, func(spec *gantryv1.AppSpec) { spec.Class = gantryv1.AppClass_APP_CLASS_SINGLE })
	tests := []struct {
		name string
		make func(*Snapshot)
		want [2]int
	}{
		{"it starts in one cluster, whatever is wanted", func(s *Snapshot) { s.assign(job, 5, 0, 0) }, [2]int{1, 0}},
		{"it stays in a cluster that cannot be observed", func(s *Snapshot) {
			s.assign(job, 1, 0, 1)
			v := s.View.Clusters[siteB]
			v.StateErr = errors.New("silence")
			s.View.Clusters[siteB] = v
		}, [2]int{0, 1}},
		{"it stays in an evacuated cluster", func(s *Snapshot) {
			s.assign(job, 1, 0, 1)
			s.Clusters[1].Value.Evacuated = true
		}, [2]int{0, 1}},
		{"it ends when nobody wants it", func(s *Snapshot) { s.assign(job, 0, 0, 1) }, [2]int{0, 0}},
		{"it starts only where it still shows", func(s *Snapshot) {
			s.assign(job, 1, 0, 0)
			s.View.Clusters[siteB].Workloads[web] = &ipaasv1.WorkloadState{App: web, Replicas: 1}
		}, [2]int{0, 1}},
		{"it starts nowhere while it shows twice", func(s *Snapshot) {
			s.assign(job, 1, 0, 0)
			s.bind(web, "n1", func(p *gantryv1.Pod) { p.Terminating = true })
			s.View.Clusters[siteB].Workloads[web] = &ipaasv1.WorkloadState{App: web, Replicas: 1}
		}, [2]int{0, 0}},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			s := land()
			tc.make(&s)
			in, err := s.Placement(job, s.Assignments[web].Value.Desired, everywhere)
			if err != nil {
				t.Fatal(err)
			}
			out := placement.Decide(in)
			if got := [2]int{out.Replicas("site-a"), out.Replicas("site-b")}; got != tc.want {
				t.Errorf("got %v, want %v: %+v", got, tc.want, out)
			}
		})
	}
}

func TestAppsGetRoomByPriority(t *testing.T) {
	s := land()
	for name, priority := range map[string]int32{"b": 0, "a": 0, "z": 5, "c": -5} {
		s.Apps = append(s.Apps, store.Item[*gantryv1.App]{Name: name, Value: appOf(name, func(spec *gantryv1.AppSpec) { spec.Priority = priority })})
	}
	got := ""
	for _, app := range s.InOrder() {
		got += app.Name
	}
	if got != "zabc" {
		t.Errorf("order %s", got)
	}
}
