package failover

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"gantry.dev/services/cluster-mgr/internal/placement"
)

// fleetOf draws two to four clusters and up to five apps; site-b is the one that the plan is about.
func fleetOf(t *rapid.T) ([]Cluster, []App) {
	n := rapid.IntRange(2, 4).Draw(t, "clusters")
	var clusters []Cluster
	for i := range n {
		c := site(fmt.Sprintf("site-%c", 'a'+i), rapid.IntRange(0, 12).Draw(t, "room"))
		if i != 1 && rapid.IntRange(0, 5).Draw(t, "out") == 0 {
			c.Eligible, c.Reason = false, "is SUSPECT"
		}
		clusters = append(clusters, c)
	}
	var apps []App
	for i := range rapid.IntRange(0, 5).Draw(t, "apps") {
		apps = append(apps, drawApp(t, fmt.Sprintf("app-%d", i), n))
	}
	return clusters, apps
}

func drawApp(t *rapid.T, name string, clusters int) App {
	a := App{
		Name: name, Priority: rapid.IntRange(0, 2).Draw(t, "priority"), Single: rapid.IntRange(0, 9).Draw(t, "single") == 0,
		PerReplica: placement.Resources{MilliCPU: rapid.SampledFrom([]int64{250, 500, 1000}).Draw(t, "cpu")},
	}
	for i := range clusters {
		h := Here{Cluster: fmt.Sprintf("site-%c", 'a'+i), Replicas: rapid.IntRange(0, 5).Draw(t, "replicas")}
		if a.Single {
			h.Replicas = choose(i == 1, min(h.Replicas, 1), 0)
		}
		h.Home = rapid.IntRange(0, 5).Draw(t, "home")
		if rapid.IntRange(0, 6).Draw(t, "missing") == 0 {
			h.Missing = []string{"volume data"}
		}
		a.Clusters = append(a.Clusters, h)
	}
	return a
}

func anyPlan(t *rapid.T) Plan {
	clusters, apps := fleetOf(t)
	step := rapid.IntRange(0, 100).Draw(t, "step")
	switch rapid.IntRange(0, 3).Draw(t, "kind") {
	case 0:
		return Switch(SwitchInput{
			Cluster: "site-b", ToPercent: rapid.IntRange(0, 100).Draw(t, "to"), StepPercent: step,
			Grow: rapid.Bool().Draw(t, "grow"), Clusters: clusters, Apps: apps,
		})
	case 1:
		clusters[1].Eligible, clusters[1].Reason, clusters[1].Nodes = false, "is DOWN", nil
		return Migrate(MigrateInput{Cluster: "site-b", Down: true, Clusters: clusters, Apps: apps})
	case 2:
		return Migrate(MigrateInput{Cluster: "site-b", StepPercent: step, Clusters: clusters, Apps: apps})
	}
	clusters[1].TrafficPercent = 0
	return FailBack(FailBackInput{Cluster: "site-b", NowUnix: 1000, HealthySinceUnix: 1, StepPercent: step, Clusters: clusters, Apps: apps})
}

func TestCapacityBeforeTrafficBeforeRemoval(t *testing.T) {
	// rule C2
	rapid.Check(t, func(t *rapid.T) {
		p := anyPlan(t)
		placed, waited := map[string]bool{}, map[string]bool{}
		drained := false
		for i, s := range p.Steps {
			switch s.Kind {
			case StepPlace:
				placed[s.Cluster] = true
			case StepWaitReady:
				waited[s.Cluster] = true
			case StepSetTraffic:
				if len(placed) != len(waited) {
					t.Fatalf("step %d moves traffic before replicas are ready: %v", i, text(p.Steps))
				}
				if p.Steps[i+1].Kind != StepWaitGeneration {
					t.Fatalf("step %d is not waited for: %v", i, text(p.Steps))
				}
			case StepDrain:
				drained = true
			case StepEvacuate:
				if !p.SourceDown && !drained {
					t.Fatalf("a living cluster is closed before it is drained: %v", text(p.Steps))
				}
			}
		}
	})
}

func TestPlansNeverExceedCapacity(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		clusters, apps := fleetOf(t)
		p := Migrate(MigrateInput{Cluster: "site-b", Down: rapid.Bool().Draw(t, "down"), Clusters: clusters, Apps: apps})
		for _, c := range clusters {
			used := int64(0)
			for _, m := range p.Moves {
				for _, to := range m.To {
					if to.Cluster == c.Name {
						used += int64(to.Replicas) * sizeOf(apps, m.App)
					}
				}
			}
			if used > 0 && (used > c.Nodes[0].Allocatable.MilliCPU || !c.Eligible || c.Name == "site-b") {
				t.Fatalf("%s is given %dm CPU and has %dm", c.Name, used, c.Nodes[0].Allocatable.MilliCPU)
			}
		}
	})
}

func sizeOf(apps []App, name string) int64 {
	for _, a := range apps {
		if a.Name == name {
			return a.PerReplica.MilliCPU
		}
	}
	return 0
}

