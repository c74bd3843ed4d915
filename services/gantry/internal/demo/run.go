package demo

import (
	"context"
	"errors"
	"path/filepath"
	"time"

	"gantry.dev/pkg/fault"
	"gantry.dev/services/gantry/internal/load"
	"gantry.dev/services/gantry/internal/output"
)

// phase is one chapter of the demo.
type phase struct {
	name, title string
	play        func(context.Context, *stage) (outcome, error)
}

// outcome is what a phase did and what is expected of it.
type outcome struct {
	detail string
	checks []check
}

// played is a phase with its outcome.
type played struct {
	phase
	outcome
	begin, end time.Time
}

func phases() []phase {
	return []phase{
		{"deploy", "Deploy an app over two clusters", deploy},
		{"scale-up", "More load: the autoscaler adds replicas", scaleUp},
		{"scale-down", "Less load: the autoscaler takes them back", scaleDown},
		{"release", "Release version 2 under load", release},
		{"switch", "Take the traffic from a cluster and give it back", switchOver},
		{"site-loss", "A whole cluster dies", siteLoss},
		{"failback", "The cluster comes back", failback},
		{"lb-loss", "The load balancer node with the VIP dies", lbLoss},
	}
}

// Run plays all phases, writes the report to cfg.Out, demo.json and demo.html,
// and returns an error unless every expectation held. It can be run again on a
// platform that is running.
func Run(ctx context.Context, cfg Config) error {
	cfg, err := cfg.complete()
	if err != nil {
		return err
	}
	res, err := readResources(cfg.Example)
	if err != nil {
		return err
	}
	begin := time.Now()
	s := &stage{narrator: &narrator{out: cfg.Progress, started: begin}, cfg: cfg, api: cfg.Client, res: res}
	watch, stopWatching, err := startSampler(ctx, s)
	if err != nil {
		return err
	}
	history := s.playAll(ctx)
	stopWatching()
	loadErr := s.endLoad()
	report := s.summarize(begin, history, watch)
	err = errors.Join(loadErr, s.publish(report, history, watch))
	if !cfg.Keep {
		err = errors.Join(err, cfg.Platform.Down(context.WithoutCancel(ctx)))
	}
	if err == nil && !report.OK {
		err = fault.Precondition("DEMO_EXPECTATION_FAILED", "not every expectation held; see the report above and %s",
			filepath.Join(cfg.OutputDir, "demo.html"))
	}
	return err
}

// playAll plays one phase after the other. A phase that breaks off does not
// keep the next ones from being shown, except the first, which they all need.
func (s *stage) playAll(ctx context.Context) []played {
	var history []played
	for _, p := range phases() {
		history = append(history, s.play(ctx, p))
		if s.load == nil || s.loadBegan.IsZero() || ctx.Err() != nil {
			return history
		}
	}
	return history
}

func (s *stage) play(ctx context.Context, p phase) played {
	s.chapter(p.title)
	s.mark(eventPhase, p.name, p.title)
	begin := time.Now()
	if s.load != nil {
		// A load that is gone shows as a phase without requests.
		_ = s.load.Set(load.Control{Phase: p.name})
		// What a fault of this phase hits must not be a request of the one before.
		_ = s.load.Settle(ctx, s.previous+settledTag)
	}
	s.previous = p.name
	out, err := p.play(ctx, s)
	if err == nil {
		err = s.settle(ctx, p.name)
	}
	if err != nil {
		out.detail = err.Error()
		out.checks = append(out.checks, fact("the phase is completed", false, "%v", err))
	}
	for _, e := range judge(out.checks, s.requestsOf(p.name)) {
		s.say("%s %s: %s", map[bool]string{true: "✓", false: "✗ NOT HELD"}[e.Held], e.Name, e.Detail)
	}
	return played{p, out, begin, time.Now()}
}

// settledTag is that of requests between the judgement of a phase and the next
// phase.
const settledTag = "/settled"

// settle waits until the answers of a phase's requests are in.
func (s *stage) settle(ctx context.Context, name string) error {
	if err := s.load.Set(load.Control{Phase: name + settledTag}); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, briefPatience)
	defer cancel()
	for _, tag := range []string{name, name + "/after", name + "/away", name + "/back"} {
		if err := s.load.Settle(ctx, tag); err != nil {
			return err
		}
	}
	return nil
}

func (s *stage) requestsOf(name string) []load.Bucket {
	if s.load == nil {
		return nil
	}
	return inPhase(s.load.Buckets(), name)
}

func (s *stage) endLoad() error {
	if s.load == nil {
		return nil
	}
	s.loadEnded = time.Now()
	return s.load.Stop()
}

// manifest is the path of a manifest as a user would type it.
func (s *stage) manifest(name string) string { return filepath.Join(s.cfg.Example, name+".yaml") }

// appArgument names the app as a user would type it.
func (s *stage) appArgument() string { return "app/" + output.Last(s.res.app.GetName()) }
