package failover

import (
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func switchPlan() Plan {
	return Switch(SwitchInput{
		Cluster: "site-b", Grow: true, StepPercent: 50,
		Clusters: []Cluster{site("site-a", 10), site("site-b", 10)}, Apps: []App{app("web", 2, 2)},
	})
}

func lostPlan() Plan {
	return Migrate(MigrateInput{
		Cluster: "site-b", Down: true,
		Clusters: []Cluster{site("site-a", 10), lost("site-b")}, Apps: []App{app("web", 2, 2)},
	})
}

func TestAPlanIsCarriedOut(t *testing.T) {
	w := newWorld(switchPlan()).run()
	if w.outcome.Action != Done || w.traffic["site-b"] != 0 || w.ready[spot{"site-a", "web"}] != 4 {
		t.Errorf("got %+v, traffic %v, ready %v", w.outcome, w.traffic, w.ready)
	}
	check(t, "effects", "SET_TRAFFIC site-b 50\nSET_TRAFFIC site-b 0", w.log)
	if took := w.now - 1_790_000_000; took != 1+4+2+2+5 {
		t.Errorf("took %d s, want 1 to place, 4 for replicas, 2 twice between weights, 5 to drain", took)
	}
}

func TestALostClusterIsLeft(t *testing.T) {
	w := newWorld(lostPlan()).run()
	check(t, "effects", "EVACUATE site-b\nSET_TRAFFIC site-b 0", w.log)
	if w.outcome.Action != Done || !w.closed["site-b"] {
		t.Errorf("got %+v", w.outcome)
	}
}

func TestTrafficWaitsForCapacity(t *testing.T) {
	// rule C2
	p := switchPlan()
	see := Observation{NowUnix: 100, Agents: 2, AgentsServing: 2}
	d := Next(p, Progress{}, see)
	if d.Action != Wait || d.Reason != "place 4 replicas in site-a: web has 0 of 4 replicas placed in site-a" {
		t.Errorf("got %s: %s", d.Action, d.Reason)
	}
	see.Ready = []Ready{{Cluster: "site-a", App: "web", Assigned: 4, Ready: 3}}
	d = Next(p, d.Progress, see)
	if d.Action != Wait || d.Reason != "wait until they are ready in site-a: web has 3 of 4 replicas ready in site-a" {
		t.Errorf("got %s: %s", d.Action, d.Reason)
	}
	see.Ready[0].Ready = 4
	if d = Next(p, d.Progress, see); d.Action != Run || d.Step.TrafficPercent != 50 {
		t.Errorf("got %s: %s", d.Action, d.Reason)
	}
}

func TestWeightsWaitForEveryLoadBalancer(t *testing.T) {
	p := switchPlan()
	at := Progress{Done: 3} // after SET_TRAFFIC 50
	see := Observation{NowUnix: 100, Agents: 2, AgentsServing: 1}
	d := Next(p, at, see)
	if d.Action != Wait || !strings.HasSuffix(d.Reason, "1 of 2 load balancer nodes serve it") {
		t.Errorf("got %s: %s", d.Action, d.Reason)
	}
	none := see
	none.Agents, none.AgentsServing = 0, 0
	if d := Next(p, at, none); d.Action != Wait {
		t.Errorf("nobody serving is not everybody serving: %s", d.Action)
	}
	see.AgentsServing = 2
	if d = Next(p, d.Progress, see); d.Action != Wait || !strings.HasSuffix(d.Reason, "2 s left") {
		t.Errorf("got %s: %s", d.Action, d.Reason)
	}
	see.NowUnix = 102
	if d = Next(p, d.Progress, see); d.Action != Run || d.Step.TrafficPercent != 0 {
		t.Errorf("got %s: %s", d.Action, d.Reason)
	}
}

func TestRisingErrorsTurnRound(t *testing.T) {
	cases := []struct {
		name     string
		percent  float64
		baseline float64
		requests int64
		want     Action
	}{
		{"above the margin", 1.6, 0.5, 1000, Reverse},
		{"at the margin", 1.5, 0.5, 1000, Run},
		{"bad before already", 30, 29.5, 1000, Run},
		{"too few requests to tell", 100, 0, 49, Run},
		{"no rate", math.NaN(), 0, 1000, Run},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			see := Observation{NowUnix: 1000, Agents: 2, AgentsServing: 2, ErrorPercent: tc.percent, BaselinePercent: tc.baseline, Requests: tc.requests}
			d := Next(switchPlan(), Progress{Done: 4, StepSinceUnix: 900}, see)
			d2 := Next(switchPlan(), Progress{Done: 3, StepSinceUnix: 900}, see)
			if d.Action != tc.want || d2.Action != tc.want {
				t.Errorf("got %s (%s) and %s, want %s", d.Action, d.Reason, d2.Action, tc.want)
			}
		})
	}
	before := Observation{NowUnix: 1000, ErrorPercent: 50, Requests: 1000}
	if d := Next(switchPlan(), Progress{}, before); d.Action != Wait {
		t.Errorf("errors before any traffic was moved are not the plan's: %s", d.Action)
	}
}