// Every replica of a lost cluster has a place or is named as a problem.
func TestNothingIsForgotten(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		clusters, apps := fleetOf(t)
		p := Migrate(MigrateInput{Cluster: "site-b", Down: true, Clusters: clusters, Apps: apps})
		if len(p.Targets) == 0 {
			return
		}
		for _, a := range apps {
			here, _ := a.in("site-b")
			i := slices.IndexFunc(p.Moves, func(m Move) bool { return m.App == a.Name })
			if here.Replicas == 0 {
				continue
			}
			if i < 0 {
				t.Fatalf("%s is forgotten", a.Name)
			}
			moved := 0
			for _, to := range p.Moves[i].To {
				moved += to.Replicas
			}
			if p.Moves[i].Fits != (moved == here.Replicas) || !p.Moves[i].Fits && p.Moves[i].Note == "" {
				t.Fatalf("%s: %d of %d move: %+v", a.Name, moved, here.Replicas, p.Moves[i])
			}
		}
	})
}

// kill -9 of the executor between doing a step and noting it, at every step: the end is the same.
func TestCrashAtAnyStepEndsTheSame(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := anyPlan(t)
		want := newWorld(p).run()
		crashed := newWorld(p)
		for {
			before := crashed.at
			if !crashed.turn() {
				break
			}
			if rapid.IntRange(0, 3).Draw(t, "crash") == 0 {
				crashed.at = before
			}
		}
		if crashed.doubled != "" || want.doubled != "" { // rule C5
			t.Fatalf("%s ran twice", crashed.doubled+want.doubled)
		}
		if crashed.outcome.Action != Done || fmt.Sprint(crashed.traffic, crashed.closed, crashed.ready) != fmt.Sprint(want.traffic, want.closed, want.ready) {
			t.Fatalf("after crashes: %s %v %v, without: %v %v", crashed.outcome.Action, crashed.traffic, crashed.closed, want.traffic, want.closed)
		}
	})
}

// Whenever a plan of planned work is cancelled, it ends with the traffic that was.
func TestCancelAnywhereRestoresTraffic(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := anyPlan(t)
		first := slices.IndexFunc(p.Steps, func(s Step) bool { return s.Kind == StepSetTraffic })
		if p.SourceDown || first < 0 {
			return
		}
		w := newWorld(p)
		turns, at := 0, rapid.IntRange(0, 60).Draw(t, "cancelled at")
		w.observe = func(o *Observation) { turns++; o.Cancelled = turns > at }
		w.run()
		got, set := w.traffic["site-b"]
		switch {
		case w.outcome.Action != Done:
			t.Fatalf("ended with %s: %s", w.outcome.Action, w.outcome.Reason)
		case w.reversed != "" && set && got != p.Steps[first].FromPercent:
			t.Fatalf("traffic %d, before %d: %v", got, p.Steps[first].FromPercent, text(w.log))
		case w.reversed != "" && w.closed["site-b"] != (p.Kind == KindFailBack && turns > 1 && w.log != nil):
			t.Fatalf("closed %t: %v", w.closed["site-b"], text(w.log))
		}
	})
}

// Weights only ever go towards the goal, in steps no larger than asked for.
func TestWeightSteps(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		from, to := rapid.IntRange(0, 100).Draw(t, "from"), rapid.IntRange(0, 100).Draw(t, "to")
		step := rapid.IntRange(1, 100).Draw(t, "step")
		var s steps
		s.traffic("site-b", from, to, step)
		at := from
		for _, x := range s {
			if x.Kind != StepSetTraffic {
				continue
			}
			d := x.TrafficPercent - at
			if x.FromPercent != at || max(d, -d) > step || (d > 0) != (to > from) {
				t.Fatalf("from %d to %d by %d: %v", from, to, step, text(s))
			}
			at = x.TrafficPercent
		}
		if at != to {
			t.Fatalf("ends at %d, want %d", at, to)
		}
	})
}

func TestOrderOfInputDoesNotMatter(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		clusters, apps := fleetOf(t)
		in := MigrateInput{Cluster: "site-b", Down: true, Clusters: clusters, Apps: apps}
		want := encode(t, Migrate(in))
		var stored MigrateInput
		if err := json.Unmarshal([]byte(encode(t, in)), &stored); err != nil {
			t.Fatal(err)
		}
		r := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 1))
		r.Shuffle(len(stored.Clusters), func(i, j int) { stored.Clusters[i], stored.Clusters[j] = stored.Clusters[j], stored.Clusters[i] })
		r.Shuffle(len(stored.Apps), func(i, j int) { stored.Apps[i], stored.Apps[j] = stored.Apps[j], stored.Apps[i] })
		for _, a := range stored.Apps {
			slices.Reverse(a.Clusters)
		}
		if got := encode(t, Migrate(stored)); got != want {
			t.Fatalf("order changed the plan:\n%s\n%s", want, got)
		}
	})
}

func encode(t interface{ Fatal(...any) }, v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// Stored plans and progress are read back from JSON: whatever is in there, nothing panics, and a
// step that is to be run exists.
func FuzzNext(f *testing.F) {
	plan, err := json.Marshal(switchPlan())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(plan, 3, false, 0)
	f.Add([]byte(`{"steps":[{"kind":"X"},{"kind":"SET_TRAFFIC","traffic_percent":-9,"from_percent":400}]}`), -1, true, 7)
	f.Fuzz(func(t *testing.T, data []byte, done int, reversing bool, reverseDone int) {
		var p Plan
		if json.Unmarshal(data, &p) != nil {
			return
		}
		d := Next(p, Progress{Done: done, Reversing: reversing, ReverseDone: reverseDone}, Observation{NowUnix: 1})
		if d.Action == Run && d.Step.Kind == "" && len(p.Steps) == 0 {
			t.Fatalf("a step to run of a plan without steps: %+v", d)
		}
	})
}
