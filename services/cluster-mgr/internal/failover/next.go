package failover

import "fmt"

// Action is what the executor of a plan does next.
type Action string

// The actions.
const (
	// Run the Step now. Running it again after a crash does no harm.
	Run Action = "RUN"
	// Wait and ask again.
	Wait Action = "WAIT"
	// Stop: neither forward nor back without a person. Reason says why.
	Stop Action = "STOP"
	// Reverse: set Progress.Reversing and go on asking.
	Reverse Action = "REVERSE"
	// Done: everything is done, or taken back.
	Done Action = "DONE"
)

// Progress is how far a plan has come; together with the plan it is all that has to be stored.
type Progress struct {
	// Done is the number of Steps done.
	Done int `json:"done"`
	// Reversing: the steps are taken back, by Abort(plan, Done), of which ReverseDone are done.
	Reversing   bool `json:"reversing,omitempty"`
	ReverseDone int  `json:"reverse_done,omitempty"`
	// StepSinceUnix is when the current step was first met; 0 = just now.
	StepSinceUnix int64 `json:"step_since_unix,omitempty"`
}

// Ready is how many replicas of an app are assigned to and ready in a cluster.
type Ready struct {
	Cluster  string `json:"cluster"`
	App      string `json:"app"`
	Assigned int    `json:"assigned"`
	Ready    int    `json:"ready"`
	// Idle: the cluster gets no traffic, so what is assigned there counts for nothing.
	Idle bool `json:"idle,omitempty"`
}

// Fence is a cluster's answer to the question whether pods of an app are left there.
type Fence struct {
	Cluster string `json:"cluster"`
	App     string `json:"app"`
	// Pods that are left; the fence holds at 0.
	Pods int `json:"pods"`
	// Unknown says why there is no answer; empty: there is.
	Unknown string `json:"unknown,omitempty"`
}

// Observation is what is seen while a plan is carried out.
type Observation struct {
	NowUnix int64   `json:"now_unix"`
	Ready   []Ready `json:"ready"`
	// Wanted is how many replicas of each app are wanted in all.
	Wanted []Assignment `json:"wanted,omitempty"`
	// Fences are the answers to the questions of the current step, see Asking.
	Fences []Fence `json:"fences,omitempty"`
	// NoGateways: no load balancer node is registered, so none has to serve anything.
	NoGateways bool `json:"no_gateways,omitempty"`
	// Agents is the number of load balancer nodes that have to serve the newest generation, and
	// AgentsServing of those that do: all that answer, and those that do not but may hold a VIP.
	Agents        int `json:"agents"`
	AgentsServing int `json:"agents_serving"`
	// Behind are sentences about nodes that do not serve it yet, Silent about those that do not answer
	// and need not, because others hold their VIPs.
	Behind []string `json:"behind,omitempty"`
	Silent []string `json:"silent,omitempty"`
	// ErrorPercent is the share of requests answered 5xx by the clusters that take over, over the
	// Requests since the last weight step; BaselinePercent is the share before the first.
	ErrorPercent    float64 `json:"error_percent"`
	BaselinePercent float64 `json:"baseline_percent"`
	Requests        int64   `json:"requests"`
	// Shift is of SHIFT_TRAFFIC only; nil: the app does not exist any more.
	Shift *Shifting `json:"shift,omitempty"`
	// FrozenReason, when set, pauses everything (rule C3).
	FrozenReason string `json:"frozen_reason,omitempty"`
	// Cancelled by a person.
	Cancelled bool `json:"cancelled,omitempty"`
}

// NextInput is everything that going on with a plan depends on.
type NextInput struct {
	Plan        Plan        `json:"plan"`
	Progress    Progress    `json:"progress"`
	Observation Observation `json:"observation"`
}

// Decision is what to do next.
type Decision struct {
	Action Action `json:"action"`
	// Step is the current step; of RUN and WAIT only.
	Step Step `json:"step"`
	// Progress to store before acting. After a step was run, add one with Progress.Advance.
	Progress Progress `json:"progress"`
	Reason   string   `json:"reason"`
	// Lacking are sentences about waits that were given up because going on does no harm.
	Lacking []string `json:"lacking,omitempty"`
}

// Advance is the progress after the current step was done.
func (p Progress) Advance() Progress {
	p.StepSinceUnix = 0
	if p.Reversing {
		p.ReverseDone++
	} else {
		p.Done++
	}
	return p
}

// Next decides what to do next with a plan. Waiting steps are passed by it as soon as what they
// wait for is seen; the others are given out to be run.
func Next(p Plan, at Progress, see Observation) Decision {
	p.Guard = p.Guard.withDefaults()
	at.Done, at.ReverseDone = max(0, at.Done), max(0, at.ReverseDone)
	t := turn{plan: p, at: at, see: see}
	t.steps, _ = script(p, at)
	if d, halt := t.halt(); halt {
		return d
	}
	d := t.advance()
	d.Lacking = t.lacking
	return d
}

// Asking is the step for which a cluster has to be asked before Next is: the fence that the plan has
// come to. false: nobody needs to be asked.
func Asking(p Plan, at Progress) (Step, bool) {
	list, i := script(p, at)
	if i >= len(list) || list[i].Kind != StepFence {
		return Step{}, false
	}
	return list[i], true
}

