package failover

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func check(t *testing.T, what string, want string, got []Step) {
	t.Helper()
	if diff := cmp.Diff(lines(want), text(got)); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

func TestSwitchAwayAndBack(t *testing.T) {
	in := SwitchInput{Cluster: "site-b", Clusters: []Cluster{site("site-a", 10), site("site-b", 10)}, Apps: []App{app("web", 2, 2)}}
	p := Switch(in)
	check(t, "steps", `
		SET_TRAFFIC site-b 75
		WAIT_GENERATION site-b
		SET_TRAFFIC site-b 50
		WAIT_GENERATION site-b
		SET_TRAFFIC site-b 25
		WAIT_GENERATION site-b
		SET_TRAFFIC site-b 0
		WAIT_GENERATION site-b
		DRAIN site-b`, p.Steps)
	check(t, "reverse", `
		SET_TRAFFIC site-b 25
		WAIT_GENERATION site-b
		SET_TRAFFIC site-b 50
		WAIT_GENERATION site-b
		SET_TRAFFIC site-b 75
		WAIT_GENERATION site-b
		SET_TRAFFIC site-b 100
		WAIT_GENERATION site-b`, p.Reverse)
	if len(p.Problems) != 0 || len(p.Moves) != 0 || p.Kind != KindSwitchTraffic {
		t.Errorf("got %+v", p)
	}
	in.Clusters[1].TrafficPercent, in.ToPercent, in.StepPercent = 0, 100, 60
	check(t, "back", `
		SET_TRAFFIC site-b 60
		WAIT_GENERATION site-b
		SET_TRAFFIC site-b 100
		WAIT_GENERATION site-b`, Switch(in).Steps)
}

func TestSwitchGrowsTheTargetsFirst(t *testing.T) {
	// rule C2
	in := SwitchInput{
		Cluster: "site-b", StepPercent: 100, Grow: true,
		Clusters: []Cluster{site("site-a", 10), site("site-b", 10)}, Apps: []App{app("web", 2, 3), app("api", 1, 1), app("gone", 4, 0)},
	}
	p := Switch(in)
	check(t, "steps", `
		PLACE site-a api=2 web=5
		WAIT_READY site-a api=2 web=5
		SET_TRAFFIC site-b 0
		WAIT_GENERATION site-b
		DRAIN site-b`, p.Steps)
	want := []Move{
		{App: "api", From: "site-b", Replicas: 1, To: []Target{{"site-a", 1}}, Fits: true},
		{App: "web", From: "site-b", Replicas: 3, To: []Target{{"site-a", 3}}, Fits: true},
	}
	if diff := cmp.Diff(want, p.Moves); diff != "" {
		t.Errorf("moves (-want +got):\n%s", diff)
	}
	in.ToPercent = 50 // half of 3 replicas' traffic needs 2
	check(t, "half", `
		PLACE site-a api=2 web=4
		WAIT_READY site-a api=2 web=4
		SET_TRAFFIC site-b 50
		WAIT_GENERATION site-b`, Switch(in).Steps)
}

func TestRefusedPlansHaveNoSteps(t *testing.T) {
	two := func() []Cluster { return []Cluster{site("site-a", 0), site("site-b", 0)} }
	out := two()
	out[1].Eligible, out[1].Reason, out[1].TrafficPercent = false, "is DOWN", 0
	idle := two()
	idle[0].TrafficPercent = 0
	cases := []struct {
		name string
		plan Plan
		want []string
	}{
		{"unknown cluster", Switch(SwitchInput{Cluster: "site-x", Clusters: two()}), []string{"there is no cluster site-x"}},
		{"nothing to change", Switch(SwitchInput{Cluster: "site-b", ToPercent: 100, Clusters: two()}), []string{"site-b gets 100 % of its traffic already"}},
		{"nobody to take over", Switch(SwitchInput{Cluster: "site-a", Clusters: two()[:1]}), []string{"no other cluster can take over from site-a"}},
		{"the other gets no traffic", Switch(SwitchInput{Cluster: "site-b", Clusters: idle}), []string{"no other cluster can take over from site-b"}},
		{"back to one that is down", Switch(SwitchInput{Cluster: "site-b", ToPercent: 100, Clusters: out}), []string{"site-b is DOWN and can take no traffic"}},
		{"planned work that does not fit", Migrate(MigrateInput{Cluster: "site-b", Clusters: two(), Apps: []App{app("web", 1, 2)}}), []string{
			"web: 2 of 2 replicas do not fit: needs 2 more replicas of 500m CPU and 128 MiB; site-a has room for 0, site-b holds its 2; short by 1000m CPU",
		}},
		{"a switch that does not fit", Switch(SwitchInput{Cluster: "site-b", Grow: true, Clusters: two(), Apps: []App{app("web", 1, 2)}}), []string{
			"web: 2 of 2 replicas do not fit: needs 2 more replicas of 500m CPU and 128 MiB; site-a has room for 0, site-b holds its 2; short by 1000m CPU",
		}},
		{"not healthy", FailBack(FailBackInput{Cluster: "site-b", NowUnix: 1000, Clusters: two()}), []string{"site-b is not healthy"}},
		{"not healthy for long enough", FailBack(FailBackInput{Cluster: "site-b", NowUnix: 1000, HealthySinceUnix: 900, Clusters: two()}),
			[]string{"site-b has been healthy for 100 s only; it takes work back after 300 s"}},
		{"healthy in the future", FailBack(FailBackInput{Cluster: "site-b", NowUnix: 1000, HealthySinceUnix: 1100, Clusters: two()}),
			[]string{"site-b has been healthy for 0 s only; it takes work back after 300 s"}},
		{"fail back of an unknown cluster", FailBack(FailBackInput{Cluster: "site-x", Clusters: two()}), []string{"there is no cluster site-x"}},
		{"migration of an unknown cluster", Migrate(MigrateInput{Cluster: "site-x", Clusters: two()}), []string{"there is no cluster site-x"}},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			if len(tc.plan.Steps) != 0 || len(tc.plan.Reverse) != 0 {
				t.Errorf("steps of a refused plan: %v", text(tc.plan.Steps))
			}
			if diff := cmp.Diff(tc.want, tc.plan.Problems); diff != "" {
				t.Errorf("problems (-want +got):\n%s", diff)
			}
		})
	}
}

