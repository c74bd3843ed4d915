package planning

import (
	"context"
	"strings"
	"time"

	"cloud.google.com/go/longrunning/autogen/longrunningpb"
	"gantry.dev/pkg/fault"
	"gantry.dev/pkg/names"
	gantryv1 "gantry.dev/proto/gen/gantry/v1"
	"gantry.dev/services/cluster-mgr/internal/failover"
	"gantry.dev/services/cluster-mgr/internal/fleet"
)

// Reverse starts an operation that takes a finished one back by the plan that
// was kept for that. OPERATION_NOT_FINISHED when it has not come to its good
// end; PLAN_OUTDATED when the world is not any more as it was left.
func (p *Planner) Reverse(ctx context.Context, r *gantryv1.ReverseOperationRequest, user string) (*longrunningpb.Operation, error) {
	o, err := fleet.GetOperation(ctx, p.Store, r.GetName())
	if err != nil {
		return nil, err
	}
	if o.Shifting() {
		return p.reverseShift(ctx, o, user)
	}
	if o.Metadata.GetState() != gantryv1.OperationMetadata_STATE_SUCCEEDED {
		return nil, fault.Precondition("OPERATION_NOT_FINISHED", "%s has not come to its end, its state is %s; only what succeeded is taken back by this", o.Name, o.Metadata.GetState())
	}
	snapshot, err := p.idle(ctx, o.Metadata.GetSubject())
	if err != nil {
		return nil, err
	}
	apps, err := snapshot.FailoverApps(p.Images)
	if err != nil {
		return nil, err
	}
	cluster := snapshot.Cluster(o.Metadata.GetSubject())
	plan := made(failover.RevertInput{
		Of:               o.Plan,
		Evacuated:        cluster.GetEvacuated(),
		NowUnix:          time.Now().Unix(),
		HealthySinceUnix: healthySince(cluster),
		StabilizeSeconds: p.stabilize(),
		Clusters:         snapshot.FailoverClusters(),
		Apps:             apps,
		Guard:            o.Plan.Guard,
	}, failover.Revert)
	if len(plan.Plan.Steps) == 0 {
		return nil, fault.Precondition("PLAN_OUTDATED", "%s cannot be taken back, nothing was changed: %s; plan anew with `gantry cluster switch`, `migrate` or `failback` %s",
			o.Name, strings.Join(plan.Plan.Problems, "; "), names.ID(cluster.GetName()))
	}
	reversal := newOperation(plan.Plan, cluster.GetName(), user, gantryv1.OperationMetadata_STATE_RUNNING)
	reversal.Metadata.Summary = "takes " + o.Name + " back"
	return p.save(ctx, snapshot, reversal, plan)
}
