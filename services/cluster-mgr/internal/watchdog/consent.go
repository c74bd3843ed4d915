package watchdog

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"gantry.dev/pkg/fault"
	gantryv1 "gantry.dev/proto/gen/gantry/v1"
	"gantry.dev/services/cluster-mgr/internal/decision"
	"gantry.dev/services/cluster-mgr/internal/failover"
	"gantry.dev/services/cluster-mgr/internal/fleet"
	"gantry.dev/services/cluster-mgr/internal/health"
	"gantry.dev/services/cluster-mgr/internal/planning"
	"gantry.dev/services/cluster-mgr/internal/store"
)

// refused begins the part of a summary that says why nobody but a person
// approves.
const refused = "; not approved automatically: "

// consent approves prepared operations where an operator has opted in and
// every guard holds; otherwise their summaries say what is missing.
func (l *Loop) consent(ctx context.Context, s fleet.Snapshot, now time.Time) error {
	var failed error
	for _, o := range s.Operations {
		policy := s.Cluster(o.Metadata.GetSubject()).GetFailover()
		// A verdict that has just changed has changed its operation too.
		if !planning.Prepared(o) || !policy.GetAutomatic() || l.states[o.Metadata.GetSubject()].Changed {
			continue
		}
		if err := l.consider(ctx, s, o, policy, now); err != nil {
			failed = errors.Join(failed, fmt.Errorf("automatic approval of %s: %w", o.Name, err))
		}
	}
	return failed
}

// consider decides about one operation.
func (l *Loop) consider(ctx context.Context, s fleet.Snapshot, o fleet.Operation, policy *gantryv1.FailoverPolicy, now time.Time) error {
	cluster := o.Metadata.GetSubject()
	fresh, err := l.Planner.Anew(s, o)
	if err != nil && fault.From(err).Kind != fault.KindPrecondition {
		return err
	}
	if err != nil {
		return l.explain(ctx, o, fault.From(err).Message, now)
	}
	in := consentInput(l.states[cluster], policy, now)
	plan := failover.WithoutSingles(fresh.Plan) // rule C5
	in.FrozenReason, in.Running = l.Frozen(), running(s)
	in.Moves, in.Problems, in.Steps = plan.Moves, plan.Problems, len(plan.Steps)
	out := failover.Consenting(in)
	if !out.Given {
		return l.explain(ctx, o, strings.Join(out.Refusals, "; "), now)
	}
	by := "gantry (policy of " + cluster + ")"
	next := planning.Approved(o, plan, by)
	change := store.NewChange().Guard(l.term.Guard())
	decision.New(gantryv1.Decision_KIND_FAILOVER, cluster, o.Name+" is approved by the policy of "+cluster, in, out).
		Between("AWAITING_APPROVAL", "RUNNING").
		Because(out.Reason).
		Epoch(l.term.Epoch).
		Put(l.Store, change)
	fresh.Decision(next).Epoch(l.term.Epoch).Put(l.Store, change)
	if err := next.Put(l.Store, change, now); err != nil {
		return err
	}
	if _, err := l.Store.Commit(ctx, change); err != nil {
		return err
	}
	l.Logger.Warn("approved automatically", "operation", o.Name, "cluster", cluster, "reason", out.Reason)
	return nil
}

func consentInput(state health.State, policy *gantryv1.FailoverPolicy, now time.Time) failover.ConsentInput {
	in := failover.ConsentInput{
		NowUnix: now.Unix(),
		Policy: failover.Policy{
			Automatic: policy.GetAutomatic(), AfterSeconds: int64(policy.GetAfterSeconds()), MaxUnplacedPercent: int(policy.GetMaxUnplacedPercent()),
		},
		SwitchAllowed: state.SwitchAllowed,
		Recovering:    state.BetterSinceUnixMilli > 0,
	}
	if state.Verdict == health.Down {
		in.DownSinceUnix = state.SinceUnixMilli / 1000
	}
	return in
}

func running(s fleet.Snapshot) []string {
	var names []string
	for _, o := range s.Operations {
		if o.Moving() {
			names = append(names, o.Name)
		}
	}
	return names
}

// explain keeps the refused guards in the operation's summary.
func (l *Loop) explain(ctx context.Context, o fleet.Operation, why string, now time.Time) error {
	text, _, _ := strings.Cut(o.Metadata.GetSummary(), refused)
	text += refused + why
	if text == o.Metadata.GetSummary() {
		return nil
	}
	o.Metadata.Summary = text
	change := store.NewChange().Guard(l.term.Guard())
	if err := o.Put(l.Store, change, now); err != nil {
		return err
	}
	_, err := l.Store.Commit(ctx, change)
	return err
}
