package autoscale

import (
	"math"
	"testing"
)

type want struct {
	desired int
	action  string
	code    string
	formula string
}

func check(t *testing.T, d Decision, w want) {
	t.Helper()
	if d.Desired != w.desired || d.Action != w.action || d.ReasonCode != w.code {
		t.Errorf("got %d %s %s (%s), want %d %s %s", d.Desired, d.Action, d.ReasonCode, d.Reason, w.desired, w.action, w.code)
	}
	if d.Formula != w.formula {
		t.Errorf("formula\n got %q\nwant %q", d.Formula, w.formula)
	}
	if d.Reason == "" {
		t.Error("no reason given")
	}
}

func TestFormula(t *testing.T) {
	cases := []struct {
		name string
		in   Input
		want want
	}{
		{
			"the article's example rounds to nearest", app(4, 80),
			want{6, ActionUp, ReasonAboveTarget, "4 pods, sum 320 %, target 50 % → 6.4 → 6"},
		},
		{
			"as Kubernetes' HPA", with(app(4, 80), func(in *Input) { in.Policy.Rounding = RoundUp }),
			want{7, ActionUp, ReasonAboveTarget, "4 pods, sum 320 %, target 50 % → 6.4 → 7"},
		},
		{
			"down", with(app(4, 85), func(in *Input) { in.Policy.Rounding = RoundDown }),
			want{6, ActionUp, ReasonAboveTarget, "4 pods, sum 340 %, target 50 % → 6.8 → 6"},
		},
		{
			"half rounds up", app(5, 65),
			want{7, ActionUp, ReasonAboveTarget, "5 pods, sum 325 %, target 50 % → 6.5 → 7"},
		},
		{
			"float noise does not round up", with(app(3, 0.1), func(in *Input) {
				in.Policy.Rounding, in.Metrics[0].TargetPercent, in.Current = RoundUp, 0.1, 1
			}),
			want{3, ActionUp, ReasonAboveTarget, "3 pods, sum 0.3 %, target 0.1 % → 3 → 3"},
		},
		{
			"within the tolerance", with(app(10, 54.8), func(in *Input) { in.Policy.Rounding = RoundUp }),
			want{10, ActionHold, ReasonOnTarget, "10 pods, sum 548 %, target 50 % → 10.96 → 11, within 10 % of 10"},
		},
		{
			"the tolerance itself is within", app(10, 55),
			want{10, ActionHold, ReasonOnTarget, "10 pods, sum 550 %, target 50 % → 11 → 11, within 10 % of 10"},
		},
		{
			"above the tolerance", app(10, 55.1),
			want{11, ActionUp, ReasonAboveTarget, "10 pods, sum 551 %, target 50 % → 11.02 → 11"},
		},
		{
			"no tolerance", with(app(10, 53), func(in *Input) { in.Policy.TolerancePercent = -1; in.Policy.Rounding = RoundUp }),
			want{11, ActionUp, ReasonAboveTarget, "10 pods, sum 530 %, target 50 % → 10.6 → 11"},
		},
		{
			"on target", app(4, 50),
			want{4, ActionHold, ReasonOnTarget, "4 pods, sum 200 %, target 50 % → 4 → 4"},
		},
		{
			"one pod", app(1, 50),
			want{1, ActionHold, ReasonOnTarget, "1 pod, sum 50 %, target 50 % → 1 → 1"},
		},
		{
			"maximum", with(app(4, 200), func(in *Input) { in.Policy.Max = 10 }),
			want{10, ActionUp, ReasonAboveTarget, "4 pods, sum 800 %, target 50 % → 16 → 16, at most 10"},
		},
		{
			"already at the maximum", with(app(4, 200), func(in *Input) { in.Policy.Max = 4 }),
			want{4, ActionHold, ReasonAtMax, "4 pods, sum 800 %, target 50 % → 16 → 16, at most 4"},
		},
		{
			"already at the minimum", with(app(4, 5), func(in *Input) { in.Policy.Min = 4 }),
			want{4, ActionHold, ReasonAtMin, "4 pods, sum 20 %, target 50 % → 0.4 → 0, at least 4"},
		},
		{
			"a minimum raised", with(app(2, 50), func(in *Input) { in.Policy.Min = 4 }),
			want{4, ActionUp, ReasonBelowMin, "2 pods, sum 100 %, target 50 % → 2 → 2, at least 4"},
		},
		{
			"a maximum lowered does not wait for the window", with(app(8, 50), func(in *Input) { in.Policy.Max = 5 }),
			want{5, ActionDown, ReasonAboveMax, "8 pods, sum 400 %, target 50 % → 8 → 8, at most 5"},
		},
		{
			"step limit up", with(app(4, 200), func(in *Input) { in.Policy.MaxStepUp = 3 }),
			want{7, ActionUp, ReasonAboveTarget, "4 pods, sum 800 %, target 50 % → 16 → 16, at most +3 at once → 7"},
		},
		{
			"several metrics: the largest wins", with(app(4, 50), func(in *Input) {
				m := Metric{Name: "MEMORY", TargetPercent: 80}
				for _, p := range in.Pods {
					m.Samples = append(m.Samples, Sample{Pod: p.Name, Cluster: p.Cluster, Percent: 140})
				}
				in.Metrics = append(in.Metrics, m)
			}),
			want{7, ActionUp, ReasonAboveTarget, "CPU: 4 pods, sum 200 %, target 50 % → 4 → 4; MEMORY: 4 pods, sum 560 %, target 80 % → 7 → 7; largest 7"},
		},
		{
			"pods that are not ready do not count", with(app(4, 80), func(in *Input) {
				in.Pods = append(in.Pods, Pod{Name: "starting", Cluster: "site-a"})
				in.Metrics[0].Samples = append(in.Metrics[0].Samples, Sample{Pod: "starting", Cluster: "site-a", Percent: 400})
			}),
			want{6, ActionUp, ReasonAboveTarget, "4 pods, sum 320 %, target 50 % → 6.4 → 6"},
		},
		{
			"absurd use is bounded", app(1, math.MaxFloat64),
			want{100, ActionUp, ReasonAboveTarget, "1 pod, sum " + decimal(math.MaxFloat64) + " %, target 50 % → 1000000 → 1000000, at most 100"},
		},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) { check(t, Decide(tc.in), tc.want) })
	}
}

