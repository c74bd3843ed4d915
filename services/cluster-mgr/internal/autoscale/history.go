package autoscale

import (
	"cmp"
	"slices"
)

// record adds a recommendation made from complete data to the history, which afterwards is not
// empty, spans the window without a gap where it is old enough, and is sorted by time.
//
// The newest recommendation at or before the window's start is kept as the proof that the window
// is covered, and counts.
func (t *turn) record(desired int) {
	now := t.in.NowUnix
	h := slices.Clone(t.in.History)
	if t.gap(h) {
		h = nil
	}
	if n := len(h); n > 0 && h[n-1].AtUnix == now {
		h[n-1].Desired = max(h[n-1].Desired, desired)
	} else {
		h = append(h, Recommendation{now, desired})
	}
	start := now - int64(t.policy.WindowSeconds)
	first := 0
	for i, r := range h {
		if r.AtUnix <= start {
			first = i
		}
	}
	t.in.History = h[first:]
}

// gap tells whether the history cannot be continued: it is out of order (a clock went back), or
// nothing was decided for three intervals.
func (t *turn) gap(h []Recommendation) bool {
	if len(h) == 0 {
		return false
	}
	if !slices.IsSortedFunc(h, func(a, b Recommendation) int { return cmp.Compare(a.AtUnix, b.AtUnix) }) {
		return true
	}
	eval := t.in.EvalIntervalSeconds
	if !(eval > 0) {
		eval = defaultEval
	}
	since := t.in.NowUnix - h[len(h)-1].AtUnix
	return since < 0 || float64(since) > 3*eval
}
