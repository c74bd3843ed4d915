package autoscale

import (
	"testing"

	"pgregory.net/rapid"
)

// sleepy is an app that may have no replica and has had no request for 700 s.
func sleepy(n int, percent float64) Input {
	in := app(n, percent)
	in.Policy.Min, in.Policy.ScaleToZero = 0, true
	in.Traffic.QuietSeconds = 700
	return in
}

func TestToZeroAndBack(t *testing.T) {
	cases := []struct {
		name string
		in   Input
		want want
	}{
		{"nobody asked for long enough", sleepy(1, 2), want{0, ActionDown, ReasonIdle, "no request for 700 s → 0"}},
		{"the last of two", sleepy(2, 2), want{0, ActionDown, ReasonIdle, "no request for 700 s → 0"}},
		{
			"not long enough", with(sleepy(1, 2), func(in *Input) { in.Traffic.QuietSeconds = 599 }),
			want{1, ActionHold, ReasonAtMin, "1 pod, sum 2 %, target 50 % → 0.04 → 0, at least 1"},
		},
		{
			"a time of its own", with(sleepy(1, 2), func(in *Input) { in.Policy.IdleSeconds = 60; in.Traffic.QuietSeconds = 61 }),
			want{0, ActionDown, ReasonIdle, "no request for 61 s → 0"},
		},
		{
			"it was not asked for", with(sleepy(1, 2), func(in *Input) { in.Policy.ScaleToZero = false }),
			want{1, ActionHold, ReasonAtMin, "1 pod, sum 2 %, target 50 % → 0.04 → 0, at least 1"},
		},
		{
			"a minimum by schedule", with(sleepy(1, 2), func(in *Input) { in.Policy.Min = 1; in.Policy.Schedules = []string{"office"} }),
			want{1, ActionHold, ReasonAtMin, "1 pod, sum 2 %, target 50 % → 0.04 → 0, at least 1"},
		},
		{
			"a node does not say (rule A3)", with(sleepy(1, 2), func(in *Input) { in.Traffic.Unknown = "lb-1 does not answer" }),
			want{1, ActionHold, ReasonAtMin, "1 pod, sum 2 %, target 50 % → 0.04 → 0, at least 1"},
		},
		{"it works without requests", sleepy(1, 100), want{2, ActionUp, ReasonAboveTarget, "1 pod, sum 100 %, target 50 % → 2 → 2"}},
		{
			"no data (rule A2)", with(sleepy(1, 2), func(in *Input) { in.Metrics[0].Samples = nil }),
			want{1, ActionHold, ReasonNoSamples, "1 pod, no usable data"},
		},
		{"frozen", with(sleepy(1, 2), func(in *Input) { in.FrozenReason = "release 2 is being rolled out" }), want{1, ActionHold, ReasonFrozen, ""}},
		{"asleep", sleepy(0, 0), want{0, ActionHold, ReasonAtZero, ""}},
		{"a request waits", with(sleepy(0, 0), func(in *Input) { in.Traffic.Held = 3 }), want{1, ActionUp, ReasonRequestHeld, "3 requests held → 1"}},
		{
			"a request waits while frozen: one more replica harms nobody",
			with(sleepy(0, 0), func(in *Input) { in.Traffic.Held = 1; in.FrozenReason = "clusters turned bad" }),
			want{1, ActionUp, ReasonRequestHeld, "1 request held → 1"},
		},
		{"paused at zero", with(sleepy(0, 0), func(in *Input) { in.Traffic.Held = 1; in.Policy.Paused = true }), want{0, ActionHold, ReasonPaused, ""}},
		{"a schedule wakes", with(sleepy(0, 0), func(in *Input) { in.Policy.Min = 3 }), want{3, ActionUp, ReasonBelowMin, "0 pods, no usable data, at least 3"}},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) { check(t, Decide(tc.in), tc.want) })
	}
}

func TestPausedKeepsTheNumberAndForgetsTheWindow(t *testing.T) {
	in := with(app(4, 200), func(in *Input) { in.Policy.Paused = true; in.History = quiet(4) })
	d := Decide(in)
	check(t, d, want{4, ActionHold, ReasonPaused, ""})
	if len(d.History) > 0 {
		t.Errorf("the window goes on: %v", d.History)
	}
}

func TestASchedulesBoundsAreNamed(t *testing.T) {
	in := with(app(2, 50), func(in *Input) { in.Policy.Min = 6; in.Policy.Schedules = []string{"office", "noon"} })
	if d := Decide(in); d.Desired != 6 || d.Reason != "the minimum is 6 by schedule office, noon" {
		t.Errorf("%d: %s", d.Desired, d.Reason)
	}
}

// rule A3: nothing ends for idleness on data that is not complete.
func TestNothingEndsInTheDark(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := inputs(t)
		in.Policy.Min, in.Policy.ScaleToZero = 0, true
		in.Traffic.QuietSeconds = rapid.Int64Range(0, 2000).Draw(t, "quiet")
		in.Traffic.Held = rapid.IntRange(0, 1).Draw(t, "held")
		if rapid.Bool().Draw(t, "unknown") {
			in.Traffic.Unknown = "lb-1 does not answer"
		}
		in, lost := lose(t, in)
		d := Decide(in)
		known := in.Traffic.Unknown == "" && in.Traffic.Held == 0 && in.Traffic.QuietSeconds >= 600
		if d.Desired == 0 && in.Current > 0 && (!known || lost && d.ReasonCode != ReasonIdle) {
			t.Fatalf("ended: %s (%s)", d.Reason, d.ReasonCode)
		}
	})
}