// The coverage rule with the numbers of the design: A has 5 pods at 80 %, B has 5, target 50.
func TestCoverage(t *testing.T) {
	silent := func(rotation bool) Input {
		in := app(5, 80)
		in.Current = 10
		in.Clusters = append(in.Clusters, ClusterView{Name: "site-b", InRotation: rotation, Replicas: 5})
		return in
	}
	t.Run("silent and in rotation keeps its replicas", func(t *testing.T) {
		// rule C1
		d := Decide(silent(true))
		check(t, d, want{13, ActionUp, ReasonAboveTarget, "5 pods, sum 400 %, target 50 % → 8 → 8, + 5 held in site-b = 13"})
		if d.History != nil || d.HoldSinceUnix != now {
			t.Errorf("incomplete data must restart the window and start the alarm's clock: %+v", d)
		}
	})
	t.Run("out of rotation counts for nothing", func(t *testing.T) {
		d := Decide(silent(false))
		check(t, d, want{8, ActionUp, ReasonAboveTarget, "5 pods, sum 400 %, target 50 % → 8 → 8"})
		if d.HoldSinceUnix != 0 {
			t.Error("a cluster out of rotation is not missing data")
		}
	})
	t.Run("observed but out of rotation counts for nothing either", func(t *testing.T) {
		in := app(5, 80)
		load(&in, "site-b", 5, 1)
		in.Clusters[1].InRotation = false
		check(t, Decide(in), want{8, ActionUp, ReasonAboveTarget, "5 pods, sum 400 %, target 50 % → 8 → 8"})
	})
	t.Run("silent clusters forbid shrinking", func(t *testing.T) {
		// rule A3
		in := silent(true)
		for i := range in.Metrics[0].Samples {
			in.Metrics[0].Samples[i].Percent = 10
		}
		in.History = quiet(6)
		check(t, Decide(in), want{10, ActionHold, ReasonClusterSilent, "5 pods, sum 50 %, target 50 % → 1 → 1, + 5 held in site-b = 6"})
	})
	t.Run("a silent cluster without replicas of the app does not matter", func(t *testing.T) {
		in := app(4, 50)
		in.Clusters = append(in.Clusters, ClusterView{Name: "site-b", InRotation: true})
		check(t, Decide(in), want{4, ActionHold, ReasonOnTarget, "4 pods, sum 200 %, target 50 % → 4 → 4"})
	})
	t.Run("everything silent changes nothing", func(t *testing.T) {
		in := app(4, 50)
		in.Clusters[0].Observed = false
		check(t, Decide(in), want{4, ActionHold, ReasonNoReadyPods, "0 pods, no usable data"})
	})
	t.Run("the maximum counts held replicas", func(t *testing.T) {
		in := silent(true)
		in.Policy.Max = 12
		check(t, Decide(in), want{12, ActionUp, ReasonAboveTarget, "5 pods, sum 400 %, target 50 % → 8 → 8, + 5 held in site-b = 13, at most 12"})
	})
}

func TestFrozen(t *testing.T) {
	in := app(4, 200)
	in.FrozenReason, in.History, in.HoldSinceUnix = "release 7 is being rolled out", quiet(4), now-60
	d := Decide(in)
	check(t, d, want{4, ActionHold, ReasonFrozen, ""})
	if d.Reason != "frozen: release 7 is being rolled out" || d.History != nil || d.HoldSinceUnix != now-60 {
		t.Errorf("got %+v", d)
	}
}

// A policy that nobody filled in must not scale to zero, flap or run away.
func TestZeroPolicyIsSafe(t *testing.T) {
	in := app(4, 1)
	in.Policy = Policy{}
	check(t, Decide(in), want{4, ActionHold, ReasonWindow, "4 pods, sum 4 %, target 50 % → 0.08 → 0, at least 1"})
	in.History = quiet(0)
	check(t, Decide(in), want{1, ActionDown, ReasonBelowTarget, "4 pods, sum 4 %, target 50 % → 0.08 → 0, at least 1"})
}

// A cluster that is out of sight for a moment is not what an app grows by: of the few pods that are
// seen, the load varies more than of all together, and rounding up would make a replica of that.
func TestOutOfSightForAMoment(t *testing.T) {
	in := cpuInput(50)
	in.Policy.Rounding = RoundUp
	load(&in, "site-a", 3, 55.5)
	load(&in, "site-b", 3, 48)
	check(t, Decide(in), want{6, ActionHold, ReasonOnTarget, "6 pods, sum 310.5 %, target 50 % → 6.21 → 7, within 10 % of 6"})
	in.Clusters[1].Observed = false
	check(t, Decide(in), want{6, ActionHold, ReasonClusterSilent, "3 pods, sum 166.5 %, target 50 % → 3.33 → 4, + 3 held in site-b = 7, within 10 % of 6"})
	for i := range 3 { // what is beyond the tolerance of all of them is load
		in.Metrics[0].Samples[i].Percent = 62
	}
	check(t, Decide(in), want{7, ActionUp, ReasonAboveTarget, "3 pods, sum 186 %, target 50 % → 3.72 → 4, + 3 held in site-b = 7"})
}
