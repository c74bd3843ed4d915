package failover

import (
	"fmt"
	"slices"
	"time"
)

const defaultAfter = 60

// Policy is an operator's consent to move the apps of a lost cluster without asking.
type Policy struct {
	Automatic bool `json:"automatic"`
	// AfterSeconds the verdict must have held; 0 = 60.
	AfterSeconds int64 `json:"after_seconds,omitempty"`
	// MaxUnplacedPercent of the replicas may stay without a place; 0 = none.
	MaxUnplacedPercent int `json:"max_unplaced_percent,omitempty"`
}

// ConsentInput is everything that an approval without a person depends on.
type ConsentInput struct {
	NowUnix int64  `json:"now_unix"`
	Policy  Policy `json:"policy"`
	// Down and since when; DownSinceUnix 0 = it is not.
	DownSinceUnix int64 `json:"down_since_unix"`
	// Recovering: it is answering again, though not for long enough to be healthy.
	Recovering bool `json:"recovering,omitempty"`
	// SwitchAllowed is health.State.SwitchAllowed (rule C4).
	SwitchAllowed bool `json:"switch_allowed"`
	// FrozenReason says why automation keeps its hands off; empty = it need not (rule C3).
	FrozenReason string `json:"frozen_reason,omitempty"`
	// Running are the operations that run now, on whichever cluster.
	Running []string `json:"running,omitempty"`
	// Moves and Problems of the plan as it would be made now, and how many steps it has.
	Moves    []Move   `json:"moves"`
	Problems []string `json:"problems,omitempty"`
	Steps    int      `json:"steps"`
}

// Consent is whether a plan is approved without a person.
type Consent struct {
	Given bool `json:"given"`
	// Refusals are the guards that do not hold, a sentence each. They say nothing that changes from
	// one second to the next.
	Refusals []string `json:"refusals,omitempty"`
	// Replicas to be moved, and how many of them have no place. Class single does not count.
	Replicas int `json:"replicas"`
	Unplaced int `json:"unplaced"`
	// Reason is the outcome in one sentence.
	Reason string `json:"reason"`
}

// Consenting decides whether the policy of a lost cluster approves the plan that was prepared, without
// the apps of class single: those are never moved by it (rule C5), see WithoutSingles. Every guard must
// hold.
func Consenting(in ConsentInput) Consent {
	c := Consent{}
	for _, m := range in.Moves {
		if m.Single {
			continue
		}
		c.Replicas += m.Replicas
		c.Unplaced += m.Replicas - targeted(m)
	}
	c.Refusals = append(in.refusals(), c.shortcomings(in)...)
	c.Given = len(c.Refusals) == 0
	c.Reason = fmt.Sprintf("every guard of its failover policy holds: it has been down for at least %d s, and %d of %s have a place elsewhere",
		in.Policy.after(), c.Replicas-c.Unplaced, count(c.Replicas, "replica"))
	if !c.Given {
		c.Reason = "not approved automatically: " + c.Refusals[0]
	}
	return c
}

func (p Policy) after() int64 { return orDefault(p.AfterSeconds, defaultAfter) }

func (in ConsentInput) refusals() []string {
	var out []string
	refuse := func(when bool, format string, args ...any) {
		if when {
			out = append(out, fmt.Sprintf(format, args...))
		}
	}
	due := in.DownSinceUnix + in.Policy.after()
	refuse(!in.Policy.Automatic, "no operator has opted in for this cluster")
	refuse(in.DownSinceUnix <= 0, "the verdict is not DOWN")
	refuse(in.DownSinceUnix > 0 && (in.NowUnix < due || in.DownSinceUnix > in.NowUnix),
		"the verdict must have held for %d s, until %s", in.Policy.after(), time.Unix(due, 0).UTC().Format(time.TimeOnly)+" UTC")
	refuse(in.Recovering, "it has begun to answer again")
	refuse(!in.SwitchAllowed, "it was down lately already, so a person has to look (flapping)")
	refuse(in.FrozenReason != "", "automation is frozen: %s", in.FrozenReason)
	refuse(len(in.Running) > 0, "%s is running", first(in.Running))
	return out
}

// shortcomings are guards about the plan itself.
func (c Consent) shortcomings(in ConsentInput) []string {
	switch {
	case in.Steps == 0 && len(in.Problems) > 0:
		return []string{"the plan cannot be carried out: " + in.Problems[0]}
	case in.Steps == 0:
		return []string{"the plan has no steps"}
	case 100*c.Unplaced > in.Policy.MaxUnplacedPercent*c.Replicas:
		return []string{fmt.Sprintf("%d of %s have no place elsewhere, and %d %% may be without", c.Unplaced, count(c.Replicas, "replica"), in.Policy.MaxUnplacedPercent)}
	}
	return nil
}

func first(list []string) string {
	if len(list) == 0 {
		return ""
	}
	return list[0]
}

func targeted(m Move) int {
	sum := 0
	for _, t := range m.To {
		sum += t.Replicas
	}
	return sum
}

// WithoutSingles is a plan that leaves the apps of class single where they are.
func WithoutSingles(p Plan) Plan {
	singles := p.fenced()
	if len(singles) == 0 {
		return p
	}
	p.Steps, p.Reverse = lacking(p.Steps, singles), lacking(p.Reverse, singles)
	p.Problems, p.Moves = slices.Clone(p.Problems), slices.Clone(p.Moves)
	for i, m := range p.Moves {
		if !m.Single || !slices.Contains(singles, m.App) {
			continue
		}
		p.Problems = slices.DeleteFunc(p.Problems, func(s string) bool { return s == m.App+": "+m.Note })
		m.To, m.Fits, m.Note = []Target{}, false, "class single: it stays until a person approves its move"
		p.Moves[i] = m
		p.Problems = append(p.Problems, m.App+": "+m.Note)
	}
	return p
}

// lacking are the steps without what they say of some apps; what says nothing then is left out.
func lacking(list []Step, apps []string) []Step {
	out := []Step{}
	for _, s := range list {
		left := slices.DeleteFunc(slices.Clone(s.Assignments), func(a Assignment) bool { return slices.Contains(apps, a.App) })
		if len(left) == 0 && len(s.Assignments) > 0 {
			continue
		}
		s.Assignments = left
		out = append(out, s)
	}
	return out
}
