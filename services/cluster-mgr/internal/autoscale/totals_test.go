package autoscale

import (
	"math"
	"testing"
)

// queue is an app over two clusters with one number per cluster, target 10.
func queue(numbers ...Total) Input {
	in := cpuInput(50)
	load(&in, "site-a", 2, 0)
	load(&in, "site-b", 2, 0)
	in.Metrics = []Metric{{Name: "backlog", Plain: true, TargetPercent: 10, Totals: numbers}}
	return in
}

func TestOneNumberForTheWholeApp(t *testing.T) {
	cases := []struct {
		name string
		in   Input
		want want
	}{
		{"the clusters add up", queue(NewTotal("site-a", 50), NewTotal("site-b", 20)), want{7, ActionUp, ReasonAboveTarget, "4 pods, sum 70, target 10 → 7 → 7"}},
		{"one is silent: nothing shrinks", queue(NewTotal("site-a", 10)), want{4, ActionHold, ReasonPartialData, "2 of 4 pods, sum 10, target 10 → 1 → 1"}},
		{"one is silent: the other may grow", queue(NewTotal("site-a", 60)), want{6, ActionUp, ReasonAboveTarget, "2 of 4 pods, sum 60, target 10 → 6 → 6"}},
		{"NaN", queue(NewTotal("site-a", math.NaN()), NewTotal("site-b", 20)), want{4, ActionHold, ReasonInvalidSample, "4 pods, no usable data"}},
		{"Inf", queue(NewTotal("site-a", math.Inf(1)), NewTotal("site-b", 20)), want{4, ActionHold, ReasonInvalidSample, "4 pods, no usable data"}},
		{"negative", queue(NewTotal("site-a", -1), NewTotal("site-b", 20)), want{4, ActionHold, ReasonInvalidSample, "4 pods, no usable data"}},
		{"two for one cluster", queue(NewTotal("site-a", 1), NewTotal("site-a", 20)), want{4, ActionHold, ReasonDuplicateSeries, "4 pods, no usable data"}},
		{"of no cluster with pods", queue(NewTotal("site-c", 1)), want{4, ActionHold, ReasonNoSamples, "4 pods, no usable data"}},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) { check(t, Decide(tc.in), tc.want) })
	}
}
