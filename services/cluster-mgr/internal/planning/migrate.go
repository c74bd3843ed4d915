package planning

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"cloud.google.com/go/longrunning/autogen/longrunningpb"
	"gantry.dev/pkg/fault"
	"gantry.dev/pkg/names"
	gantryv1 "gantry.dev/proto/gen/gantry/v1"
	"gantry.dev/services/cluster-mgr/internal/failover"
	"gantry.dev/services/cluster-mgr/internal/fleet"
	"gantry.dev/services/cluster-mgr/internal/store"
)

// MigrateApps plans to move all apps of a cluster elsewhere. The operation
// waits for approval; with validate_only it is answered without being stored
// and has no name. A plan that cannot be carried out is PLAN_IMPOSSIBLE.
func (p *Planner) MigrateApps(ctx context.Context, r *gantryv1.MigrateAppsRequest, user string) (*longrunningpb.Operation, error) {
	snapshot, err := p.idle(ctx, r.GetName())
	if err != nil {
		return nil, err
	}
	plan, err := p.migration(snapshot, r.GetName(), failover.Plan{
		SourceDown:  lost(snapshot.Cluster(r.GetName())),
		StepPercent: int(r.GetStepPercent()),
		Concurrency: int(r.GetConcurrency()),
		Guard:       pace(r.GetStepSeconds()),
	})
	if err != nil {
		return nil, err
	}
	if err := possible(plan.Plan); err != nil {
		return nil, err
	}
	o := newOperation(plan.Plan, r.GetName(), user, gantryv1.OperationMetadata_STATE_AWAITING_APPROVAL)
	o.Metadata.Summary = awaiting(user+" wants to leave "+names.ID(r.GetName()), o)
	if r.GetValidateOnly() {
		o.Name = ""
		return o.Pack()
	}
	return p.save(ctx, snapshot, o, plan)
}

// lost tells whether a cluster is proven down.
func lost(c *gantryv1.Cluster) bool {
	return c.GetHealth().GetState() == gantryv1.ClusterHealth_STATE_DOWN
}

// migration plans now what like says: whether the cluster is lost, and how
// fast it is left.
func (p *Planner) migration(s fleet.Snapshot, cluster string, like failover.Plan) (Made, error) {
	apps, err := s.FailoverApps(p.Images)
	if err != nil {
		return Made{}, err
	}
	return made(failover.MigrateInput{
		Cluster:     names.ID(cluster),
		Down:        like.SourceDown,
		StepPercent: like.StepPercent,
		Concurrency: like.Concurrency,
		Clusters:    s.FailoverClusters(),
		Apps:        apps,
		Guard:       like.Guard,
	}, failover.Migrate), nil
}

// awaiting says why an operation was prepared, and what it waits for.
func awaiting(why string, o fleet.Operation) string {
	text := fmt.Sprintf("%s; %d moves are prepared and wait for `gantry operation approve %s`", why, len(o.Plan.Moves), names.ID(o.Name))
	if singles := o.Plan.Singles(); len(singles) > 0 && o.Plan.SourceDown {
		text += fmt.Sprintf("; by that you confirm that %s cannot run in %s any more", strings.Join(singles, ", "), o.Plan.Cluster)
	}
	return text
}

// PrepareMigration adds to a change the operation that moves the apps of a
// lost cluster elsewhere once somebody approves it. verdictUnixMilli is since
// when the cluster has been down, or 0 when automation may not act on that;
// epoch is the leader's. It gives the operation's name and a sentence for the alarm.
func (p *Planner) PrepareMigration(change *store.Change, s fleet.Snapshot, cluster *gantryv1.Cluster, why string, verdictUnixMilli, epoch int64) (name, summary string, err error) {
	plan, err := p.migration(s, cluster.GetName(), failover.Plan{SourceDown: true})
	if err != nil {
		return "", "", err
	}
	o := newOperation(plan.Plan, cluster.GetName(), byItself, gantryv1.OperationMetadata_STATE_AWAITING_APPROVAL)
	o.VerdictUnixMilli = verdictUnixMilli
	o.Metadata.Summary = awaiting(why, o)
	plan.Decision(o).Epoch(epoch).Put(p.Store, change)
	if err := o.Put(p.Store, change, time.Now()); err != nil {
		return "", "", err
	}
	return o.Name, o.Metadata.GetSummary(), nil
}

// Prepared tells whether an operation is one that the platform prepared by
// itself for a lost cluster and that nobody has approved yet.
func Prepared(o fleet.Operation) bool {
	return o.Metadata.GetCreatedBy() == byItself && o.Plan.SourceDown &&
		o.Metadata.GetState() == gantryv1.OperationMetadata_STATE_AWAITING_APPROVAL
}

