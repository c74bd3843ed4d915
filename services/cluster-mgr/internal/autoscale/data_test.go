package autoscale

import (
	"math"
	"strings"
	"testing"
)

func TestUnusableDataHolds(t *testing.T) {
	// rule A1: load is gone by the numbers, and every one of these answers would read as less.
	low := func() Input {
		in := app(4, 10)
		in.History = quiet(1)
		return in
	}
	sample := func(change func(*Sample)) Input {
		return with(low(), func(in *Input) { change(&in.Metrics[0].Samples[2]) })
	}
	cases := []struct {
		name string
		in   Input
		code string
	}{
		{"empty answer", with(low(), func(in *Input) { in.Metrics[0].Samples = nil }), ReasonNoSamples},
		{"NaN", sample(func(s *Sample) { s.Percent = math.NaN() }), ReasonInvalidSample},
		{"Inf", sample(func(s *Sample) { s.Percent = math.Inf(1) }), ReasonInvalidSample},
		{"negative", sample(func(s *Sample) { s.Percent = -0.1 }), ReasonInvalidSample},
		{"two series for one pod", with(low(), func(in *Input) {
			in.Metrics[0].Samples = append(in.Metrics[0].Samples, in.Metrics[0].Samples[0])
		}), ReasonDuplicateSeries},
		{"a warning", with(low(), func(in *Input) { in.Metrics[0].Warnings = []string{"one target is down"} }), ReasonWarnings},
		{"no target", with(low(), func(in *Input) { in.Metrics[0].TargetPercent = 0 }), ReasonBadTarget},
		{"NaN target", with(low(), func(in *Input) { in.Metrics[0].TargetPercent = math.NaN() }), ReasonBadTarget},
		{"no metric", with(low(), func(in *Input) { in.Metrics = nil }), ReasonNoMetrics},
		{"no pods", with(low(), func(in *Input) { in.Pods = nil }), ReasonNoReadyPods},
		{"all samples stale", with(low(), func(in *Input) {
			for i := range in.Metrics[0].Samples {
				in.Metrics[0].Samples[i].AgeSeconds = 4
			}
		}), ReasonNoSamples},
		{"one of two metrics is unusable", with(low(), func(in *Input) {
			in.Metrics = append(in.Metrics, Metric{Name: "MEMORY", TargetPercent: 80})
		}), ReasonNoSamples},
		// rule A2
		{"one sample missing", sample(func(s *Sample) { s.Missing = true }), ReasonPartialData},
		{"one sample absent", with(low(), func(in *Input) { in.Metrics[0].Samples = in.Metrics[0].Samples[1:] }), ReasonPartialData},
		{"one sample two scrapes old", sample(func(s *Sample) { s.AgeSeconds = 4 }), ReasonPartialData},
		{"one sample from the future", sample(func(s *Sample) { s.AgeSeconds = -300 }), ReasonPartialData},
		{"one sample of no age", sample(func(s *Sample) { s.AgeSeconds = math.NaN() }), ReasonPartialData},
		{"a pod from nowhere", with(low(), func(in *Input) {
			in.Pods = append(in.Pods, Pod{Name: "x", Cluster: "site-x", Ready: true})
		}), ReasonPartialData},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			d := Decide(tc.in)
			if d.Desired != 4 || d.Action != ActionHold || d.ReasonCode != tc.code {
				t.Errorf("got %d %s %s (%s), want 4 HOLD %s", d.Desired, d.Action, d.ReasonCode, d.Reason, tc.code)
			}
			if d.History != nil {
				t.Error("rule A2: after a gap the window starts anew")
			}
			if d.HoldSinceUnix != now {
				t.Error("rule A4: the time without complete data is not kept")
			}
		})
	}
	check(t, Decide(low()), want{1, ActionDown, ReasonBelowTarget, "4 pods, sum 40 %, target 50 % → 0.8 → 1"})
}

