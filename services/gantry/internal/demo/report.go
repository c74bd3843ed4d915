package demo

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"text/tabwriter"
	"time"
)

// Report is .local/demo.json.
type Report struct {
	// True when every expectation of every phase held.
	OK bool `json:"ok"`
	// RFC 3339.
	Started string `json:"started"`
	// All times are seconds.
	Seconds   float64          `json:"seconds"`
	Phases    []PhaseReport    `json:"phases"`
	Requests  RequestReport    `json:"requests"`
	Decisions []DecisionReport `json:"decisions"`
	// Longest time without a good answer around the loss of the node that
	// held the VIP; null when it was not measured, as below.
	VIPTakeoverSeconds *float64 `json:"vip_takeover_seconds"`
	// From the kill of the cluster to the alarm with its plan.
	ClusterDownDetectedSeconds *float64 `json:"cluster_down_detected_seconds"`
	// From the kill of the cluster to all replicas ready elsewhere.
	RecoveredSeconds *float64 `json:"recovered_seconds"`

	expectations []phaseExpectation
}

// PhaseReport is one phase.
type PhaseReport struct {
	Name     string  `json:"name"`
	Seconds  float64 `json:"seconds"`
	Requests int     `json:"requests"`
	Failed   int     `json:"failed"`
	Detail   string  `json:"detail"`
}

// RequestReport counts all requests of the run.
type RequestReport struct {
	Total  int `json:"total"`
	Failed int `json:"failed"`
}

// DecisionReport is one decision that changed something.
type DecisionReport struct {
	// "placement", "autoscale", "health" or "failover".
	Kind    string `json:"kind"`
	Formula string `json:"formula"`
	From    string `json:"from"`
	To      string `json:"to"`
}

type phaseExpectation struct {
	phase string
	Expectation
}

// writeJSON writes the report as demo.json.
func (r *Report) writeJSON(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(r)
}

// writeTable writes the report for a person.
func (r *Report) writeTable(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintf(t, "PHASE\tTIME\tREQUESTS\tFAILED\tRESULT\n") // tabwriter keeps errors for Flush
	for _, p := range r.Phases {
		_, _ = fmt.Fprintf(t, "%s\t%.0f s\t%s\t%s\t%s\n", p.Name, p.Seconds, thousands(p.Requests), thousands(p.Failed), p.Detail)
	}
	_, _ = fmt.Fprintf(t, "all\t%.0f s\t%s\t%s\t%s\n\n", r.Seconds, thousands(r.Requests.Total), thousands(r.Requests.Failed), r.headline())
	_, _ = fmt.Fprintf(t, "EXPECTED\tHELD\tMEASURED\n")
	for _, e := range r.expectations {
		_, _ = fmt.Fprintf(t, "%s: %s\t%s\t%s\n", e.phase, e.Name, yesNo(e.Held), e.Detail)
	}
	if err := t.Flush(); err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	return nil
}

func (r *Report) headline() string {
	return fmt.Sprintf("takeover %s, cluster down detected %s, recovered %s",
		figure(r.VIPTakeoverSeconds), figure(r.ClusterDownDetectedSeconds), figure(r.RecoveredSeconds))
}

func figure(seconds *float64) string {
	if seconds == nil {
		return "not measured"
	}
	return fmt.Sprintf("%.2f s", *seconds)
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "NO"
}

// seconds is rounded to milliseconds.
func seconds(d time.Duration) float64 { return math.Round(d.Seconds()*1000) / 1000 }

func secondsOf(d *time.Duration) *float64 {
	if d == nil {
		return nil
	}
	s := seconds(*d)
	return &s
}
