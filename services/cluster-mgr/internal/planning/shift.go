package planning

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"cloud.google.com/go/longrunning/autogen/longrunningpb"
	"gantry.dev/pkg/fault"
	"gantry.dev/pkg/names"
	gantryv1 "gantry.dev/proto/gen/gantry/v1"
	"gantry.dev/services/cluster-mgr/internal/decision"
	"gantry.dev/services/cluster-mgr/internal/failover"
	"gantry.dev/services/cluster-mgr/internal/fleet"
	"gantry.dev/services/cluster-mgr/internal/store"
)

// ShiftTraffic plans and starts leading an app's requests to other clusters.
// It is planned work of the app's own team, so it needs no approval; with
// validate_only it is answered without being stored and has no name.
// APP_NOT_FOUND, CLUSTER_NOT_FOUND; SHARES_INVALID when they are more than 100
// together; PLAN_IMPOSSIBLE says why nothing can be led there.
func (p *Planner) ShiftTraffic(ctx context.Context, r *gantryv1.ShiftTrafficRequest, user string) (*longrunningpb.Operation, error) {
	snapshot, err := p.shiftable(ctx, r.GetName())
	if err != nil {
		return nil, err
	}
	to, err := wanted(snapshot, r.GetShares())
	if err != nil {
		return nil, err
	}
	in := failover.ShiftInput{
		App:         r.GetName(),
		Now:         snapshot.Shares(r.GetName()),
		To:          to,
		StepPercent: int(r.GetStepPercent()),
		Clusters:    snapshot.Serving(r.GetName()),
		Guard:       pace(r.GetStepSeconds()),
	}
	return p.startShift(ctx, snapshot, in, user, r.GetValidateOnly(), "")
}

// shiftable loads the fleet and refuses when there is no such app, when its
// requests are being led elsewhere already, or when clusters are being moved.
func (p *Planner) shiftable(ctx context.Context, app string) (fleet.Snapshot, error) {
	snapshot, err := fleet.Load(ctx, p.Store, p.Observer.View())
	if err != nil {
		return fleet.Snapshot{}, err
	}
	if !snapshot.App(app) {
		return fleet.Snapshot{}, fault.NotFound("APP_NOT_FOUND", "there is no %s; `gantry get apps` lists them", app)
	}
	for _, o := range snapshot.Operations {
		if o.Running() && o.Shifting() && o.Metadata.GetSubject() == app {
			return fleet.Snapshot{}, fault.Precondition("OPERATION_RUNNING", "%s leads the requests of %s elsewhere already; wait for it with `gantry operation wait %s` or cancel it", o.Name, names.ID(app), names.ID(o.Name))
		}
	}
	return snapshot, alone(snapshot)
}

// wanted are the shares that a request names.
func wanted(s fleet.Snapshot, shares map[string]int32) ([]failover.Share, error) {
	var out []failover.Share
	sum := 0
	for name, percent := range shares {
		if s.Cluster(name) == nil {
			return nil, fault.NotFound("CLUSTER_NOT_FOUND", "there is no cluster %s; `gantry get clusters` lists them", names.ID(name)).
				With(fault.Violation{Field: fmt.Sprintf("shares[%q]", name), Description: "there is no such cluster"})
		}
		out = append(out, failover.Share{Cluster: names.ID(name), Percent: int(percent)})
		sum += int(percent)
	}
	if sum > 100 {
		return nil, fault.Invalid("SHARES_INVALID", "the shares are %d %% together; give 100 or less", sum).
			With(fault.Violation{Field: "shares", Description: "more than 100 together"})
	}
	slices.SortFunc(out, func(a, b failover.Share) int { return strings.Compare(a.Cluster, b.Cluster) })
	return out, nil
}

// startShift plans a shift and stores it with the decision that made it (rule
// S5), unless it is only to be looked at.
func (p *Planner) startShift(ctx context.Context, s fleet.Snapshot, in failover.ShiftInput, user string, dry bool, why string) (*longrunningpb.Operation, error) {
	plan := failover.Shift(in)
	if err := possible(plan); err != nil {
		return nil, err
	}
	o := newOperation(plan, in.App, user, gantryv1.OperationMetadata_STATE_RUNNING)
	o.Metadata.Summary = why + plan.Steps[len(plan.Steps)-2].Sentence // the last step but its wait
	if dry {
		o.Name = ""
		return o.Pack()
	}
	change := store.NewChange()
	// What holds is the shares that the plan begins with.
	p.Store.Shares.Expect(change, in.App, s.TrafficShares[in.App].ModRevision)
	summary := fmt.Sprintf("%s, in %d steps; %s asked for it", o.Metadata.GetSummary(), len(plan.Steps)/2, user)
	decision.New(gantryv1.Decision_KIND_FAILOVER, in.App, summary, in, plan).Put(p.Store, change)
	return p.saveWith(ctx, change, s, o)
}

// reverseShift starts the shift back to the shares that held before another
// one, whether that came to its end or was stopped on its way.
func (p *Planner) reverseShift(ctx context.Context, o fleet.Operation, user string) (*longrunningpb.Operation, error) {
	if o.Live() || o.Metadata.GetState() == gantryv1.OperationMetadata_STATE_REVERSED {
		return nil, fault.Precondition("OPERATION_NOT_FINISHED", "%s cannot be taken back, its state is %s", o.Name, o.Metadata.GetState())
	}
	app := o.Metadata.GetSubject()
	snapshot, err := p.shiftable(ctx, app)
	if err != nil {
		return nil, err
	}
	now := snapshot.Shares(app)
	if !slices.Equal(now, failover.Holding(o.Plan, o.Progress)) {
		return nil, fault.Precondition("PLAN_OUTDATED", "%s cannot be taken back, nothing was changed: the shares of %s have been changed since; shift anew with `gantry traffic shift` or `reset` %s", o.Name, names.ID(app), names.ID(app))
	}
	return p.startShift(ctx, snapshot, failover.ShiftInput{
		App: app, Now: now, To: o.Plan.Former, StepPercent: o.Plan.StepPercent, Clusters: snapshot.Serving(app), Guard: o.Plan.Guard,
	}, user, false, "takes "+names.ID(o.Name)+" back: ")
}
