package failover

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

const web = "projects/pay/apps/web"

// serving is web with so many ready pods in site-a, site-b, ...
func serving(ready ...int) []Serving {
	var out []Serving
	for i, n := range ready {
		out = append(out, Serving{Cluster: fmt.Sprintf("site-%c", 'a'+i), Ready: n, TrafficPercent: 100})
	}
	return out
}

// shares are those of site-a, site-b, ...; zeros are left out.
func shares(percents ...int) []Share {
	var out []Share
	for i, n := range percents {
		if n > 0 {
			out = append(out, Share{fmt.Sprintf("site-%c", 'a'+i), n})
		}
	}
	return out
}

// sets are the shares that the steps of a plan set, one after the other.
func sets(list []Step) []string {
	out := []string{}
	for _, s := range list {
		if s.Kind == StepSetShares {
			out = append(out, division(s.Shares))
		}
	}
	return out
}

func TestShift(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name string
		in   ShiftInput
		want string
		back string
	}{
		{
			"from ready pods", ShiftInput{To: shares(0, 100), StepPercent: 20, Clusters: serving(2, 2)},
			"site-a 30 %, site-b 70 % | site-a 10 %, site-b 90 % | site-b 100 %",
			"site-a 20 %, site-b 80 % | site-a 40 %, site-b 60 % | by ready pods",
		},
		{
			"from shares", ShiftInput{Now: shares(100), To: shares(0, 50), Clusters: serving(3, 1)},
			"site-a 75 %, site-b 25 % | site-a 50 %, site-b 50 %", "site-a 75 %, site-b 25 % | site-a 100 %",
		},
		{
			"the rest goes by ready pods", ShiftInput{To: []Share{{"site-c", 40}}, StepPercent: 100, Clusters: serving(2, 1, 3)},
			"site-a 40 %, site-b 20 %, site-c 40 %", "by ready pods",
		},
		{
			"back to ready pods", ShiftInput{Now: shares(100), StepPercent: 30, Clusters: serving(2, 2)},
			"site-a 70 %, site-b 30 % | by ready pods", "site-a 80 %, site-b 20 % | site-a 100 %",
		},
		{
			"what ready pods give, put down", ShiftInput{To: shares(50, 50), Clusters: serving(2, 2)},
			"site-a 50 %, site-b 50 %", "by ready pods",
		},
		{
			"away from one that cannot be observed", ShiftInput{To: shares(100), StepPercent: 50, Clusters: []Serving{
				{Cluster: "site-a", Ready: 2, TrafficPercent: 100}, {Cluster: "site-b", Ready: 2, TrafficPercent: 100, Unknown: true},
			}}, "site-a 100 %", "by ready pods",
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			tc.in.App = web
			p := Shift(tc.in)
			if diff := cmp.Diff(tc.want, strings.Join(sets(p.Steps), " | ")); diff != "" {
				t.Errorf("%v (-want +got):\n%s", p.Problems, diff)
			}
			if diff := cmp.Diff(tc.back, strings.Join(sets(p.Reverse), " | ")); diff != "" {
				t.Errorf("the way back (-want +got):\n%s", diff)
			}
		})
	}
}

func TestShiftRefuses(t *testing.T) {
	t.Parallel()
	closed := func(why string) []Serving {
		c := serving(2, 2)
		c[1].Closed = why
		return c
	}
	dark := serving(2, 2)
	dark[1].Unknown = true
	none := serving(2, 2)
	none[1].TrafficPercent = 0
	for _, tc := range []struct {
		name string
		in   ShiftInput
		want string
	}{
		{"no such cluster", ShiftInput{To: []Share{{"site-x", 10}}, Clusters: serving(2, 2)}, "there is no cluster site-x"},
		{"less than nothing", ShiftInput{To: []Share{{"site-a", -1}}, Clusters: serving(2, 2)}, "site-a cannot get -1 %"},
		{"more than all", ShiftInput{To: shares(60, 60), Clusters: serving(2, 2)}, "the shares are 120 % together"},
		{"nobody for the rest", ShiftInput{To: shares(60), Clusters: serving(2, 0)}, "the shares are 60 % together, and web has no ready pod in another cluster for the rest"},
		{"no ready pod", ShiftInput{To: shares(0, 100), Clusters: serving(2, 0)}, "web has no ready pod in site-b"},
		{"a cluster that is down", ShiftInput{To: shares(0, 100), Clusters: closed("is DOWN")}, "site-b is DOWN and can take no more requests of web"},
		{"one that cannot be observed", ShiftInput{To: shares(0, 100), Clusters: dark}, "site-b cannot be observed and can take no more requests of web"},
		{"one without traffic", ShiftInput{To: shares(0, 100), Clusters: none}, "site-b gets 0 % of its normal traffic and can take no more requests of web"},
		{"as it is", ShiftInput{Now: shares(30, 70), To: shares(30, 70), Clusters: serving(2, 2)}, "web has these shares already"},
		{"nothing to reset", ShiftInput{Clusters: serving(2, 2)}, "the requests of web go by ready pods already"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			tc.in.App = web
			p := Shift(tc.in)
			if diff := cmp.Diff([]string{tc.want}, p.Problems); diff != "" || len(p.Steps) > 0 {
				t.Errorf("%v (-want +got):\n%s", text(p.Steps), diff)
			}
		})
	}
}