func TestPartialDataMayGrow(t *testing.T) {
	// rule A3
	in := app(4, 120)
	in.Metrics[0].Samples[0].Missing = true
	d := Decide(in)
	check(t, d, want{7, ActionUp, ReasonAboveTarget, "3 of 4 pods, sum 360 %, target 50 % → 7.2 → 7"})
	if d.History != nil {
		t.Error("growing on partial data must not be remembered as complete")
	}
	if !strings.Contains(d.Reason, "1 of 4 ready pods have no fresh CPU sample") {
		t.Errorf("reason %q", d.Reason)
	}
}

func TestOtherMetricMayGrowWhenOneIsUnusable(t *testing.T) {
	in := app(4, 80)
	in.Metrics = append(in.Metrics, Metric{Name: "MEMORY", TargetPercent: 80, Warnings: []string{"x"}})
	check(t, Decide(in), want{6, ActionUp, ReasonAboveTarget,
		"CPU: 4 pods, sum 320 %, target 50 % → 6.4 → 6; MEMORY: 4 pods, no usable data; largest 6"})
}

func TestMinimumNeedsNoData(t *testing.T) {
	in := app(2, 10)
	in.Policy.Min, in.Metrics[0].Samples = 3, nil
	check(t, Decide(in), want{3, ActionUp, ReasonBelowMin, "2 pods, no usable data, at least 3"})
}

func TestMaximumNeedsData(t *testing.T) {
	// rule A3
	in := app(8, 10)
	in.Policy.Max, in.Metrics[0].Samples = 3, nil
	check(t, Decide(in), want{8, ActionHold, ReasonNoSamples, "8 pods, no usable data, at most 3"})
}

// Readiness fails first where pods are overloaded: what is left looks like little load.
func TestUnreadyReplicasAreNotTakenForIdle(t *testing.T) {
	in := app(4, 80)
	in.Current, in.Clusters[0].Replicas = 8, 8
	for _, name := range []string{"u1", "u2", "u3", "u4"} {
		in.Pods = append(in.Pods, Pod{Name: name, Cluster: "site-a"})
	}
	in.History = quiet(6)
	check(t, Decide(in), want{8, ActionHold, ReasonNotReady, "4 pods, sum 320 %, target 50 % → 6.4 → 6"})

	in.Current, in.Clusters[0].Replicas = 20, 20
	for i := range 12 {
		pod := Pod{Name: "more-" + string(rune('a'+i)), Cluster: "site-a", Ready: true}
		in.Pods = append(in.Pods, pod)
		in.Metrics[0].Samples = append(in.Metrics[0].Samples, Sample{Pod: pod.Name, Cluster: "site-a"})
	}
	check(t, Decide(in), want{10, ActionDown, ReasonBelowTarget, "16 pods, sum 320 %, target 50 % → 6.4 → 6, highest in 300 s → 10"})
}

// An authenticated but empty list of pods (a broken apiserver) is not an idle cluster.
func TestEmptyPodListOfOneClusterDoesNotShrink(t *testing.T) {
	// rule A3
	in := app(5, 40)
	load(&in, "site-b", 5, 40)
	in.Pods = in.Pods[:5]
	in.History = quiet(4)
	check(t, Decide(in), want{10, ActionHold, ReasonPartialData, "5 pods, sum 200 %, target 50 % → 4 → 4"})
}

func TestAlarmAfterTenMinutes(t *testing.T) {
	// rule A4
	in := app(4, 10)
	in.Metrics[0].Samples = nil
	for _, tc := range []struct {
		since int64
		keeps int64
		alarm bool
	}{
		{0, now, false},
		{now - 600, now - 600, false},
		{now - 601, now - 601, true},
		{now + 300, now, false}, // a clock went back
	} {
		in.HoldSinceUnix = tc.since
		d := Decide(in)
		if d.HoldSinceUnix != tc.keeps || (d.Alarm != "") != tc.alarm {
			t.Errorf("since %d: got %d, alarm %q", tc.since-now, d.HoldSinceUnix-now, d.Alarm)
		}
	}
	healthy := app(4, 50)
	healthy.HoldSinceUnix = now - 3600
	if d := Decide(healthy); d.HoldSinceUnix != 0 || d.Alarm != "" {
		t.Errorf("complete data ends the alarm: %+v", d)
	}
}