func TestTurningRoundRestoresTraffic(t *testing.T) {
	w := newWorld(switchPlan())
	w.observe = func(o *Observation) {
		if w.traffic["site-b"] == 0 && len(w.log) == 2 {
			o.ErrorPercent, o.Requests = 20, 500
		}
	}
	w.run()
	check(t, "effects", "SET_TRAFFIC site-b 50\nSET_TRAFFIC site-b 0\nSET_TRAFFIC site-b 100", w.log)
	if w.outcome.Action != Done || w.outcome.Reason != "taken back" {
		t.Errorf("got %+v", w.outcome)
	}
	if w.reversed != "20.0 % of 500 requests fail where the traffic goes; before it were 0.0 %, and 1.0 % more are allowed" {
		t.Errorf("reason %q", w.reversed)
	}
}

// Traffic is not given back to a dead cluster because the living one has errors.
func TestNothingGoesBackToALostCluster(t *testing.T) {
	// rule C1
	w := newWorld(lostPlan())
	w.observe = func(o *Observation) { o.ErrorPercent, o.Requests = 20, 500 }
	w.run()
	if w.outcome.Action != Stop || w.traffic["site-b"] != 0 {
		t.Errorf("got %+v", w.outcome)
	}
	see := Observation{NowUnix: 1000, Cancelled: true}
	if d := Next(lostPlan(), Progress{Done: 1}, see); d.Action != Stop {
		t.Errorf("got %s", d.Action)
	}
}

func TestFreezePausesEverything(t *testing.T) {
	// rule C3
	see := Observation{NowUnix: 1000, FrozenReason: "2 of 2 clusters turned bad", Cancelled: true, ErrorPercent: 50, Requests: 1000}
	for _, at := range []Progress{{}, {Done: 2}, {Done: 3, StepSinceUnix: 1}, {Done: 3, Reversing: true}} {
		d := Next(switchPlan(), at, see)
		at.StepSinceUnix = 0
		if d.Action != Wait || d.Progress != at || d.Reason != "frozen: 2 of 2 clusters turned bad" {
			t.Errorf("got %+v", d)
		}
	}
	if d := Next(switchPlan(), Progress{Done: 99}, see); d.Action != Done {
		t.Errorf("what is done is done: %s", d.Action)
	}
}

func TestTimeouts(t *testing.T) {
	see := Observation{NowUnix: 1000, Agents: 2, AgentsServing: 1}
	cases := []struct {
		name string
		plan Plan
		at   Progress
		want Action
	}{
		{"replicas, soon", switchPlan(), Progress{StepSinceUnix: 701}, Wait},
		{"replicas", switchPlan(), Progress{StepSinceUnix: 700}, Reverse},
		{"generation, soon", switchPlan(), Progress{Done: 3, StepSinceUnix: 941}, Wait},
		{"generation", switchPlan(), Progress{Done: 3, StepSinceUnix: 940}, Reverse},
		{"replicas of a lost cluster, soon", lostPlan(), Progress{Done: 2, StepSinceUnix: 701}, Wait},
		{"replicas of a lost cluster", lostPlan(), Progress{Done: 2, StepSinceUnix: 700}, Run},
		{"generation for a lost cluster", lostPlan(), Progress{Done: 4, StepSinceUnix: 940}, Stop},
		{"while taking back", switchPlan(), Progress{Done: 3, Reversing: true, ReverseDone: 1, StepSinceUnix: 900}, Stop},
		{"since a time to come", switchPlan(), Progress{StepSinceUnix: 5000}, Wait},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			if d := Next(tc.plan, tc.at, see); d.Action != tc.want {
				t.Errorf("got %s: %s", d.Action, d.Reason)
			}
		})
	}
}

