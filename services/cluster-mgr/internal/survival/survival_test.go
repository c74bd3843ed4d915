package survival

import (
	"encoding/json"
	"fmt"
	"slices"
	"testing"

	"gantry.dev/services/cluster-mgr/internal/failover"
	"gantry.dev/services/cluster-mgr/internal/placement"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

const gib = 1 << 30

// site has one node with so much CPU free, which serves.
func site(name string, freeMilli int64) failover.Cluster {
	return failover.Cluster{Name: name, Eligible: true, TrafficPercent: 100, Nodes: []placement.Node{{
		Name: "n", Allocatable: placement.Resources{MilliCPU: freeMilli, MemoryBytes: 64 * gib},
	}}}
}

func app(name string, priority int, milli int64, replicas map[string]int) failover.App {
	a := failover.App{Name: name, Priority: priority, PerReplica: placement.Resources{MilliCPU: milli, MemoryBytes: gib}}
	for _, c := range []string{"site-a", "site-b", "site-c"} {
		if n, ok := replicas[c]; ok {
			a.Clusters = append(a.Clusters, failover.Here{Cluster: c, Replicas: n})
		}
	}
	return a
}

func TestReport(t *testing.T) {
	got := Decide(Input{
		Clusters: []failover.Cluster{site("site-b", 1000), site("site-a", 3000)},
		Apps: []failover.App{
			app("low", 0, 500, map[string]int{"site-a": 2, "site-b": 2}),
			app("high", 9, 500, map[string]int{"site-a": 3, "site-b": 1}),
			app("bound", 0, 500, map[string]int{"site-a": 1}),
		},
	})
	want := Report{Losses: []Loss{
		{
			Cluster: "site-a", Replicas: 6, Unplaced: 4, Missing: placement.Resources{MilliCPU: 2000, MemoryBytes: 4 * gib},
			Apps: []AppLoss{
				{App: "high", Replicas: 3, Unplaced: 1, Missing: placement.Resources{MilliCPU: 500, MemoryBytes: gib},
					Reason: "1 of 3 replicas do not fit: needs 3 more replicas of 500m CPU and 1 GiB; site-a holds its 3, site-b has room for 2; short by 500m CPU"},
				{App: "bound", Replicas: 1, Unplaced: 1, Missing: placement.Resources{MilliCPU: 500, MemoryBytes: gib},
					Reason: "1 of 1 replica do not fit: needs 1 more replica of 500m CPU and 1 GiB; site-a holds its 1, site-b is not among the app's clusters; no cluster is eligible"},
				{App: "low", Replicas: 2, Unplaced: 2, Missing: placement.Resources{MilliCPU: 1000, MemoryBytes: 2 * gib},
					Reason: "2 of 2 replicas do not fit: needs 2 more replicas of 500m CPU and 1 GiB; site-a holds its 2, site-b has room for 0; short by 1000m CPU"},
			},
		},
		{Cluster: "site-b", Replicas: 3, Apps: []AppLoss{}},
	}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("report (-want +got):\n%s", diff)
	}
}

func TestNobodyTakesOver(t *testing.T) {
	ill := site("site-b", 9000)
	ill.Eligible, ill.Reason = false, "is DOWN"
	got := Decide(Input{Clusters: []failover.Cluster{site("site-a", 9000), ill}, Apps: []failover.App{app("web", 0, 500, map[string]int{"site-a": 2, "site-b": 0})}})
	if l := got.Losses[0]; l.Unplaced != 2 || l.Apps[0].Reason != "no other cluster can take over from site-a" {
		t.Errorf("%+v", l)
	}
}

func TestAClusterWithoutTrafficServesNobody(t *testing.T) {
	idle := site("site-a", 9000)
	idle.TrafficPercent = 0
	got := Decide(Input{Clusters: []failover.Cluster{idle, site("site-b", 0)}, Apps: []failover.App{app("web", 0, 500, map[string]int{"site-a": 2, "site-b": 2})}})
	if l := got.Losses[0]; l.Replicas != 2 || l.Unplaced != 0 {
		t.Errorf("%+v", l)
	}
}

func draw(t *rapid.T) Input {
	var in Input
	sites := []string{"site-a", "site-b", "site-c"}
	for _, name := range sites {
		c := site(name, rapid.Int64Range(0, 8000).Draw(t, "free"))
		c.Eligible = rapid.IntRange(0, 5).Draw(t, "ill") > 0
		c.TrafficPercent = rapid.SampledFrom([]int{100, 100, 100, 50, 0}).Draw(t, "traffic")
		in.Clusters = append(in.Clusters, c)
	}
	for i := range rapid.IntRange(0, 6).Draw(t, "apps") {
		replicas := map[string]int{}
		for _, name := range sites {
			if rapid.IntRange(0, 4).Draw(t, "allowed") > 0 {
				replicas[name] = rapid.IntRange(0, 6).Draw(t, "replicas")
			}
		}
		a := app(fmt.Sprintf("app-%d", i), rapid.IntRange(-1, 1).Draw(t, "priority"), rapid.SampledFrom([]int64{250, 500, 1000}).Draw(t, "cpu"), replicas)
		a.Single = rapid.IntRange(0, 6).Draw(t, "single") == 0
		in.Apps = append(in.Apps, a)
	}
	return in
}

// The report says of each app what a failover plan of the same moment does: what its steps do not place
// is what the report names, and the plan names the same apps as problems.
func TestReportIsWhatAFailoverWouldDo(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := draw(t)
		report := Decide(in)
		for i, c := range in.Clusters {
			plan := failover.Migrate(failover.MigrateInput{Cluster: c.Name, Down: true, Clusters: in.Clusters, Apps: in.Apps})
			for _, a := range in.Apps {
				if !serves(a, c) {
					continue
				}
				want := replicas(a, c.Name) - gained(plan, a)
				if got := unplaced(report.Losses[i], a.Name); got != want {
					t.Fatalf("%s in %s: report %d, plan %d: %+v", a.Name, c.Name, got, want, plan)
				}
			}
		}
	})
}

