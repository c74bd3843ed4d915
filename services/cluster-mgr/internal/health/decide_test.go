package health

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func change(s site, f func(*site)) site {
	f(&s)
	return s
}

// Each story is a cluster that is well for 20 s, then something else for 60 s.
func TestVerdicts(t *testing.T) {
	no, yes := false, true
	cases := []struct {
		name string
		then site
		want []string
	}{
		{"stays well", well(), []string{"0s HEALTHY"}},
		{
			// rule C4
			"killed whole", dead(), []string{"0s HEALTHY", "22s SUSPECT", "50s DOWN"},
		},
		{
			"the API server dies, pods answer", change(well(), func(s *site) { s.api = false }),
			[]string{"0s HEALTHY", "22s DEGRADED"},
		},
		{
			"ipaas dies, pods answer", change(well(), func(s *site) { s.ipaas = false }),
			[]string{"0s HEALTHY", "22s SUSPECT", "60s DEGRADED"},
		},
		{
			"no pod answers, control plane well", change(well(), func(s *site) { s.pods = 0 }),
			[]string{"0s HEALTHY", "22s SUSPECT", "60s DEGRADED"},
		},
		{
			"API server and all pods are dead, ipaas answers", change(well(), func(s *site) { s.pods, s.api = 0, false }),
			[]string{"0s HEALTHY", "22s SUSPECT", "50s DOWN"},
		},
		{
			"all nodes and pods are dead, API server answers", change(well(), func(s *site) { s.pods, s.nodes = 0, 0 }),
			[]string{"0s HEALTHY", "22s SUSPECT", "50s DOWN"},
		},
		{
			"a third of the nodes is not ready", change(well(), func(s *site) { s.nodes = 0.6 }),
			[]string{"0s HEALTHY", "20s DEGRADED"},
		},
		{
			"most pods do not answer", change(well(), func(s *site) { s.pods = 0.3 }),
			[]string{"0s HEALTHY", "20s DEGRADED"},
		},
		{
			// rule C4
			"no pods to probe, one who cannot reach ipaas", change(dead(), func(s *site) { s.probed = false }),
			[]string{"0s HEALTHY", "22s SUSPECT"},
		},
		{
			"no pods to probe, two who cannot reach ipaas", change(dead(), func(s *site) { s.probed, s.second = false, &no }),
			[]string{"0s HEALTHY", "22s SUSPECT", "50s DOWN"},
		},
		{
			"no pods to probe, the second one reaches ipaas", change(dead(), func(s *site) { s.probed, s.second = false, &yes }),
			[]string{"0s HEALTHY", "22s SUSPECT"},
		},
		{
			// rule C4
			"everything looks dead from here, but the second one reaches ipaas", change(dead(), func(s *site) { s.second = &yes }),
			[]string{"0s HEALTHY", "22s SUSPECT", "60s DEGRADED"},
		},
		{
			"another cluster answers", change(well(), func(s *site) { s.foreign = true }),
			[]string{"0s HEALTHY", "20s UNKNOWN"},
		},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			w := newWatch().see(well(), 20).see(tc.then, 60)
			if diff := cmp.Diff(tc.want, w.changes); diff != "" {
				t.Errorf("verdicts (-want +got):\n%s\nreason: %s\n%s", diff, w.state.Reason, strings.Join(w.state.Evidence, "\n"))
			}
		})
	}
}

func TestThreeFailuresAreNotEnoughTooSoon(t *testing.T) {
	// rule C4
	set := Settings{MinDurationMS: 30_000}
	s := State{}
	for i := range int64(20) { // 20 failures within 10 s
		now := start + i*500
		s = Decide(s, dead().look(now), now, set)
	}
	if s.Verdict == Down {
		t.Error("DOWN after 10 s")
	}
}

func TestThirtySecondsAreNotEnoughWithTwoFailures(t *testing.T) {
	// rule C4
	set := Settings{StaleAfterMS: 60_000}
	s := Decide(State{}, well().look(start), start, set)
	for _, now := range []int64{start + 1_000, start + 41_000} {
		s = Decide(s, dead().look(now), now, set)
	}
	if s.Verdict == Down {
		t.Error("DOWN after two failures")
	}
	if s = Decide(s, dead().look(start+42_000), start+42_000, set); s.Verdict != Down {
		t.Errorf("the third one makes it DOWN, got %s", s.Verdict)
	}
}

// A process that was stopped for a minute between its second and third look knows nothing of that
// minute.
func TestSilenceIsNotFailure(t *testing.T) {
	// rule C1
	w := newWatch().see(well(), 20).see(dead(), 4)
	w.now += 60_000
	if w.see(dead(), 2); w.state.Verdict == Down {
		t.Error("DOWN by the silence between two failures")
	}
	quiet := newWatch().see(well(), 20)
	quiet.hear(func(int64) []Observation { return nil }, 30)
	if diff := cmp.Diff([]string{"0s HEALTHY", "34s UNKNOWN"}, quiet.changes); diff != "" {
		t.Errorf("silence (-want +got):\n%s", diff)
	}
}

func TestDownDoesNotFade(t *testing.T) {
	w := newWatch().see(well(), 20).see(dead(), 40)
	// Its apps have moved: no pods to probe, one vantage point left; then nobody at all.
	w.see(change(dead(), func(s *site) { s.probed = false }), 200)
	w.hear(func(int64) []Observation { return nil }, 600)
	if diff := cmp.Diff([]string{"0s HEALTHY", "22s SUSPECT", "50s DOWN"}, w.changes); diff != "" {
		t.Errorf("verdicts (-want +got):\n%s", diff)
	}
}