func TestMigrateFromALostCluster(t *testing.T) {
	// rule C1: closed first, nothing in it is removed; everything else comes after capacity
	p := Migrate(MigrateInput{
		Cluster: "site-b", Down: true,
		Clusters: []Cluster{site("site-a", 10), lost("site-b"), site("site-c", 10)}, Apps: []App{app("web", 2, 4, 2)},
	})
	check(t, "steps", `
		EVACUATE site-b
		PLACE site-a web=4
		PLACE site-c web=4
		WAIT_READY site-a web=4
		WAIT_READY site-c web=4
		SET_TRAFFIC site-b 0
		WAIT_GENERATION site-b
		DRAIN site-b`, p.Steps)
	check(t, "reverse", `
		ADMIT site-b
		PLACE site-b web=4
		WAIT_READY site-b web=4
		SET_TRAFFIC site-b 25
		WAIT_GENERATION site-b
		SET_TRAFFIC site-b 50
		WAIT_GENERATION site-b
		SET_TRAFFIC site-b 75
		WAIT_GENERATION site-b
		SET_TRAFFIC site-b 100
		WAIT_GENERATION site-b
		RELEASE site-b web`, p.Reverse)
	want := []Move{{App: "web", From: "site-b", Replicas: 4, To: []Target{{"site-a", 2}, {"site-c", 2}}, Fits: true}}
	if diff := cmp.Diff(want, p.Moves); diff != "" {
		t.Errorf("moves (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"site-a", "site-c"}, p.Targets); diff != "" || !p.SourceDown {
		t.Errorf("targets (-want +got):\n%s", diff)
	}
}

func TestMigrateFromALivingClusterClosesItLast(t *testing.T) {
	// rule C2
	p := Migrate(MigrateInput{
		Cluster: "site-b", StepPercent: 50,
		Clusters: []Cluster{site("site-a", 10), site("site-b", 10)}, Apps: []App{app("web", 2, 2)},
	})
	check(t, "steps", `
		PLACE site-a web=4
		WAIT_READY site-a web=4
		SET_TRAFFIC site-b 50
		WAIT_GENERATION site-b
		SET_TRAFFIC site-b 0
		WAIT_GENERATION site-b
		DRAIN site-b
		EVACUATE site-b`, p.Steps)
}

// Three apps want the room that is enough for one and a half; the important one is served first.
func TestALostClusterSavesWhatFits(t *testing.T) {
	important, web, last := app("zz-pay", 1, 3), app("web", 1, 3), app("api", 1, 1)
	important.Priority, web.Priority = 10, 5
	p := Migrate(MigrateInput{
		Cluster: "site-b", Down: true,
		Clusters: []Cluster{site("site-a", 4), lost("site-b")}, Apps: []App{last, web, important},
	})
	want := []Move{
		{App: "zz-pay", From: "site-b", Replicas: 3, To: []Target{{"site-a", 3}}, Fits: true},
		{App: "web", From: "site-b", Replicas: 3, To: []Target{{"site-a", 1}}, Note: "2 of 3 replicas do not fit: needs 3 more replicas of 500m CPU and 128 MiB; " +
			"site-a has room for 1, site-b holds its 3; short by 1000m CPU"},
		{App: "api", From: "site-b", Replicas: 1, To: []Target{}, Note: "1 of 1 replica do not fit: needs 1 more replica of 500m CPU and 128 MiB; " +
			"site-a has room for 0, site-b holds its 1; short by 500m CPU"},
	}
	if diff := cmp.Diff(want, p.Moves); diff != "" {
		t.Errorf("moves (-want +got):\n%s", diff)
	}
	check(t, "steps", `
		EVACUATE site-b
		PLACE site-a web=2 zz-pay=4
		WAIT_READY site-a web=2 zz-pay=4
		SET_TRAFFIC site-b 0
		WAIT_GENERATION site-b
		DRAIN site-b`, p.Steps)
	if len(p.Problems) != 2 {
		t.Errorf("problems: %v", p.Problems)
	}
}

func TestMissingThingsCloseAClusterToAnApp(t *testing.T) {
	a := app("web", 0, 2, 0)
	a.Clusters[0].Missing = []string{"image registry/web@sha256:1", "volume data"}
	p := Migrate(MigrateInput{
		Cluster: "site-b", Down: true,
		Clusters: []Cluster{site("site-a", 10), lost("site-b"), site("site-c", 10)}, Apps: []App{a},
	})
	if diff := cmp.Diff([]Target{{"site-c", 2}}, p.Moves[0].To); diff != "" {
		t.Errorf("targets (-want +got):\n%s", diff)
	}
	want := []string{"web cannot go to site-a: image registry/web@sha256:1 is not in site-a", "web cannot go to site-a: volume data is not in site-a"}
	if diff := cmp.Diff(want, p.Problems); diff != "" {
		t.Errorf("problems (-want +got):\n%s", diff)
	}
}

// Bounds that are not met now are another decision's business.
func TestPlansMoveOnlyWhatTheyAreAbout(t *testing.T) {
	a := app("web", 5, 2, 1)
	a.Clusters[0].Max, a.Clusters[2].Min = 3, 3
	p := Migrate(MigrateInput{
		Cluster: "site-b", Down: true,
		Clusters: []Cluster{site("site-a", 10), lost("site-b"), site("site-c", 10)}, Apps: []App{a},
	})
	if diff := cmp.Diff([]Target{{"site-c", 2}}, p.Moves[0].To); diff != "" {
		t.Errorf("targets (-want +got):\n%s", diff)
	}
}

func TestClustersThatAnAppDoesNotNameAreClosedToIt(t *testing.T) {
	p := Migrate(MigrateInput{
		Cluster: "site-b", Down: true,
		Clusters: []Cluster{site("site-a", 10), lost("site-b"), site("site-c", 10)}, Apps: []App{app("web", 1, 2)},
	})
	if diff := cmp.Diff([]Target{{"site-a", 2}}, p.Moves[0].To); diff != "" {
		t.Errorf("targets (-want +got):\n%s", diff)
	}
}
