package output

import (
	"fmt"
	"io"
	"strings"
	"time"

	"cloud.google.com/go/longrunning/autogen/longrunningpb"
	gantryv1 "gantry.dev/proto/gen/gantry/v1"
)

// Explain tells a decision in words: when, what, by which formula and why.
// Times are shown in zone.
func Explain(w io.Writer, d *gantryv1.Decision, zone *time.Location) {
	fmt.Fprintf(w, "%s   %s of %s", clock(d, zone), strings.ToLower(enumWord(d.GetKind().String(), "KIND_")), Short(d.GetSubject()))
	if d.GetFrom() != d.GetTo() {
		fmt.Fprintf(w, ": %s → %s", clean(d.GetFrom()), clean(d.GetTo()))
	}
	fmt.Fprintf(w, "\n  %s\n", clean(d.GetSummary()))
	if d.GetFormula() != "" {
		fmt.Fprintf(w, "  formula:  %s\n", clean(d.GetFormula()))
	}
	for i, reason := range d.GetReasons() {
		label := "because: "
		if i > 0 {
			label = "         "
		}
		fmt.Fprintf(w, "  %s %s\n", label, clean(reason))
	}
	fmt.Fprintf(w, "  (%s)\n", Short(d.GetName()))
}

func clock(d *gantryv1.Decision, zone *time.Location) string {
	if d.GetTime() == nil {
		return "-"
	}
	return d.GetTime().AsTime().In(zone).Format("2006-01-02 15:04:05")
}

// Operation tells an operation in words: its plan, steps and problems.
func Operation(w io.Writer, o *longrunningpb.Operation) {
	m := OperationMetadata(o)
	name := Short(o.GetName())
	if name == "" {
		name = "operation (not stored)"
	}
	fmt.Fprintf(w, "%s   %s of %s: %s\n", name, enumWord(m.GetKind().String(), "KIND_"), Short(m.GetSubject()), OperationState(o))
	if m.GetSummary() != "" {
		fmt.Fprintf(w, "  %s\n", clean(m.GetSummary()))
	}
	if m.GetCreatedBy() != "" {
		fmt.Fprintf(w, "  made by %s", clean(m.GetCreatedBy()))
		if m.GetApprovedBy() != "" {
			fmt.Fprintf(w, ", approved by %s", clean(m.GetApprovedBy()))
		}
		fmt.Fprintln(w)
	}
	for _, move := range m.GetMoves() {
		fmt.Fprintf(w, "  move %d of %s: %s → %s", move.GetReplicas(), Short(move.GetApp()), Last(move.GetFromCluster()), Last(move.GetToCluster()))
		if move.GetProblem() != "" {
			fmt.Fprintf(w, " (%s)", clean(move.GetProblem()))
		}
		fmt.Fprintln(w)
	}
	for _, problem := range m.GetProblems() {
		fmt.Fprintf(w, "  problem: %s\n", clean(problem))
	}
	for _, step := range m.GetSteps() {
		fmt.Fprintf(w, "  %s\n", Step(step))
	}
	if e := o.GetError(); e != nil {
		fmt.Fprintf(w, "  error: %s\n", clean(e.GetMessage()))
	}
}

// Step is one line about a step: "[done] weights of site-b to 50 %".
func Step(s *gantryv1.OperationStep) string {
	line := fmt.Sprintf("[%-7s] %s", strings.ToLower(enumWord(s.GetState().String(), "STATE_")), clean(s.GetSentence()))
	if s.GetDetail() != "" {
		line += " (" + clean(s.GetDetail()) + ")"
	}
	return line
}

// Verdict tells a cluster's state in one paragraph, before its voices.
func Verdict(w io.Writer, c *gantryv1.Cluster, now time.Time) {
	h := c.GetHealth()
	fmt.Fprintf(w, "%s is %s", ShortName(c), clusterState(c))
	if since := age(h.GetSince(), now); since != "" {
		fmt.Fprintf(w, " for %s", since)
	}
	fmt.Fprintf(w, ", with %d%% of its normal traffic\n", c.GetTrafficPercent())
	if h.GetReason() != "" {
		fmt.Fprintf(w, "  %s\n", clean(h.GetReason()))
	}
	fmt.Fprintln(w)
}
