package failover

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func failBack(apps ...App) FailBackInput {
	b := site("site-b", 10)
	b.Eligible, b.Reason, b.TrafficPercent = false, "is evacuated", 0
	return FailBackInput{
		Cluster: "site-b", NowUnix: 10_000, HealthySinceUnix: 9_000, StepPercent: 50,
		Clusters: []Cluster{site("site-a", 10), b, site("site-c", 10)}, Apps: apps,
	}
}

func TestFailBackToWhatItHad(t *testing.T) {
	a := app("web", 4, 0, 4)
	a.Clusters[1].Home = 4
	p := FailBack(failBack(a))
	check(t, "steps", `
		ADMIT site-b
		PLACE site-b web=4
		WAIT_READY site-b web=4
		SET_TRAFFIC site-b 50
		WAIT_GENERATION site-b
		SET_TRAFFIC site-b 100
		WAIT_GENERATION site-b
		RELEASE site-b web`, p.Steps)
	check(t, "reverse", `
		PLACE site-a web=4
		PLACE site-c web=4
		WAIT_READY site-a web=4
		WAIT_READY site-c web=4
		SET_TRAFFIC site-b 50
		WAIT_GENERATION site-b
		SET_TRAFFIC site-b 0
		WAIT_GENERATION site-b
		DRAIN site-b
		EVACUATE site-b`, p.Reverse)
	want := []Move{
		{App: "web", From: "site-a", Replicas: 2, To: []Target{{"site-b", 2}}, Fits: true},
		{App: "web", From: "site-c", Replicas: 2, To: []Target{{"site-b", 2}}, Fits: true},
	}
	if diff := cmp.Diff(want, p.Moves); diff != "" {
		t.Errorf("moves (-want +got):\n%s", diff)
	}
}

func TestFailBackNumbers(t *testing.T) {
	cases := []struct {
		name  string
		app   App
		home  int
		site  string
		place string
	}{
		{"without memory: its share of a fresh division", app("web", 3, 0, 3), 0, "", "PLACE site-b web=2"},
		{"others, however lopsided, give only what it is due", app("web", 6, 0, 0), 0, "", "PLACE site-b web=2"},
		{"never more than there is", app("web", 1, 0, 1), 9, "", "PLACE site-b web=2"},
		{"never less than it has already", app("web", 1, 3, 1), 1, "", ""},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			tc.app.Clusters[1].Home = tc.home
			p := FailBack(failBack(tc.app))
			got := ""
			for i, s := range p.Steps {
				if s.Kind == StepPlace {
					got = text(p.Steps)[i]
				}
			}
			if got != tc.place {
				t.Errorf("got %q, want %q; problems %v", got, tc.place, p.Problems)
			}
		})
	}
}

func TestFailBackWithLessRoomThanBefore(t *testing.T) {
	a := app("web", 4, 0, 4)
	a.Clusters[1].Home = 4
	in := failBack(a)
	in.Clusters[1].Nodes = site("site-b", 1).Nodes
	p := FailBack(in)
	want := []Move{{App: "web", From: "site-c", Replicas: 1, To: []Target{{"site-b", 1}}, Fits: true, Note: "1 of the 4 it had come back"}}
	if diff := cmp.Diff(want, p.Moves); diff != "" {
		t.Errorf("moves (-want +got):\n%s", diff)
	}
}

func TestFailBackLeavesWhatCannotCome(t *testing.T) {
	missing, stranger := app("web", 4, 0, 4), app("other", 1)
	missing.Clusters[1].Home, missing.Clusters[1].Missing = 4, []string{"volume data"}
	p := FailBack(failBack(missing, stranger))
	if diff := cmp.Diff([]string{"web stays where it is: site-b lacks volume data"}, p.Problems); diff != "" {
		t.Errorf("problems (-want +got):\n%s", diff)
	}
	check(t, "traffic of the rest comes back", `
		ADMIT site-b
		SET_TRAFFIC site-b 50
		WAIT_GENERATION site-b
		SET_TRAFFIC site-b 100
		WAIT_GENERATION site-b`, p.Steps)
}

func TestNoStabilisation(t *testing.T) {
	in := failBack(app("web", 3, 0, 3))
	in.HealthySinceUnix, in.StabilizeSeconds = in.NowUnix, -1
	if p := FailBack(in); len(p.Steps) == 0 {
		t.Errorf("problems: %v", p.Problems)
	}
}
