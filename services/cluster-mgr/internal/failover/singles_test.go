package failover

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// cron is an app of class single in site-b.
func cron() App {
	a := app("cron", 0, 1)
	a.Single = true
	return a
}

func leaving(down bool, apps ...App) MigrateInput {
	in := MigrateInput{Cluster: "site-b", Down: down, StepPercent: 100, Clusters: []Cluster{site("site-a", 10), site("site-b", 10)}, Apps: apps}
	if down {
		in.Clusters[1] = lost("site-b")
	}
	return in
}

func TestASingleMovesLastAndBehindAFence(t *testing.T) {
	// rule C5
	p := Migrate(leaving(false, app("web", 2, 2), cron()))
	check(t, "steps", `
		PLACE site-a web=4
		WAIT_READY site-a web=4
		SET_TRAFFIC site-b 0
		WAIT_GENERATION site-b
		DRAIN site-b
		WITHDRAW site-b cron
		FENCE site-b cron
		PLACE site-a cron=1
		WAIT_READY site-a cron=1
		EVACUATE site-b`, p.Steps)
	check(t, "reverse", `
		ADMIT site-b
		PLACE site-b web=2
		WAIT_READY site-b web=2
		SET_TRAFFIC site-b 100
		WAIT_GENERATION site-b
		WITHDRAW site-a cron
		FENCE site-a cron
		PLACE site-b cron=1
		WAIT_READY site-b cron=1
		RELEASE site-b web`, p.Reverse)
	if len(p.Problems) != 0 {
		t.Errorf("problems: %v", p.Problems)
	}
	check(t, "taken back after it has moved", `
		PLACE site-b web=2
		WAIT_READY site-b web=2
		SET_TRAFFIC site-b 100
		WAIT_GENERATION site-b
		WITHDRAW site-a cron
		FENCE site-a cron
		PLACE site-b cron=1
		WAIT_READY site-b cron=1
		RELEASE site-b web`, Abort(p, 8))
	check(t, "taken back before it may have started elsewhere", `
		PLACE site-b web=2
		WAIT_READY site-b web=2
		SET_TRAFFIC site-b 100
		WAIT_GENERATION site-b
		PLACE site-b cron=1
		WAIT_READY site-b cron=1
		RELEASE site-b web`, Abort(p, 6))
}

// Where the old cluster cannot be asked, the approval of a plan that says so by name is the answer.
func TestAPersonConfirmsForALostCluster(t *testing.T) {
	// rule C5
	p := Migrate(leaving(true, cron()))
	if len(p.Problems) != 1 || !strings.HasPrefix(p.Problems[0], "cron: class single: site-b cannot be asked") {
		t.Errorf("problems: %v", p.Problems)
	}
	check(t, "steps", `
		EVACUATE site-b
		SET_TRAFFIC site-b 0
		WAIT_GENERATION site-b
		DRAIN site-b
		WITHDRAW site-b cron
		FENCE site-b cron
		PLACE site-a cron=1
		WAIT_READY site-a cron=1`, p.Steps)
}

func TestTheFence(t *testing.T) {
	// rule C5
	living, dead := Migrate(leaving(false, cron())), Migrate(leaving(true, cron()))
	at := func(p Plan) Progress {
		for i, s := range p.Steps {
			if s.Kind == StepFence {
				return Progress{Done: i, StepSinceUnix: 1000}
			}
		}
		t.Fatal("no fence")
		return Progress{}
	}
	cases := []struct {
		name   string
		plan   Plan
		fences []Fence
		after  int64
		want   Action
		reason string
	}{
		{"not asked yet", living, nil, 0, Wait, "site-b has not been asked about cron"},
		{"not asked yet, though confirmed", dead, nil, 0, Wait, "site-b has not been asked about cron"},
		{"a pod is left", living, []Fence{{"site-b", "cron", 1, ""}}, 0, Wait, "1 pod of cron left in site-b"},
		{"a pod is left, though confirmed", dead, []Fence{{"site-b", "cron", 1, ""}}, 0, Wait, "1 pod of cron left in site-b"},
		{"no answer", living, []Fence{{"site-b", "cron", 0, "timeout"}}, 0, Wait, "site-b cannot be asked about cron (timeout)"},
		{"no answer for long", living, []Fence{{"site-b", "cron", 0, "timeout"}}, 300, Reverse, "site-b cannot be asked about cron (timeout) for 300 s"},
		{"no answer, confirmed", dead, []Fence{{"site-b", "cron", 0, "timeout"}}, 0, Wait, "place 1 replica in site-a: cron has 0 of 1 replica placed in site-a"},
		{"another cluster's answer", living, []Fence{{"site-a", "cron", 0, ""}}, 0, Wait, "site-b has not been asked about cron"},
		{"none is left", living, []Fence{{"site-b", "cron", 0, ""}}, 0, Wait, "place 1 replica in site-a: cron has 0 of 1 replica placed in site-a"},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			d := Next(tc.plan, at(tc.plan), Observation{NowUnix: 1000 + tc.after, Fences: tc.fences})
			if d.Action != tc.want || !strings.HasSuffix(d.Reason, tc.reason) {
				t.Errorf("got %s: %s", d.Action, d.Reason)
			}
		})
	}
	if s, asking := Asking(living, at(living)); !asking || s.Cluster != "site-b" {
		t.Errorf("nobody asks: %+v", s)
	}
	if _, asking := Asking(living, Progress{}); asking {
		t.Error("somebody asks before the fence")
	}
}

