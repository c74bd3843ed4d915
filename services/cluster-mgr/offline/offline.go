// Package offline decides again what the leader decided, from the inputs that are stored with its
// decisions. It is the one door to the pure decisions for other programs: bytes and rows go through it,
// no type of an internal package does. It is pure itself.
//
// An input is the JSON that is stored as a decision's input_json, or the whole decision as the API gives
// it (`gantry explain decision/ID -o json`). Fields that the decision does not know are refused by
// their path, because a misspelt one would silently be its default.
package offline

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"gantry.dev/services/cluster-mgr/internal/autoscale"
	"gantry.dev/services/cluster-mgr/internal/placement"
)

// Answer is what was decided.
type Answer struct {
	// Kind of the decision: "autoscale", "placement", "failover".
	Kind string `json:"kind"`
	// Subject is the app or cluster it is about, as the input names it.
	Subject string `json:"subject"`
	// Action in one word: UP, DOWN or HOLD of autoscale; CHANGE, KEEP or SHORTFALL of placement; the kind
	// of plan, or IMPOSSIBLE, of failover; APPROVED or REFUSED of an approval; what to do next with a plan.
	Action string `json:"action"`
	// From and To are the replicas before and after; empty where nothing is counted.
	From string `json:"from,omitempty"`
	To   string `json:"to,omitempty"`
	// Summary is the decision in one sentence.
	Summary string `json:"summary"`
	// Formula filled in; empty where there is none.
	Formula string `json:"formula,omitempty"`
	// Reasons, a sentence each.
	Reasons []string `json:"reasons,omitempty"`
	// Steps of a plan, a sentence each.
	Steps []string `json:"steps,omitempty"`
	// Output is the whole answer as JSON, byte for byte what the leader stores.
	Output json.RawMessage `json:"output"`
	// Stored is the answer that came with the input; empty when the input came alone.
	Stored json.RawMessage `json:"-"`
}

// Differs tells whether the leader stored another answer than Output: another version decided.
func (a Answer) Differs() bool { return len(a.Stored) > 0 && string(a.Stored) != string(a.Output) }

// Autoscale decides how many replicas an app gets. It fails when input cannot be read.
func Autoscale(input []byte) (Answer, error) {
	in, stored, err := read[autoscale.Input](input, kindAutoscale)
	if err != nil {
		return Answer{}, err
	}
	out := autoscale.Decide(in)
	a := Answer{
		Kind: kindAutoscale, Subject: in.App, Action: out.Action, Summary: out.Reason, Formula: out.Formula,
		From: strconv.Itoa(in.Current), To: strconv.Itoa(out.Desired), Reasons: []string{out.ReasonCode},
	}
	for _, more := range []string{out.Alarm, out.Useless} {
		if more != "" {
			a.Reasons = append(a.Reasons, more)
		}
	}
	return a.with(out, stored)
}

// Placement divides the replicas of an app over clusters. It fails when input cannot be read.
func Placement(input []byte) (Answer, error) {
	in, stored, err := read[placement.Input](input, kindPlacement)
	if err != nil {
		return Answer{}, err
	}
	out := placement.Decide(in)
	from := 0
	a := Answer{Kind: kindPlacement, Subject: in.App, Action: "KEEP", Formula: out.Formula, To: strconv.Itoa(out.Total())}
	for _, s := range out.Shares {
		from += s.From
		a.Reasons = append(a.Reasons, fmt.Sprintf("%s: %d → %d, %s", s.Cluster, s.From, s.Replicas, s.Reason))
	}
	a.From = strconv.Itoa(from)
	a.Summary = fmt.Sprintf("%d replicas of %s are divided over %d clusters", out.Total(), in.App, len(out.Shares))
	switch {
	case out.Shortfall != nil:
		a.Action, a.Summary = "SHORTFALL", out.Shortfall.Sentence
	case out.Changed():
		a.Action = "CHANGE"
	}
	return a.with(out, stored)
}

// with adds the whole answer.
func (a Answer) with(out any, stored string) (Answer, error) {
	text, err := json.Marshal(out)
	if err != nil {
		return Answer{}, fmt.Errorf("the answer cannot be written as JSON: %w", err)
	}
	a.Output = text
	if stored = strings.TrimSpace(stored); stored != "" {
		a.Stored = json.RawMessage(stored)
	}
	return a, nil
}