// Confirming tells whether the plan has come to where load balancer nodes are to confirm what was
// changed.
func Confirming(p Plan, at Progress) bool {
	list, i := script(p, at)
	return i < len(list) && list[i].Kind == StepWaitGeneration
}

// script is the list of steps that is being carried out, and how many of them are done.
func script(p Plan, at Progress) ([]Step, int) {
	if at.Reversing {
		return Abort(p, at.Done), max(0, at.ReverseDone)
	}
	return p.Steps, max(0, at.Done)
}

// turn is one decision.
type turn struct {
	plan  Plan
	at    Progress
	see   Observation
	steps []Step
	// What was gone on without.
	lacking []string
}

func (t *turn) index() int {
	if t.at.Reversing {
		return t.at.ReverseDone
	}
	return t.at.Done
}

// halt looks for reasons not to go on. A freeze pauses everything, and the time it takes counts for
// no timeout; a plan that is being taken back is paused by nothing else.
func (t *turn) halt() (Decision, bool) {
	switch {
	case t.index() >= len(t.steps):
		return Decision{}, false
	case t.see.FrozenReason != "":
		t.at.StepSinceUnix = 0
		return Decision{Action: Wait, Step: t.steps[t.index()], Progress: t.at, Reason: "frozen: " + t.see.FrozenReason}, true
	case t.overruled() != "":
		return t.stop(t.overruled()), true
	case t.at.Reversing:
		return Decision{}, false
	case t.see.Cancelled:
		return t.turnRound("cancelled by a person"), true
	case t.erring():
		return t.turnRound(fmt.Sprintf("%.1f %% of %d requests fail where the traffic goes; before it were %.1f %%, and %.1f %% more are allowed",
			t.see.ErrorPercent, t.see.Requests, t.see.BaselinePercent, t.plan.Guard.MarginPercent)), true
	case t.slow():
		return t.turnRound(t.see.Shift.slower()), true
	}
	return t.unfit()
}

// erring is judged only after traffic has been moved; a rate of few requests or NaN says nothing.
func (t *turn) erring() bool {
	return t.moved() && t.see.Requests >= t.plan.Guard.MinRequests &&
		t.see.ErrorPercent > t.see.BaselinePercent+t.plan.Guard.MarginPercent
}

func (t *turn) moved() bool {
	for _, s := range t.plan.Steps[:min(t.at.Done, len(t.plan.Steps))] {
		if s.Kind == StepSetTraffic || s.Kind == StepSetShares {
			return true
		}
	}
	return false
}

// advance passes the waiting steps whose wait is over.
func (t *turn) advance() Decision {
	for t.index() < len(t.steps) {
		step := t.steps[t.index()]
		if t.at.StepSinceUnix <= 0 || t.at.StepSinceUnix > t.see.NowUnix {
			t.at.StepSinceUnix = t.see.NowUnix
		}
		w := t.wait(step)
		switch {
		case w.run:
			return Decision{Action: Run, Step: step, Progress: t.at, Reason: step.Sentence}
		case w.over:
			t.without(step)
			t.at = t.at.Advance()
		case w.limit > 0 && t.elapsed() >= w.limit && t.dispensable(step):
			t.lacking = append(t.lacking, fmt.Sprintf("%s: gone on without it, %s for %d s", step.Sentence, w.missing, t.elapsed()))
			t.at = t.at.Advance()
		case w.limit > 0 && t.elapsed() >= w.limit && t.at.Reversing:
			return t.stop(fmt.Sprintf("taking it back does not go on: %s for %d s", w.missing, t.elapsed()))
		case w.limit > 0 && t.elapsed() >= w.limit:
			return t.turnRound(fmt.Sprintf("%s for %d s", w.missing, t.elapsed()))
		default:
			return Decision{Action: Wait, Step: step, Progress: t.at, Reason: step.Sentence + ": " + w.missing}
		}
	}
	if t.at.Reversing {
		return Decision{Action: Done, Progress: t.at, Reason: "taken back"}
	}
	return Decision{Action: Done, Progress: t.at, Reason: "all steps are done"}
}

// without notes the nodes that a weight step did not wait for.
func (t *turn) without(s Step) {
	if s.Kind == StepWaitGeneration {
		t.lacking = append(t.lacking, t.see.Silent...)
	}
}

// dispensable are waits for replicas of a lost cluster: one app that does not start keeps no traffic
// where nobody answers.
func (t *turn) dispensable(s Step) bool {
	return t.plan.SourceDown && !t.at.Reversing && (s.Kind == StepPlace || s.Kind == StepWaitReady)
}

func (t *turn) elapsed() int64 { return t.see.NowUnix - t.at.StepSinceUnix }

func (t *turn) stop(reason string) Decision {
	return Decision{Action: Stop, Progress: t.at, Reason: reason}
}

// turnRound takes the plan back where there is something to go back to.
func (t *turn) turnRound(reason string) Decision {
	if t.at.Reversing || t.plan.SourceDown {
		return t.stop(reason)
	}
	back := t.at
	back.Reversing, back.ReverseDone, back.StepSinceUnix = true, 0, 0
	return Decision{Action: Reverse, Progress: back, Reason: reason}
}