func TestReturnNeedsAMinuteWithoutABreak(t *testing.T) {
	// rule C4
	w := newWatch().see(well(), 20).see(dead(), 40)
	w.see(well(), 50).see(dead(), 2).see(well(), 58)
	if w.state.Verdict != Down || !strings.HasPrefix(w.state.Reason, "better for 56 s of the 60 s") {
		t.Fatalf("got %s: %s", w.state.Verdict, w.state.Reason)
	}
	w.see(well(), 6)
	if w.state.Verdict != Healthy {
		t.Errorf("got %s: %s", w.state.Verdict, w.state.Reason)
	}
}

func TestFlappingSwitchesOnce(t *testing.T) {
	// rule C4
	w := newWatch().see(well(), 20)
	for range 5 {
		w.see(dead(), 40).see(well(), 80)
	}
	if w.allowed != 1 {
		t.Errorf("a switch was allowed %d times: %v", w.allowed, w.changes)
	}
	w.see(dead(), 40)
	if w.state.Verdict != Down || w.state.SwitchAllowed || !strings.Contains(w.state.Reason, "nothing is switched automatically again") {
		t.Errorf("got %s, allowed %t: %s", w.state.Verdict, w.state.SwitchAllowed, w.state.Reason)
	}
	w.see(well(), 3600).see(dead(), 40)
	if w.allowed != 2 {
		t.Errorf("after a quiet hour a switch is allowed again, got %d", w.allowed)
	}
}

func TestWrongIdentity(t *testing.T) {
	foreign := change(well(), func(s *site) { s.foreign = true })
	t.Run("never DOWN, also when it dies", func(t *testing.T) {
		w := newWatch().see(well(), 20).see(foreign, 10).see(dead(), 300)
		if diff := cmp.Diff([]string{"0s HEALTHY", "20s UNKNOWN"}, w.changes); diff != "" {
			t.Errorf("verdicts (-want +got):\n%s", diff)
		}
	})
	t.Run("in the place of one that is DOWN", func(t *testing.T) {
		w := newWatch().see(well(), 20).see(dead(), 40).see(foreign, 4)
		if w.state.Verdict != Unknown || w.state.SwitchAllowed {
			t.Errorf("got %s", w.state.Verdict)
		}
	})
	t.Run("the right one is believed again after a while", func(t *testing.T) {
		w := newWatch().see(foreign, 10).see(well(), 20)
		if diff := cmp.Diff([]string{"0s UNKNOWN", "20s HEALTHY"}, w.changes); diff != "" {
			t.Errorf("verdicts (-want +got):\n%s", diff)
		}
	})
}

func TestOneFailureChangesNothing(t *testing.T) {
	w := newWatch().see(well(), 20)
	for range 10 {
		w.see(dead(), 2).see(well(), 4)
	}
	if diff := cmp.Diff([]string{"0s HEALTHY"}, w.changes); diff != "" {
		t.Errorf("verdicts (-want +got):\n%s", diff)
	}
}

func TestNeverReachedIsUnknown(t *testing.T) {
	s := Decide(State{}, dead().look(start), start, Settings{})
	if s.Verdict != Unknown || s.Reason != "nobody has reached it yet" {
		t.Errorf("got %s: %s", s.Verdict, s.Reason)
	}
	if s = Decide(State{}, nil, start, Settings{}); s.Verdict != Unknown {
		t.Errorf("got %s", s.Verdict)
	}
}

func TestEvidenceIsInWords(t *testing.T) {
	w := newWatch().see(well(), 20)
	obs := dead().look(w.now)
	obs[0].Detail = "connection refused"
	w.state = Decide(w.state, obs, w.now, Settings{})
	want := []string{
		"ipaas.site-b finds the API server ready",
		"ipaas.site-b finds the registered identity",
		"cluster-mgr-1 does not reach ipaas, once over 0 s (connection refused)",
		"ipaas.site-b finds 100 % of the nodes ready",
		"ingress-agent.main.lb-1 gets answers from 0 % of the pods, once over 0 s",
		"ingress-agent.main.lb-2 gets answers from 0 % of the pods, once over 0 s",
	}
	if diff := cmp.Diff(want, w.state.Evidence); diff != "" {
		t.Errorf("evidence (-want +got):\n%s", diff)
	}
}

// rule C4: a DNS that fails says nothing about whether the cluster serves, so it is no witness of a
// loss, and by itself it degrades at most.
func TestDNSIsNoWitness(t *testing.T) {
	dns := func(at int64, ok bool) Observation {
		return Observation{Vantage: "ipaas.site-b", Subject: SubjectDNS, OK: ok, AtUnixMilli: at}
	}
	w := newWatch().hear(func(at int64) []Observation { return append(well().look(at), dns(at, false)) }, 300)
	if w.state.Verdict != Degraded {
		t.Errorf("got %s: %s", w.state.Verdict, w.state.Reason)
	}
	w.hear(func(at int64) []Observation { return append(well().look(at), dns(at, true)) }, 30)
	if w.state.Verdict != Healthy {
		t.Errorf("got %s: %s", w.state.Verdict, w.state.Reason)
	}
	alone := dead()
	alone.probed = false
	w.hear(func(at int64) []Observation { return append(alone.look(at), dns(at, false)) }, 300)
	if w.state.Verdict != Suspect {
		t.Errorf("got %s: %s", w.state.Verdict, w.state.Reason)
	}
}