// DropUnapproved adds to a change the cancellation of an operation that still
// waits for approval, because its reason is gone.
func (p *Planner) DropUnapproved(ctx context.Context, change *store.Change, name, why string) error {
	if name == "" {
		return nil
	}
	o, err := fleet.GetOperation(ctx, p.Store, name)
	if fault.Is(err, fault.KindNotFound) {
		return nil
	}
	if err != nil || o.Metadata.GetState() != gantryv1.OperationMetadata_STATE_AWAITING_APPROVAL {
		return err
	}
	o.Metadata.State = gantryv1.OperationMetadata_STATE_CANCELLED
	o.Metadata.Summary = "not needed any more: " + why
	return o.Put(p.Store, change, time.Now())
}

// Approve starts an operation that waits for it, with its plan made anew for
// the world as it is now. NOT_AWAITING_APPROVAL, OPERATION_RUNNING;
// PLAN_IMPOSSIBLE when there is nothing that could be done; PLAN_OUTDATED when
// the plan is about a state that is over, or would do less than, or confirm
// something that, the approver has not seen.
func (p *Planner) Approve(ctx context.Context, name, user string) (*longrunningpb.Operation, error) {
	o, err := fleet.GetOperation(ctx, p.Store, name)
	if err != nil {
		return nil, err
	}
	if o.Metadata.GetState() != gantryv1.OperationMetadata_STATE_AWAITING_APPROVAL {
		return nil, fault.Precondition("NOT_AWAITING_APPROVAL", "%s does not wait for approval, its state is %s", o.Name, o.Metadata.GetState())
	}
	snapshot, err := p.idle(ctx, o.Metadata.GetSubject())
	if err != nil {
		return nil, err
	}
	fresh, err := p.Anew(snapshot, o)
	if err != nil {
		return nil, err
	}
	if worse := worsened(o.Plan, fresh.Plan); worse != "" {
		o = adopt(o, fresh.Plan)
		if _, err := p.save(ctx, snapshot, o, fresh); err != nil {
			return nil, err
		}
		return nil, fault.Precondition("PLAN_OUTDATED", "%s has changed since it was made: %s; nothing was started, look at `gantry operation get %s` and approve it again", o.Name, worse, names.ID(o.Name))
	}
	return p.save(ctx, snapshot, Approved(o, fresh.Plan, user), fresh)
}

// Approved is an operation that begins, with the plan that was approved.
func Approved(o fleet.Operation, plan failover.Plan, by string) fleet.Operation {
	o = adopt(o, plan)
	o.Metadata.State, o.Metadata.ApprovedBy = gantryv1.OperationMetadata_STATE_RUNNING, by
	o.Metadata.Summary = "approved by " + by
	return o
}

// Anew makes the plan of an operation that waits for approval as it would be
// made now. PLAN_OUTDATED when it is about a state that is over,
// PLAN_IMPOSSIBLE when there is nothing that could be done.
func (p *Planner) Anew(s fleet.Snapshot, o fleet.Operation) (Made, error) {
	cluster := s.Cluster(o.Metadata.GetSubject())
	switch {
	case cluster == nil:
		return Made{}, fault.Precondition("PLAN_OUTDATED", "%s is registered no more; cancel %s", o.Metadata.GetSubject(), o.Name)
	case o.Plan.SourceDown && cluster.GetHealth().GetState() == gantryv1.ClusterHealth_STATE_HEALTHY:
		return Made{}, fault.Precondition("PLAN_OUTDATED", "%s is healthy again, and %s was made for its loss; `gantry cluster migrate %s` plans to leave it all the same", o.Plan.Cluster, o.Name, o.Plan.Cluster)
	case !o.Plan.SourceDown && lost(cluster):
		return Made{}, fault.Precondition("PLAN_OUTDATED", "%s is down now, and %s counts on it; approve the operation that was prepared for its loss", o.Plan.Cluster, o.Name)
	}
	fresh, err := p.migration(s, cluster.GetName(), o.Plan)
	if err != nil {
		return Made{}, err
	}
	return fresh, possible(fresh.Plan)
}

// worsened says what a plan made anew asks of its approver that the one before
// did not; empty: nothing.
func worsened(was, now failover.Plan) string {
	if a, b := was.Unplaced(), now.Unplaced(); b > a {
		return fmt.Sprintf("%d replicas have no place elsewhere, and %d had none", b, a)
	}
	if !now.SourceDown {
		return ""
	}
	for _, app := range now.Singles() {
		if !slices.Contains(was.Singles(), app) {
			return fmt.Sprintf("it moves %s of class single, which you have to confirm", app)
		}
	}
	return ""
}
