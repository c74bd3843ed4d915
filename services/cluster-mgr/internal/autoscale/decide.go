package autoscale

import (
	"fmt"
	"math"
)

const (
	defaultTolerance = 10
	defaultWindow    = 300
	defaultEval      = 30
	holdAlarmSeconds = 600 // rule A4
)

// Decide computes the wanted number of replicas of one app.
func Decide(in Input) Decision {
	if d, asleep := in.asleep(); asleep && !in.Policy.Paused {
		return d
	}
	if code, why := in.still(); code != "" {
		// The window starts anew afterwards: samples of a rollout say nothing about the load.
		return Decision{Desired: in.Current, Action: ActionHold, ReasonCode: code, HoldSinceUnix: in.HoldSinceUnix, Reason: why}
	}
	t := newTurn(in)
	d := t.decide()
	d.Growths, d.Useless = t.growths, t.alarm()
	t.watchData(&d)
	return d
}

// still says why nothing is decided, whatever is measured.
func (in Input) still() (code, why string) {
	switch {
	case in.Policy.Paused:
		return ReasonPaused, "the policy is paused"
	case in.FrozenReason != "":
		return ReasonFrozen, "frozen: " + in.FrozenReason
	}
	return "", ""
}

func (p Policy) withDefaults() Policy {
	p.Min = max(p.Min, 1)
	if p.Max <= 0 {
		p.Max = maxReplicas
	}
	p.Max = max(p.Max, p.Min)
	p.TolerancePercent = defaulted(p.TolerancePercent, defaultTolerance)
	p.WindowSeconds = int(defaulted(float64(p.WindowSeconds), defaultWindow))
	return p
}

// limit names a bound and where it is from.
func (p Policy) limit(which string, n int) string {
	if len(p.Schedules) > 0 {
		return fmt.Sprintf("the %s is %d by schedule %s", which, n, list(p.Schedules))
	}
	return fmt.Sprintf("the policy's %s is %d", which, n)
}

// defaulted gives the default for 0 and 0 for a negative number.
func defaulted(v, def float64) float64 {
	if v == 0 {
		return def
	}
	return math.Max(0, v)
}

// turn is one evaluation.
type turn struct {
	in     Input
	policy Policy
	view   view
	survey survey
	// wanted is what the formula asks for in total, before bounds; bounded is after them.
	wanted, bounded int
	formula         formula
	mayBeZero       bool
	growths         []Growth
}

func newTurn(in Input) *turn {
	t := &turn{in: in, mayBeZero: in.Policy.mayBeZero(), policy: in.Policy.withDefaults(), view: look(in), growths: in.Growths}
	t.survey = surveyAll(in, t.view, in.Policy.Rounding)
	t.formula = newFormula(t.survey, t.view)
	t.wanted = t.view.serving
	if t.survey.usable() {
		t.wanted = t.tolerated() + t.view.held
	}
	t.bounded = max(t.policy.Min, min(t.wanted, t.policy.Max))
	return t
}

// tolerated is the wanted number of the observed clusters; where that and the held replicas differ from
// all that serve by no more than the tolerance, it is the present number.
func (t *turn) tolerated() int {
	best, v := t.survey.readings[t.survey.best], t.view
	if v.observed == 0 || math.Abs((best.raw+float64(v.held))/float64(v.serving)-1) > t.policy.TolerancePercent/100+1e-9 {
		return best.desired
	}
	if best.desired != v.observed {
		t.formula.tolerance(t.policy.TolerancePercent, v.serving)
	}
	return v.observed
}

func (t *turn) decide() Decision {
	t.formula.bounds(t.wanted, t.bounded)
	switch serving := t.view.serving; {
	case t.idle():
		return t.end()
	case t.bounded > serving && t.wanted > serving && t.useless():
		return t.stopped()
	case t.bounded > serving:
		return t.up()
	case t.survey.problem.isSet():
		return t.hold(t.survey.problem.code, t.survey.problem.text+"; nothing is taken away on incomplete data")
	case t.bounded < serving:
		t.enough()
		return t.down()
	default:
		t.record(t.bounded)
		t.enough()
		return t.holdAt()
	}
}

