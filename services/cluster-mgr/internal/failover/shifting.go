package failover

import (
	"fmt"
	"path"
	"slices"
)

// Shifting is what is seen of an app while its requests are led elsewhere.
type Shifting struct {
	// Shares that hold now; empty = by ready pods.
	Shares   []Share   `json:"shares,omitempty"`
	Clusters []Serving `json:"clusters"`
	// LatencyMillis is the mean of Observation.Requests; BaselineMillis before the first step, 0 = not
	// known.
	LatencyMillis  float64 `json:"latency_millis"`
	BaselineMillis float64 `json:"baseline_millis"`
}

// Holding are the shares that a shift has left or set by what is done of it; empty = by ready pods.
func Holding(p Plan, at Progress) []Share {
	list, done := script(p, at)
	shares := p.Former
	if at.Reversing && done == 0 {
		list, done = p.Steps, at.Done
	}
	for _, s := range list[:min(max(0, done), len(list))] {
		if s.Kind == StepSetShares {
			shares = s.Shares
		}
	}
	return shares
}

// overruled says why a shift has nothing to say any more: somebody else decided about the app's requests
// meanwhile, such as a migration away from a cluster that they were led to. empty: it has.
func (t *turn) overruled() string {
	switch {
	case t.plan.Kind != KindShiftTraffic:
		return ""
	case t.see.Shift == nil:
		return t.plan.App + " does not exist any more"
	case !slices.Equal(t.see.Shift.Shares, Holding(t.plan, t.at)):
		return fmt.Sprintf("the shares of %s were changed by somebody else meanwhile (%s), and stay so", path.Base(t.plan.App), division(t.see.Shift.Shares))
	}
	return ""
}

// slow is judged as errors are, and only where a baseline is known.
func (t *turn) slow() bool {
	s, g := t.see.Shift, t.plan.Guard
	if s == nil || !t.moved() || t.see.Requests < g.MinRequests || s.BaselineMillis <= 0 {
		return false
	}
	return s.LatencyMillis > s.BaselineMillis+g.LatencyMillis && s.LatencyMillis > s.BaselineMillis*(1+g.LatencyPercent/100)
}

func (s *Shifting) slower() string {
	return fmt.Sprintf("requests take %.0f ms where the traffic goes, and took %.0f ms before", s.LatencyMillis, s.BaselineMillis)
}

// unfit looks for clusters that should gain and can not any more. One that cannot be observed may serve
// all the same: there the shift waits.
func (t *turn) unfit() (Decision, bool) {
	if t.see.Shift == nil {
		return Decision{}, false
	}
	s := shift{app: t.plan.App, clusters: t.see.Shift.Clusters}
	for _, name := range t.plan.Targets {
		c, known := s.find(name)
		switch {
		case !known:
			return t.turnRound("there is no cluster " + name + " any more"), true
		case c.Unknown && c.Closed == "":
			t.at.StepSinceUnix = 0
			return Decision{Action: Wait, Step: t.steps[t.index()], Progress: t.at, Reason: name + " cannot be observed; nothing more is led there until it can"}, true
		case c.refuses() != "":
			return t.turnRound(fmt.Sprintf("%s %s", name, c.refuses())), true
		}
	}
	return Decision{}, false
}