// gained is what the plan's steps put elsewhere beyond what is there.
func gained(p failover.Plan, a failover.App) int {
	most := map[string]int{}
	for _, s := range p.Steps {
		for _, as := range s.Assignments {
			if s.Kind == failover.StepPlace && as.App == a.Name {
				most[s.Cluster] = as.Replicas
			}
		}
	}
	sum := 0
	for cluster, n := range most {
		sum += n - replicas(a, cluster)
	}
	return sum
}

func unplaced(l Loss, app string) int {
	for _, a := range l.Apps {
		if a.App == app {
			return a.Unplaced
		}
	}
	return 0
}

// And placement, asked app by app with what those before took away, says the same.
func TestReportIsWhatPlacementSays(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := draw(t)
		for i := range in.Apps {
			in.Apps[i].Single = false
		}
		for _, l := range Decide(in).Losses {
			if want, got := simulate(in, l.Cluster), l.Unplaced; got != want {
				t.Fatalf("%s: report %d, placement %d", l.Cluster, got, want)
			}
		}
	})
}

func simulate(in Input, dead string) int {
	nodes, unplaced := map[string][]placement.Node{}, 0
	for _, c := range in.Clusters {
		nodes[c.Name] = c.Nodes
	}
	for _, a := range byPriority(in.Apps) {
		p := placement.Input{PerReplica: a.PerReplica, Partly: true}
		serving := false
		for _, c := range in.Clusters {
			n := replicas(a, c.Name)
			listed := slices.ContainsFunc(a.Clusters, func(h failover.Here) bool { return h.Cluster == c.Name })
			if c.Name == dead {
				serving = c.TrafficPercent > 0
				p.Desired += n
				continue
			}
			takes := listed && c.Eligible && c.TrafficPercent > 0
			p.Desired += n
			p.Clusters = append(p.Clusters, placement.Cluster{Name: c.Name, Nodes: nodes[c.Name], Current: n, Eligible: takes, Hold: !takes})
		}
		if !serving {
			continue
		}
		out := placement.Decide(p)
		if out.Shortfall != nil {
			unplaced += out.Shortfall.Replicas
		}
		for _, s := range out.Shares {
			nodes[s.Cluster] = placement.Reserve(placement.Cluster{Nodes: nodes[s.Cluster]}, a.PerReplica, s.Replicas-s.From).Nodes
		}
	}
	return unplaced
}

func TestReplayIsByteForByte(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := draw(t)
		raw, err := json.Marshal(in)
		if err != nil {
			t.Fatal(err)
		}
		var again Input
		if err := json.Unmarshal(raw, &again); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(Decide(in), Decide(again)); diff != "" {
			t.Fatal(diff)
		}
	})
}
