package demo

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	gantryv1 "gantry.dev/proto/gen/gantry/v1"
	"gantry.dev/services/gantry/internal/chart"
	"gantry.dev/services/gantry/internal/load"
)

// summarize judges everything again, now that every answer is counted.
func (s *stage) summarize(begin time.Time, history []played, watch *sampler) *Report {
	r := &Report{
		OK:                         len(history) == len(phases()),
		Started:                    begin.UTC().Format(time.RFC3339),
		Seconds:                    seconds(time.Since(begin)),
		Decisions:                  []DecisionReport{},
		VIPTakeoverSeconds:         secondsOf(s.figures.takeover),
		ClusterDownDetectedSeconds: secondsOf(s.figures.detected),
		RecoveredSeconds:           secondsOf(s.figures.recovered),
	}
	for _, p := range history {
		r.add(p, s.requestsOf(p.name))
	}
	if !s.loadBegan.IsZero() {
		r.expect("all", rateKept(s.cfg.Rate, r.Requests.Total, s.loadEnded.Sub(s.loadBegan)))
	}
	_, decisions := watch.seen()
	r.addDecisions(decisions)
	return r
}

func (r *Report) add(p played, buckets []load.Bucket) {
	requests, failed := load.Count(buckets)
	r.Requests.Total += requests
	r.Requests.Failed += failed
	r.Phases = append(r.Phases, PhaseReport{
		Name: p.name, Seconds: seconds(p.end.Sub(p.begin)), Requests: requests, Failed: failed, Detail: p.detail,
	})
	for _, e := range judge(p.checks, buckets) {
		r.expect(p.name, e)
	}
}

func (r *Report) expect(phase string, e Expectation) {
	r.expectations = append(r.expectations, phaseExpectation{phase, e})
	r.OK = r.OK && e.Held
}

// addDecisions keeps the decisions that changed something, oldest first.
func (r *Report) addDecisions(decisions []*gantryv1.Decision) {
	for _, d := range decisions {
		if d.GetFrom() != d.GetTo() {
			r.Decisions = append(r.Decisions, DecisionReport{
				Kind: kindWord(d.GetKind()), Formula: orDefault(d.GetFormula(), d.GetSummary()), From: d.GetFrom(), To: d.GetTo(),
			})
		}
	}
}

// publish writes the report to the terminal and to both files.
func (s *stage) publish(r *Report, history []played, watch *sampler) error {
	samples, _ := watch.seen()
	var buckets []load.Bucket
	if s.load != nil {
		buckets = s.load.Buckets()
	}
	page := s.page(r, history, samples, buckets)
	_, _ = fmt.Fprintln(s.cfg.Out) // the table's own errors are reported
	err := errors.Join(
		r.writeTable(s.cfg.Out),
		s.writeFile("demo.json", r.writeJSON),
		s.writeFile("demo.html", func(w io.Writer) error { return chart.Render(w, page) }),
	)
	if err != nil {
		return err
	}
	return s.farewell(r)
}

func (s *stage) writeFile(name string, write func(io.Writer) error) error {
	path := filepath.Join(s.cfg.OutputDir, name)
	if err := os.MkdirAll(s.cfg.OutputDir, 0o755); err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	f, err := os.Create(path)
	if err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	return errors.Join(write(f), f.Close())
}

func (s *stage) farewell(r *Report) error {
	verdict := "Every expectation held."
	if !r.OK {
		verdict = "NOT every expectation held."
	}
	text := fmt.Sprintf("\n%s Report: %s, picture: %s\n", verdict,
		filepath.Join(s.cfg.OutputDir, "demo.json"), filepath.Join(s.cfg.OutputDir, "demo.html"))
	if s.cfg.Keep {
		text += "The platform is still running. Try next:\n" +
			"  gantry get " + s.appArgument() + " -o wide\n" +
			"  gantry explain " + s.appArgument() + "\n" +
			"  gantry local status\n"
	}
	if _, err := io.WriteString(s.cfg.Out, text); err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	return nil
}
