package failover

import (
	"encoding/json"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// replayed plans, and again from what would be stored: the plan is the same byte for byte (rule S5),
// and planning has changed nothing of what it was given.
func replayed[T any](t *rapid.T, in T, plan func(T) Plan) Plan {
	t.Helper()
	stored := encode(t, in)
	p := plan(in)
	if got := encode(t, in); got != stored {
		t.Fatalf("planning changed its input:\n%s\n%s", stored, got)
	}
	var read T
	if err := json.Unmarshal([]byte(stored), &read); err != nil {
		t.Fatal(err)
	}
	if want, got := encode(t, p), encode(t, plan(read)); got != want {
		t.Fatalf("the replay differs:\n%s\n%s", want, got)
	}
	return p
}

func TestPlansAreReplayed(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		clusters, apps := fleetOf(t)
		step := rapid.IntRange(0, 100).Draw(t, "step")
		replayed(t, SwitchInput{
			Cluster: "site-b", ToPercent: rapid.IntRange(0, 100).Draw(t, "to"), StepPercent: step, Partly: rapid.Bool().Draw(t, "partly"),
			Grow: rapid.Bool().Draw(t, "grow"), Clusters: clusters, Apps: apps,
		}, Switch)
		left := replayed(t, MigrateInput{Cluster: "site-b", Down: rapid.Bool().Draw(t, "down"), StepPercent: step, Clusters: clusters, Apps: apps}, Migrate)
		home := FailBackInput{Cluster: "site-b", NowUnix: 1000, HealthySinceUnix: rapid.Int64Range(0, 1000).Draw(t, "healthy"), Clusters: clusters, Apps: apps}
		if rapid.Bool().Draw(t, "left") {
			home.Left = &left
		}
		replayed(t, home, FailBack)
	})
}

// A way back, planned in the world that the plan has left or in another one, is replayed, too, and so
// is the way back of the way back.
func TestWaysBackAreReplayed(t *testing.T) {
	planned := 0
	rapid.Check(t, func(t *rapid.T) {
		in := finished(t, anyPlan(t))
		back := replayed(t, in, Revert)
		if len(back.Steps) == 0 {
			if len(back.Problems) == 0 {
				t.Fatalf("nothing is done, and nothing says why: %s", encode(t, in))
			}
			return
		}
		planned++
		at := slices.IndexFunc(in.Clusters, func(c Cluster) bool { return c.Name == "site-b" })
		was := in.Clusters[at].TrafficPercent
		if first := slices.IndexFunc(in.Of.Steps, func(s Step) bool { return s.Kind == StepSetTraffic }); first >= 0 {
			was = in.Of.Steps[first].FromPercent
		}
		w := newWorld(back).run()
		if got, set := w.traffic["site-b"]; w.outcome.Action != Done || set && got != was {
			t.Fatalf("%s with %d %% of the traffic, before the plan it had %d: %v", w.outcome.Action, got, was, text(w.log))
		}
		again := finished(t, back)
		again.Clusters, again.Apps = in.Clusters, in.Apps
		replayed(t, again, Revert)
	})
	if planned == 0 {
		t.Error("no way back was planned")
	}
}

// finished is a world in which a plan has come to its end.
func finished(t *rapid.T, p Plan) RevertInput {
	clusters, apps := fleetOf(t)
	in := RevertInput{
		Of: p, Evacuated: p.Kind == KindMigrateApps, NowUnix: 1000, Clusters: clusters, Apps: apps,
		HealthySinceUnix: rapid.SampledFrom([]int64{1, 999, 0}).Draw(t, "healthy since"),
	}
	if rapid.Bool().Draw(t, "as it was left") {
		for i := range in.Clusters {
			in.Clusters[i] = site(in.Clusters[i].Name, 50)
		}
		in.HealthySinceUnix, in.Apps = 1, movedApps(p)
	}
	in.Clusters[1].TrafficPercent = endTraffic(p.Steps, in.Clusters[1].TrafficPercent)
	return in
}

// movedApps are the apps of a plan where it has brought them.
func movedApps(p Plan) []App {
	var out []App
	for _, name := range of(p.Reverse, StepPlace).apps() {
		out = append(out, app(name, 9, 0, 9, 9))
	}
	return out
}

func TestShiftsAreReplayed(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := ShiftInput{App: "projects/pay/apps/web", StepPercent: rapid.IntRange(0, 100).Draw(t, "step")}
		for _, name := range []string{"site-c", "site-a", "site-b"} {
			in.Clusters = append(in.Clusters, Serving{
				Cluster: name, Ready: rapid.IntRange(0, 5).Draw(t, "ready"), TrafficPercent: rapid.SampledFrom([]int{0, 50, 100}).Draw(t, "traffic"),
				Unknown: rapid.IntRange(0, 9).Draw(t, "unknown") == 0,
			})
		}
		if rapid.Bool().Draw(t, "some go to a") {
			in.To = []Share{{"site-a", rapid.IntRange(0, 100).Draw(t, "to a")}}
		}
		if rapid.Bool().Draw(t, "shifted before") {
			n := rapid.IntRange(0, 100).Draw(t, "at a")
			in.Now = []Share{{"site-a", n}, {"site-b", 100 - n}}
		}
		p := replayed(t, in, Shift)
		if len(p.Steps) == 0 {
			return
		}
		back := in
		back.Now, back.To = p.Steps[len(p.Steps)-2].Shares, p.Former
		replayed(t, back, Shift)
	})
}

// What comes next in a plan is decided again from what is stored of it.
func TestStepsAreReplayed(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(anyPlan(t))
		w.observe = func(o *Observation) {
			if rapid.IntRange(0, 4).Draw(t, "looked at") > 0 {
				return
			}
			in := NextInput{w.plan, w.at, *o}
			var read NextInput
			if err := json.Unmarshal([]byte(encode(t, in)), &read); err != nil {
				t.Fatal(err)
			}
			want := encode(t, Next(in.Plan, in.Progress, in.Observation))
			if got := encode(t, Next(read.Plan, read.Progress, read.Observation)); got != want {
				t.Fatalf("the replay differs:\n%s\n%s", want, got)
			}
		}
		w.run()
	})
}
