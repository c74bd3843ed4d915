package failover

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"gantry.dev/services/cluster-mgr/internal/placement"
)

// left is a plan by which site-b was left, and the apps as it left them.
func left(clusters []Cluster, apps []App) (*Plan, []App) {
	p := Migrate(MigrateInput{Cluster: "site-b", Down: true, Clusters: clusters, Apps: apps})
	moved := map[spot]int{}
	for _, m := range p.Moves {
		moved[spot{"site-b", m.App}] = -m.Replicas
		for _, t := range m.To {
			moved[spot{t.Cluster, m.App}] += t.Replicas
		}
	}
	var after []App
	for _, a := range apps {
		here := []Here{}
		for _, h := range a.Clusters {
			h.Replicas += moved[spot{h.Cluster, a.Name}]
			here = append(here, h)
		}
		a.Clusters = here
		after = append(after, a)
	}
	return &p, after
}

// Whoever took replicas gives them back, even where a fresh division would be another.
func TestWhatWasMovedComesBackFromWhereItWent(t *testing.T) {
	in := failBack()
	down := failBack().Clusters
	down[1] = lost("site-b")
	down[2].Nodes = site("site-c", 2).Nodes
	in.Left, in.Apps = left(down, []App{app("web", 1, 4, 6)})
	if got := in.Apps[0].Clusters; got[0].Replicas+got[2].Replicas != 11 || got[0].Replicas < 3 {
		t.Fatalf("the migration left %+v", got)
	}
	p := FailBack(in)
	back := map[string]int{"site-a": in.Apps[0].Clusters[0].Replicas - 1, "site-c": in.Apps[0].Clusters[2].Replicas - 6}
	for _, m := range p.Moves {
		if m.Replicas != back[m.From] {
			t.Errorf("%d come from %s, which took %d", m.Replicas, m.From, back[m.From])
		}
		back[m.From] = 0
	}
	if back["site-a"]+back["site-c"] > 0 {
		t.Errorf("still there: %v; %v", back, p.Problems)
	}
}

func TestWhatWasMovedIsForgottenWhenTheWorldHasChanged(t *testing.T) {
	in := failBack()
	down := failBack().Clusters
	down[1] = lost("site-b")
	in.Left, in.Apps = left(down, []App{app("web", 0, 4, 0)})
	for i := range in.Apps[0].Clusters {
		in.Apps[0].Clusters[i].Replicas *= 3 // scaled up meanwhile: 12
	}
	if got := FailBack(in).leaves("site-b", "web"); got != 3 {
		t.Errorf("site-b gets %d of 12, want 3, which is its part of the room", got)
	}
}

// Never more moves than needed: what returns is what was lent, or no more than dividing all anew would
// move; nothing but the plan's cluster gains.
func TestFailBackMovesTheLeast(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		clusters, apps := fleetOf(t)
		in := FailBackInput{Cluster: "site-b", NowUnix: 1000, HealthySinceUnix: 1, StabilizeSeconds: -1, Clusters: clusters, Apps: apps}
		known := rapid.Bool().Draw(t, "known")
		if known {
			in.Left, in.Apps = left(clusters, apps)
		}
		in.Clusters[1].TrafficPercent, in.Clusters[1].Eligible, in.Clusters[1].Reason = 0, false, "is evacuated"
		for i := range in.Apps {
			for j := range in.Apps[i].Clusters {
				in.Apps[i].Clusters[j].Home = 0
			}
		}
		p := FailBack(in)
		for _, a := range in.Apps {
			moved, from := movedBack(t, p, a.Name)
			here, _ := a.in("site-b")
			lent := in.lent(a)
			for cluster, n := range from {
				if len(lent) > 0 && n > lent[cluster] {
					t.Fatalf("%s gives %d of %s and took %d", cluster, n, a.Name, lent[cluster])
				}
			}
			if most := leastToBalance(in, a); len(lent) == 0 && moved > most {
				t.Fatalf("%s: %d moves, and %d are enough (%d there)", a.Name, moved, most, here.Replicas)
			}
			if most := anew(in, a); len(lent) == 0 && moved > most {
				t.Fatalf("%s: %d moves, and dividing all anew takes %d", a.Name, moved, most)
			}
		}
	})
}

// movedBack counts what comes back of an app, in all and by where it comes from.
func movedBack(t *rapid.T, p Plan, app string) (int, map[string]int) {
	sum, from := 0, map[string]int{}
	for _, m := range p.Moves {
		if m.App != app {
			continue
		}
		if diff := cmp.Diff([]Target{{"site-b", m.Replicas}}, m.To); diff != "" || m.From == "site-b" {
			t.Fatalf("a move that is no return: %+v", m)
		}
		sum, from[m.From] = sum+m.Replicas, from[m.From]+m.Replicas
	}
	return sum, from
}

// leastToBalance is what the cluster is short of its share of a fresh division.
func leastToBalance(in FailBackInput, app App) int {
	b := newBuilder(KindFailBack, in.Cluster, in.Clusters, Guard{})
	here, _ := app.in("site-b")
	return max(0, b.due(app, here)-here.Replicas)
}

// anew is how many replicas move when all are divided anew.
func anew(in FailBackInput, app App) int {
	b := newBuilder(KindFailBack, in.Cluster, in.Clusters, Guard{})
	all := b.open(b.fleet.input(app))
	all.Rebalance = true
	moved := 0
	for _, s := range placement.Decide(all).Shares {
		moved += max(0, s.Replicas-s.From)
	}
	return moved
}

// At RELEASE those shrink that the plan says, not whoever has most.
func TestReleaseTakesFromWhoTook(t *testing.T) {
	in := failBack()
	down := failBack().Clusters
	down[1] = lost("site-b")
	down[2].Nodes = site("site-c", 0).Nodes
	in.Left, in.Apps = left(down, []App{app("web", 1, 2, 6)}) // site-a has 3 then
	p := FailBack(in)
	s := NewSteering(p, Progress{Done: len(p.Steps) - 1})
	pin := placement.Input{App: "web", Desired: 9, PerReplica: small}
	for i, n := range []int{3, 2, 6} {
		c := failBack().Clusters[i]
		pin.Clusters = append(pin.Clusters, placement.Cluster{Name: c.Name, Nodes: c.Nodes, Eligible: true, Current: n})
	}
	out := placement.Decide(s.Steer(pin))
	for i, want := range []int{1, 2, 6} {
		if got := out.Shares[i].Replicas; got != want {
			t.Errorf("%s keeps %d, want %d", out.Shares[i].Cluster, got, want)
		}
	}
}
