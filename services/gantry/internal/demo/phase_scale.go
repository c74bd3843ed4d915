package demo

import (
	"context"
	"fmt"
	"strconv"
	"time"

	gantryv1 "gantry.dev/proto/gen/gantry/v1"
	"gantry.dev/services/gantry/internal/load"
)

// CPU that the app is made to use, over all pods, in thousandths of a CPU.
const (
	// quietMilli is below the target of four pods (4 × 50 % of 100 m).
	quietMilli = 140
	// busyMilli is 80 % of four pods: 320 % / 50 % = 6.4 pods.
	busyMilli = 320
	// idleMilli lets the app shrink to its minimum.
	idleMilli = 60
	// overhead is about what a request costs the app beside what it burns.
	overhead = 250 * time.Microsecond
)

// burnFor is the CPU time that each request must burn for a total use.
func burnFor(milli, rate float64) string {
	total := time.Duration(milli / 1000 / rate * float64(time.Second))
	return max(total-overhead, 0).Round(10 * time.Microsecond).String()
}

// quietFor is how long the number of replicas must stay the same before the
// autoscaler counts as having finished.
const quietFor = 20 * time.Second

// scaleUp raises the load until the autoscaler grows the app.
func scaleUp(ctx context.Context, s *stage) (outcome, error) {
	burn := burnFor(busyMilli, s.cfg.Rate)
	s.say("raising the work of each request to %s of CPU: about 80 %% of the 4 pods' requests, the target is 50 %%", burn)
	return rescale(ctx, s, burn, func(from, to int) bool { return to > from })
}

// scaleDown lowers the load until the app is at its minimum again.
func scaleDown(ctx context.Context, s *stage) (outcome, error) {
	burn := burnFor(idleMilli, s.cfg.Rate)
	s.say("lowering the work of each request to %s of CPU; the policy waits %d s before it takes replicas away",
		burn, s.res.app.GetSpec().GetAutoscale().GetStabilizationSeconds())
	fewest := int(s.res.app.GetSpec().GetAutoscale().GetMinReplicas())
	return rescale(ctx, s, burn, func(from, to int) bool { return to < from && to == fewest })
}

// rescale changes the load, waits for the decision that is wanted and until
// everything is as decided.
func rescale(ctx context.Context, s *stage, burn string, wanted func(from, to int) bool) (outcome, error) {
	before, err := s.getApp(ctx)
	if err != nil {
		return outcome{}, err
	}
	known, err := s.newestDecision(ctx)
	if err != nil {
		return outcome{}, err
	}
	if err := s.load.Set(load.Control{Burn: burn}); err != nil {
		return outcome{}, err
	}
	decided, err := s.awaitScaling(ctx, known, wanted)
	if err != nil {
		return outcome{}, err
	}
	s.command("gantry explain %s", s.appArgument())
	s.say("%s", decided.GetSummary())
	app, err := s.awaitQuiet(ctx)
	if err != nil {
		return outcome{}, err
	}
	s.say("%s", describeApp(app))
	from, to := before.GetStatus().GetDesiredReplicas(), app.GetStatus().GetDesiredReplicas()
	return outcome{
		detail: fmt.Sprintf("%d → %d replicas: %s", from, to, decided.GetFormula()),
		checks: []check{noneFailed, fact("replicas as decided", wanted(int(from), int(to)) && settled(app),
			"%d → %d decided, %d ready: %s", from, to, app.GetStatus().GetReadyReplicas(), division(app))},
	}, nil
}

func (s *stage) newestDecision(ctx context.Context) (string, error) {
	list, err := s.api.Decisions.ListDecisions(ctx, &gantryv1.ListDecisionsRequest{PageSize: 1})
	if err != nil || len(list.GetDecisions()) == 0 {
		return "", err
	}
	return list.GetDecisions()[0].GetName(), nil
}

// awaitScaling waits for an autoscale decision after a known one.
func (s *stage) awaitScaling(ctx context.Context, after string, wanted func(from, to int) bool) (*gantryv1.Decision, error) {
	var decided *gantryv1.Decision
	err := await(ctx, patience, "the autoscaler's decision", func(ctx context.Context) (bool, string, error) {
		list, err := s.api.Decisions.ListDecisions(ctx, &gantryv1.ListDecisionsRequest{
			Subject: s.res.app.GetName(), Kind: gantryv1.Decision_KIND_AUTOSCALE, After: after, PageSize: 100,
		})
		if err != nil {
			return false, "", err
		}
		for _, d := range list.GetDecisions() {
			from, errFrom := strconv.Atoi(d.GetFrom())
			to, errTo := strconv.Atoi(d.GetTo())
			if errFrom == nil && errTo == nil && wanted(from, to) {
				decided = d
				return true, "", nil
			}
		}
		if len(list.GetDecisions()) == 0 {
			return false, "no decision since the load changed", nil
		}
		return false, list.GetDecisions()[0].GetSummary(), nil
	})
	return decided, err
}

// awaitQuiet waits until the app is settled and its size has not changed for
// a while.
func (s *stage) awaitQuiet(ctx context.Context) (*gantryv1.App, error) {
	var size int32
	since := time.Now()
	return s.awaitApp(ctx, "the autoscaler to be content and all replicas ready", func(a *gantryv1.App) bool {
		if now := a.GetStatus().GetDesiredReplicas(); now != size || !settled(a) {
			size, since = now, time.Now()
		}
		return time.Since(since) >= quietFor
	})
}