func (t *turn) up() Decision {
	code, reason := ReasonAboveTarget, fmt.Sprintf("%s in all need %s to come down to the target", t.podsText(), count(t.bounded))
	if t.bounded > t.wanted {
		code, reason = ReasonBelowMin, t.policy.limit("minimum", t.policy.Min)
	}
	if t.bounded < t.wanted {
		reason = fmt.Sprintf("%s would be needed, %s", count(t.wanted), t.policy.limit("maximum", t.policy.Max))
	}
	desired := t.bounded
	if step := t.policy.MaxStepUp; step > 0 && desired > t.view.serving+step {
		desired = t.view.serving + step
		t.formula.step(step, desired)
	}
	if t.survey.problem.isSet() {
		reason += "; " + t.survey.problem.text
		t.in.History = nil
	} else {
		t.record(t.bounded)
	}
	return Decision{
		Desired: desired, Action: ActionUp, Formula: t.formula.String(), Reason: reason + t.rotationNote(),
		ReasonCode: code, History: t.in.History,
	}
}

// down is reached with complete data only (rules A2, A3).
func (t *turn) down() Decision {
	if t.view.serving > t.policy.Max { // a person said so: that waits for no window
		t.record(t.bounded)
		return t.lower(t.policy.Max, ReasonAboveMax, t.policy.limit("maximum", t.policy.Max))
	}
	floor := min(t.bounded+t.view.unready, t.view.serving)
	t.record(floor)
	if floor == t.view.serving {
		return t.hold(ReasonNotReady, fmt.Sprintf("%s would do, but %d are not ready and may be needed", count(t.bounded), t.view.unready))
	}
	if have := t.in.NowUnix - t.in.History[0].AtUnix; have < int64(t.policy.WindowSeconds) {
		return t.hold(ReasonWindow, fmt.Sprintf("%s would do; known for %d s of the %d s that are waited for before taking away",
			count(floor), have, t.policy.WindowSeconds))
	}
	highest := 0
	for _, r := range t.in.History {
		highest = max(highest, r.Desired)
	}
	if highest >= t.view.serving {
		return t.hold(ReasonWindow, fmt.Sprintf("%s would do now, but %s were needed within the last %d s",
			count(floor), count(highest), t.policy.WindowSeconds))
	}
	if highest != t.bounded {
		t.formula.window(t.policy.WindowSeconds, highest)
	}
	return t.lower(highest, ReasonBelowTarget, fmt.Sprintf("%s in all need no more than %s, for %d s now",
		t.podsText(), count(highest), t.policy.WindowSeconds))
}

func (t *turn) lower(desired int, code, reason string) Decision {
	if step := t.policy.MaxStepDown; code == ReasonBelowTarget && step > 0 && desired < t.view.serving-step {
		desired = t.view.serving - step
		t.formula.step(-step, desired)
	}
	return Decision{
		Desired: desired, Action: ActionDown, Formula: t.formula.String(), Reason: reason + t.rotationNote(),
		ReasonCode: code, History: t.in.History,
	}
}

func (t *turn) holdAt() Decision {
	switch {
	case t.wanted > t.policy.Max:
		return t.hold(ReasonAtMax, fmt.Sprintf("%s would be needed, %s", count(t.wanted), t.policy.limit("maximum", t.policy.Max)))
	case t.wanted < t.policy.Min:
		return t.hold(ReasonAtMin, fmt.Sprintf("%s would do, %s", count(t.wanted), t.policy.limit("minimum", t.policy.Min)))
	}
	return t.hold(ReasonOnTarget, fmt.Sprintf("%s are what is needed", count(t.view.serving)))
}

// hold leaves everything as it is. Incomplete data is a gap: the window starts anew (rule A2).
func (t *turn) hold(code, reason string) Decision {
	if t.survey.problem.isSet() {
		t.in.History = nil
	}
	return Decision{
		Desired: t.in.Current, Action: ActionHold, Formula: t.formula.String(), Reason: reason,
		ReasonCode: code, History: t.in.History,
	}
}

// watchData keeps how long data has been incomplete and alarms (rule A4).
func (t *turn) watchData(d *Decision) {
	if !t.survey.problem.isSet() {
		return
	}
	since := t.in.HoldSinceUnix
	if since <= 0 || since > t.in.NowUnix {
		since = t.in.NowUnix
	}
	d.HoldSinceUnix = since
	if blind := t.in.NowUnix - since; blind > holdAlarmSeconds {
		d.Alarm = fmt.Sprintf("%s cannot be scaled down and only partly up: no complete data for %d min: %s",
			t.in.App, blind/60, t.survey.problem.text)
	}
}

func (t *turn) rotationNote() string {
	if len(t.view.outOfRotation) == 0 {
		return ""
	}
	return fmt.Sprintf("; %s is out of rotation, its replicas are not counted", list(t.view.outOfRotation))
}