// Whatever crashes or is cancelled, there are never two.
func TestNeverTwoCopiesOfASingle(t *testing.T) {
	// rule C5
	rapid.Check(t, func(t *rapid.T) {
		in := leaving(rapid.Bool().Draw(t, "down"), app("web", 1, rapid.IntRange(0, 3).Draw(t, "web")), cron())
		w := newWorld(Migrate(in))
		at := rapid.IntRange(0, 40).Draw(t, "cancelled at")
		turns := 0
		w.observe = func(o *Observation) { turns++; o.Cancelled = turns > at }
		for {
			before := w.at
			if !w.turn() {
				break
			}
			// Others act upon what waits only once it is stored, so that is not lost.
			if w.outcome.Action == Run && rapid.IntRange(0, 1).Draw(t, "crash") == 0 {
				w.at = before
			}
		}
		a, b := w.ready[spot{"site-a", "cron"}], w.ready[spot{"site-b", "cron"}]
		if w.doubled != "" || a+b > 1 || !in.Down && a+b != 1 {
			t.Fatalf("%d copies in site-a, %d in site-b, twice: %q; %v", a, b, w.doubled, text(w.log))
		}
	})
}

func TestASwitchMovesNoSingle(t *testing.T) {
	in := SwitchInput{Cluster: "site-b", Grow: true, StepPercent: 100, Clusters: []Cluster{site("site-a", 10), site("site-b", 10)}, Apps: []App{cron()}}
	check(t, "steps", "SET_TRAFFIC site-b 0\nWAIT_GENERATION site-b\nDRAIN site-b", Switch(in).Steps)
}

func TestWithoutSingles(t *testing.T) {
	p := WithoutSingles(Migrate(leaving(true, app("web", 2, 2), cron())))
	check(t, "steps", `
		EVACUATE site-b
		PLACE site-a web=4
		WAIT_READY site-a web=4
		SET_TRAFFIC site-b 0
		WAIT_GENERATION site-b
		DRAIN site-b`, p.Steps)
	for _, s := range p.Reverse {
		if s.names("cron") {
			t.Errorf("the way back moves cron: %+v", s)
		}
	}
	want := []string{"cron: class single: it stays until a person approves its move"}
	if diff := cmp.Diff(want, p.Problems); diff != "" {
		t.Errorf("problems (-want +got):\n%s", diff)
	}
}

// Planned work starts so many apps at a time, the important ones first.
func TestConcurrency(t *testing.T) {
	web, pay, last := app("web", 1, 1), app("pay", 1, 1), app("api", 1, 1)
	pay.Priority = 10
	in := leaving(false, web, pay, last)
	in.Concurrency = 2
	check(t, "steps", `
		PLACE site-a api=2 pay=2
		WAIT_READY site-a api=2 pay=2
		PLACE site-a web=2
		WAIT_READY site-a web=2
		SET_TRAFFIC site-b 0
		WAIT_GENERATION site-b
		DRAIN site-b
		EVACUATE site-b`, Migrate(in).Steps)
}

// A cluster without traffic serves nobody, so nothing has to be replaced.
func TestLeavingAnIdleCluster(t *testing.T) {
	in := leaving(false, app("web", 4, 2))
	in.Clusters[1].TrafficPercent = 0
	check(t, "steps", "DRAIN site-b\nEVACUATE site-b", Migrate(in).Steps)
}