// One app that does not start keeps no traffic in a cluster where nobody answers, but it is named.
func TestALostClusterIsLeftWithoutWhatDoesNotStart(t *testing.T) {
	see := Observation{NowUnix: 1000, Ready: []Ready{{Cluster: "site-a", App: "web", Assigned: 4, Ready: 3}}}
	d := Next(lostPlan(), Progress{Done: 2, StepSinceUnix: 700}, see)
	want := "wait until they are ready in site-a: gone on without it, web has 3 of 4 replicas ready in site-a for 300 s"
	if d.Step.Kind != StepSetTraffic || len(d.Lacking) != 1 || d.Lacking[0] != want {
		t.Errorf("got %+v", d)
	}
}

func TestAbort(t *testing.T) {
	living := Migrate(MigrateInput{
		Cluster: "site-b", StepPercent: 50,
		Clusters: []Cluster{site("site-a", 10), site("site-b", 10)}, Apps: []App{app("web", 2, 2)},
	})
	a := app("web", 4, 0, 0)
	a.Clusters[1].Home = 2
	back := FailBack(failBack(a))
	cases := []struct {
		name string
		plan Plan
		done int
		want string
	}{
		{"a switch before any weight", switchPlan(), 0, "RELEASE site-b web"},
		{"a switch whose first weight may be in effect", switchPlan(), 2, "SET_TRAFFIC site-b 100\nWAIT_GENERATION site-b\nRELEASE site-b web"},
		{"a switch with all weights", switchPlan(), 6, "SET_TRAFFIC site-b 100\nWAIT_GENERATION site-b\nRELEASE site-b web"},
		{"a migration just begun", living, 0, "PLACE site-b web=2\nWAIT_READY site-b web=2\nRELEASE site-b web"},
		{"a migration just closed", living, 7, "ADMIT site-b\nPLACE site-b web=2\nWAIT_READY site-b web=2\nSET_TRAFFIC site-b 100\nWAIT_GENERATION site-b\nRELEASE site-b web"},
		{"a return before any weight", back, 1, "PLACE site-a web=4\nWAIT_READY site-a web=4\nEVACUATE site-b"},
		{"a return at half", back, 4, "PLACE site-a web=4\nWAIT_READY site-a web=4\nSET_TRAFFIC site-b 0\nWAIT_GENERATION site-b\nEVACUATE site-b"},
		{"nonsense", switchPlan(), -4, "RELEASE site-b web"},
		{"beyond the end", switchPlan(), 99, "SET_TRAFFIC site-b 100\nWAIT_GENERATION site-b\nRELEASE site-b web"},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			if diff := cmp.Diff(lines(tc.want), text(Abort(tc.plan, tc.done))); diff != "" {
				t.Errorf("steps (-want +got):\n%s", diff)
			}
		})
	}
}

func TestStrangeProgressDoesNotPanic(t *testing.T) {
	see := Observation{NowUnix: 1000}
	for _, at := range []Progress{{Done: -1}, {Done: 99}, {Done: -1, Reversing: true, ReverseDone: -1}, {Done: 4, Reversing: true, ReverseDone: 99}} {
		if d := Next(switchPlan(), at, see); d.Action == "" {
			t.Errorf("%+v: no action", at)
		}
	}
}

func TestCancel(t *testing.T) {
	w := newWorld(switchPlan())
	w.observe = func(o *Observation) { o.Cancelled = len(w.log) == 1 }
	w.run()
	check(t, "effects", "SET_TRAFFIC site-b 50\nSET_TRAFFIC site-b 100", w.log)
	if w.reversed != "cancelled by a person" {
		t.Errorf("reason %q", w.reversed)
	}
}
