package autoscale

import "fmt"

const defaultIdle = 600

// mayBeZero tells whether no replica at all is allowed now.
func (p Policy) mayBeZero() bool { return p.ScaleToZero && p.Min <= 0 }

// asleep decides for an app without a replica that may have none; false: it is decided as others are.
func (in Input) asleep() (Decision, bool) {
	if in.Current > 0 || !in.Policy.mayBeZero() {
		return Decision{}, false
	}
	d := Decision{Action: ActionHold, ReasonCode: ReasonAtZero, Reason: "there are no replicas, and no request waits for one"}
	if in.Traffic.Held > 0 {
		d.Desired, d.Action, d.ReasonCode = 1, ActionUp, ReasonRequestHeld
		d.Formula = fmt.Sprintf("%s held → 1", plural(in.Traffic.Held, "request"))
		d.Reason = "a request waits for the first replica"
	}
	return d, true
}

// idle tells whether the last replicas may end: nobody asked for a while, which every node says, and no
// metric wants more than one.
func (t *turn) idle() bool {
	return t.mayBeZero && t.in.Current > 0 && t.in.Traffic.Unknown == "" && t.in.Traffic.Held == 0 &&
		t.in.Traffic.QuietSeconds >= int64(defaulted(float64(t.policy.IdleSeconds), defaultIdle)) &&
		!t.survey.problem.isSet() && t.wanted <= 1
}

func (t *turn) end() Decision {
	return Decision{
		Desired: 0, Action: ActionDown, ReasonCode: ReasonIdle,
		Formula: fmt.Sprintf("no request for %d s → 0", t.in.Traffic.QuietSeconds),
		Reason:  fmt.Sprintf("no request came for %d s; the next one is held until a replica is ready", t.in.Traffic.QuietSeconds),
	}
}