// drawShift is a shift among up to five clusters, each of which has at least one ready pod.
func drawShift(t *rapid.T) ShiftInput {
	n := rapid.IntRange(2, 5).Draw(t, "clusters")
	draw := func(label string) []Share {
		weights := rapid.SliceOfN(rapid.IntRange(0, 100), n, n).Draw(t, label)
		return shares(apportion(fullTraffic, weights)...)
	}
	in := ShiftInput{App: web, To: draw("to"), StepPercent: rapid.IntRange(1, 100).Draw(t, "step")}
	if rapid.Bool().Draw(t, "pinned") {
		in.Now = draw("now")
	}
	in.Clusters = serving(rapid.SliceOfN(rapid.IntRange(1, 40), n, n).Draw(t, "ready")...)
	return in
}

// Each step's shares are 100 together, change one way only and by no more than the step, somebody with
// ready pods always has some, and there are no more steps than it takes.
func TestShiftSteps(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		in := drawShift(t)
		p := Shift(in)
		if len(p.Steps) == 0 {
			t.Skip(p.Problems)
		}
		s := shift{clusters: in.Clusters}
		from, to := s.now(in.Now), s.target(in.To)
		distance := addUp(differences(from, to))
		if want := max(1, divideUp(distance, in.StepPercent)); len(sets(p.Steps)) != want {
			t.Fatalf("%d steps over %d points by %d", len(sets(p.Steps)), distance, in.StepPercent)
		}
		at := from
		for _, step := range p.Steps {
			if step.Kind != StepSetShares {
				continue
			}
			next := s.now(step.Shares)
			if sum(step.Shares) != fullTraffic && (len(in.To) > 0 || len(step.Shares) > 0) {
				t.Fatalf("%v is not 100 together", step.Shares)
			}
			if moved := addUp(differences(at, next)); moved > in.StepPercent {
				t.Fatalf("%d points at once, by %d", moved, in.StepPercent)
			}
			between(t, at, next, to)
			at = next
		}
		if !slices.Equal(at, to) {
			t.Fatalf("it ends with %v instead of %v", at, to)
		}
	})
}

func sum(shares []Share) int {
	n := 0
	for _, s := range shares {
		n += s.Percent
	}
	return n
}

// between checks that no cluster goes away from its target, or beyond it.
func between(t *rapid.T, at, next, to []int) {
	for i := range at {
		if (next[i]-at[i])*(to[i]-next[i]) < 0 || (to[i]-at[i])*(next[i]-at[i]) < 0 {
			t.Fatalf("cluster %d goes from %d to %d on the way to %d", i, at[i], next[i], to[i])
		}
	}
}

// Wherever a shift is stopped, what holds is known from its progress, and taking it back restores what
// was before.
func TestAShiftIsTakenBackFromAnywhere(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		in := drawShift(t)
		p := Shift(in)
		if len(p.Steps) == 0 {
			t.Skip(p.Problems)
		}
		w := newWorld(p)
		w.serving = in.Clusters
		stop := rapid.IntRange(0, 2*len(p.Steps)).Draw(t, "turns")
		cancel := false
		w.observe = func(o *Observation) { o.Cancelled = cancel }
		for range stop {
			w.turn()
			if diff := cmp.Diff(w.shares, Holding(p, w.at)); diff != "" {
				t.Fatalf("at %+v (-is +said):\n%s", w.at, diff)
			}
		}
		cancel = true
		if w.run(); w.at.Reversing && !slices.Equal(w.shares, in.Now) {
			t.Fatalf("%v instead of %v", w.shares, in.Now)
		}
		if w.outcome.Action != Done {
			t.Fatalf("%+v", w.outcome)
		}
	})
}

