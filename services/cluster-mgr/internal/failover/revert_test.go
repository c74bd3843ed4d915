package failover

import (
	"strings"
	"testing"
)

// migratedAway is the world after a planned migration of web from site-b.
func migratedAway(apps ...App) RevertInput {
	b := site("site-b", 10)
	b.Eligible, b.Reason, b.TrafficPercent = false, "is evacuated", 0
	return RevertInput{
		Of: Migrate(leaving(false, app("web", 2, 2))), Evacuated: true, NowUnix: 10_000, HealthySinceUnix: 9_000,
		Clusters: []Cluster{site("site-a", 10), b}, Apps: apps,
	}
}

func TestRevertAMigration(t *testing.T) {
	p := Revert(migratedAway(app("web", 4, 0)))
	if p.Kind != KindFailBack || len(p.Problems) != 0 {
		t.Fatalf("%s: %v", p.Kind, p.Problems)
	}
	check(t, "steps", `
		ADMIT site-b
		PLACE site-b web=2
		WAIT_READY site-b web=2
		SET_TRAFFIC site-b 100
		WAIT_GENERATION site-b
		RELEASE site-b web`, p.Steps)
	check(t, "taken back half way", `
		PLACE site-a web=4
		WAIT_READY site-a web=4
		SET_TRAFFIC site-b 0
		WAIT_GENERATION site-b
		EVACUATE site-b`, Abort(p, 4))
	if len(p.Moves) != 1 || p.Moves[0].From != "site-a" || p.Moves[0].To[0] != (Target{"site-b", 2}) {
		t.Errorf("moves: %+v", p.Moves)
	}
}

// The way back of a failover was made while the cluster was dead; the way there again is that of a
// cluster that serves.
func TestRevertAFailover(t *testing.T) {
	in := migratedAway(app("web", 4, 0))
	in.Of = Migrate(leaving(true, app("web", 2, 2)))
	p := Revert(in)
	if len(p.Problems) != 0 || p.SourceDown {
		t.Fatalf("down: %t, %v", p.SourceDown, p.Problems)
	}
	check(t, "again", `
		PLACE site-a web=4
		WAIT_READY site-a web=4
		SET_TRAFFIC site-b 0
		WAIT_GENERATION site-b
		DRAIN site-b
		EVACUATE site-b`, p.Reverse)
}

func TestRevertASwitch(t *testing.T) {
	in := RevertInput{Of: switchPlan(), Clusters: []Cluster{site("site-a", 10), site("site-b", 10)}, Apps: []App{app("web", 4, 2)}}
	in.Clusters[1].TrafficPercent = 0
	p := Revert(in)
	check(t, "steps", `
		SET_TRAFFIC site-b 50
		WAIT_GENERATION site-b
		SET_TRAFFIC site-b 100
		WAIT_GENERATION site-b
		RELEASE site-b web`, p.Steps)
	if !p.Returning() {
		t.Error("it gives traffic to its cluster")
	}
}

func TestNothingIsRevertedInAnotherWorld(t *testing.T) {
	cases := []struct {
		name   string
		change func(*RevertInput)
		want   string
	}{
		{"taken back already", func(in *RevertInput) { in.Evacuated = false }, "has been taken back already"},
		{"traffic was moved", func(in *RevertInput) { in.Clusters[1].TrafficPercent = 50 }, "gets 50 % of its traffic now, and was left with 0 %"},
		{"not healthy", func(in *RevertInput) { in.HealthySinceUnix = 0 }, "site-b is not healthy"},
		{"not healthy for long", func(in *RevertInput) { in.HealthySinceUnix = 9_990 }, "has been healthy for 10 s only"},
		{"forgotten", func(in *RevertInput) { in.Clusters = in.Clusters[:1] }, "there is no cluster site-b"},
		{"the app is deleted", func(in *RevertInput) { in.Apps = nil }, "web does not exist any more"},
		{"the app is smaller", func(in *RevertInput) { in.Apps[0].Clusters[0].Replicas = 1 }, "web has 1 replica in all now, and had 2 in site-b"},
		{"the app may not go there", func(in *RevertInput) { in.Apps[0].Clusters = in.Apps[0].Clusters[:1] }, "web may not run in site-b any more"},
		{"its image is gone", func(in *RevertInput) { in.Apps[0].Clusters[1].Missing = []string{"image hello:v1"} }, "it lacks image hello:v1"},
		{"no room", func(in *RevertInput) { in.Clusters[1].Nodes = nil }, "site-b has no room for 2 more replicas of web"},
		{"no way back", func(in *RevertInput) { in.Of.Reverse = nil }, "there is no way back"},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			in := migratedAway(app("web", 4, 0))
			tc.change(&in)
			p := Revert(in)
			if len(p.Steps) != 0 || !strings.Contains(strings.Join(p.Problems, "\n"), tc.want) {
				t.Errorf("%d steps, problems %q", len(p.Steps), p.Problems)
			}
		})
	}
}
