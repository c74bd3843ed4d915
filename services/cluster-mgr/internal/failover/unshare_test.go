package failover

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// led is web with shares, and api without.
func led() []App {
	pinned, free := app("web", 2, 2), app("api", 1, 1)
	pinned.Shares = shares(30, 70)
	return []App{pinned, free}
}

// trimmed are lines without what steps about no cluster leave at their end.
func trimmed(list []string) []string {
	out := []string{}
	for _, l := range list {
		out = append(out, strings.TrimSpace(l))
	}
	return out
}

// Shares that lead to a cluster end before its traffic moves, and its way back has them again.
func TestMigrateEndsShares(t *testing.T) {
	t.Parallel()
	p := Migrate(MigrateInput{Cluster: "site-b", StepPercent: 100, Clusters: []Cluster{site("site-a", 20), site("site-b", 20)}, Apps: led()})
	if diff := cmp.Diff(lines(`
		PLACE site-a api=2 web=4
		WAIT_READY site-a api=2 web=4
		SET_SHARES by ready pods
		WAIT_GENERATION
		SET_TRAFFIC site-b 0
		WAIT_GENERATION site-b
		DRAIN site-b
		EVACUATE site-b`), trimmed(text(p.Steps))); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(lines(`
		ADMIT site-b
		PLACE site-b api=1 web=2
		WAIT_READY site-b api=1 web=2
		SET_TRAFFIC site-b 100
		WAIT_GENERATION site-b
		SET_SHARES site-a 30 %, site-b 70 %
		WAIT_GENERATION
		RELEASE site-b api web`), trimmed(text(p.Reverse))); diff != "" {
		t.Errorf("the way back (-want +got):\n%s", diff)
	}
	for done, want := range map[int]bool{1: false, 2: true, 5: true, len(p.Steps): true} {
		back := Abort(p, done)
		if got := len(sets(back)) == 1 && sets(back)[0] == "site-a 30 %, site-b 70 %"; got != want {
			t.Errorf("after %d steps: %v", done, text(back))
		}
	}
}

// Of a lost cluster nothing is divided first: closing it ends the shares.
func TestMigrateOfALostClusterWaitsForNoShares(t *testing.T) {
	t.Parallel()
	p := Migrate(MigrateInput{Cluster: "site-b", Down: true, Clusters: []Cluster{site("site-a", 20), lost("site-b")}, Apps: led()})
	if len(sets(p.Steps)) > 0 || p.Steps[0].Kind != StepEvacuate || len(p.Problems) != 1 {
		t.Errorf("%v: %v", p.Problems, text(p.Steps))
	}
}

// Replicas do not go to where no request would reach them, away from where all of them go.
func TestFailBackLeavesWhatIsLedElsewhere(t *testing.T) {
	t.Parallel()
	pinned, free := app("web", 4, 0), app("api", 2, 0)
	pinned.Shares = shares(100)
	p := FailBack(FailBackInput{
		Cluster: "site-b", NowUnix: 1000, HealthySinceUnix: 1, Clusters: []Cluster{site("site-a", 20), site("site-b", 20)}, Apps: []App{pinned, free},
	})
	if diff := cmp.Diff([]string{"web stays where it is: its requests are led elsewhere by shares (site-a 100 %)"}, p.Problems); diff != "" || len(p.Moves) != 1 {
		t.Errorf("%v (-want +got):\n%s", p.Moves, diff)
	}
}