// turned runs a shift of all requests to site-b, of which the first step is done, with what is seen then.
func turnedBy(t *testing.T, see func(*Observation)) *world {
	t.Helper()
	p := Shift(ShiftInput{App: web, To: shares(0, 100), StepPercent: 20, Clusters: serving(2, 2)})
	w := newWorld(p)
	w.serving = serving(2, 2)
	for w.at.Done < 1 {
		w.turn()
	}
	w.observe = see
	for range 100 {
		if !w.turn() {
			break
		}
	}
	return w
}

func TestAShiftTurnsRound(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name string
		see  func(*Observation)
		why  string
	}{
		{"errors", func(o *Observation) { o.Requests, o.ErrorPercent, o.BaselinePercent = 100, 3, 1 }, "3.0 % of 100 requests fail where the traffic goes; before it were 1.0 %, and 1.0 % more are allowed"},
		{"latency", func(o *Observation) {
			o.Requests, o.Shift.LatencyMillis, o.Shift.BaselineMillis = 100, 90, 40
		}, "requests take 90 ms where the traffic goes, and took 40 ms before"},
		{"no ready pod is left", func(o *Observation) { o.Shift.Clusters = serving(2, 0) }, "site-b has no ready pod"},
		{"the cluster is gone", func(o *Observation) { o.Shift.Clusters = serving(2) }, "there is no cluster site-b any more"},
		{"a node does not follow", func(o *Observation) {
			o.NowUnix += 100 * int64(o.Agents)
			if len(o.Shift.Shares) > 0 {
				o.AgentsServing, o.Behind = 1, []string{"main/lb-2 serves generation 3 of 4"}
			}
		}, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			w := turnedBy(t, tc.see)
			if tc.why != "" && w.reversed != tc.why {
				t.Errorf("%q", w.reversed)
			}
			if w.reversed == "" || w.outcome.Action != Done || len(w.shares) > 0 {
				t.Errorf("%+v with %v", w.outcome, w.shares)
			}
		})
	}
}

func TestAShiftGoesOn(t *testing.T) {
	t.Parallel()
	for name, see := range map[string]func(*Observation){
		"few requests": func(o *Observation) {
			o.Requests, o.ErrorPercent, o.Shift.LatencyMillis, o.Shift.BaselineMillis = 49, 100, 900, 1
		},
		"within the margin":          func(o *Observation) { o.Requests, o.ErrorPercent, o.BaselinePercent = 500, 1.9, 1 },
		"twice as long, 5 ms":        func(o *Observation) { o.Requests, o.Shift.LatencyMillis, o.Shift.BaselineMillis = 500, 10, 5 },
		"a little longer, 30 ms":     func(o *Observation) { o.Requests, o.Shift.LatencyMillis, o.Shift.BaselineMillis = 500, 230, 200 },
		"no baseline of the latency": func(o *Observation) { o.Requests, o.Shift.LatencyMillis = 500, 230 },
		"a silent node without VIP":  func(o *Observation) { o.Silent = []string{"main/lb-2 does not answer"} },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if w := turnedBy(t, see); w.outcome.Action != Done || w.reversed != "" || !slices.Equal(w.shares, shares(0, 100)) {
				t.Errorf("%+v %s with %v", w.outcome, w.reversed, w.shares)
			}
		})
	}
}

// Who decided about the requests meanwhile is not contradicted.
func TestAShiftThatIsOverruledStops(t *testing.T) {
	t.Parallel()
	for name, see := range map[string]func(*Observation){
		"the shares are gone": func(o *Observation) { o.Shift.Shares = nil },
		"others hold":         func(o *Observation) { o.Shift.Shares = shares(50, 50) },
		"the app is gone":     func(o *Observation) { o.Shift = nil },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := turnedBy(t, see)
			if len(w.log) != 1 || w.outcome.Action != Stop {
				t.Errorf("%+v after %v", w.outcome, text(w.log))
			}
		})
	}
}

// What cannot be observed may serve all the same: nothing more is led there, nothing is taken back.
func TestAShiftWaitsForAClusterThatCannotBeObserved(t *testing.T) {
	t.Parallel() // rule C1
	dark := serving(2, 2)
	dark[1].Unknown = true
	w := turnedBy(t, func(o *Observation) { o.Shift.Clusters = dark })
	if w.outcome.Action != Wait || len(w.log) != 1 || w.at.Reversing {
		t.Errorf("%+v after %v", w.outcome, text(w.log))
	}
}
