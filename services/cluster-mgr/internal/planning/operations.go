package planning

import (
	"context"
	"fmt"
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

// SwitchTraffic plans and starts taking traffic from a cluster, or giving it
// back. It is planned work, so it needs no approval. Before all traffic leaves
// a cluster, as many replicas as serve there start elsewhere, if they fit.
func (p *Planner) SwitchTraffic(ctx context.Context, r *gantryv1.SwitchTrafficRequest, user string) (*longrunningpb.Operation, error) {
	snapshot, err := p.idle(ctx, r.GetName())
	if err != nil {
		return nil, err
	}
	if c := snapshot.Cluster(r.GetName()); c.GetEvacuated() {
		return nil, fault.Precondition("CLUSTER_EVACUATED", "%s is evacuated; `gantry cluster failback %s` brings work and traffic back", names.ID(r.GetName()), names.ID(r.GetName()))
	}
	apps, err := snapshot.FailoverApps(p.Images)
	if err != nil {
		return nil, err
	}
	plan := made(failover.SwitchInput{
		Cluster:     names.ID(r.GetName()),
		ToPercent:   int(r.GetToPercent()),
		StepPercent: int(r.GetStepPercent()),
		Grow:        r.GetToPercent() == 0,
		Partly:      true,
		Clusters:    snapshot.FailoverClusters(),
		Apps:        apps,
		Guard:       pace(r.GetStepSeconds()),
	}, failover.Switch)
	return p.start(ctx, snapshot, plan, r.GetName(), user)
}

// pace is the guard of work that pauses so many seconds after a weight step; 0
// is the default.
func pace(stepSeconds int32) failover.Guard {
	return failover.Guard{PauseSeconds: int64(stepSeconds)}
}

// FailBack plans and starts bringing replicas and traffic back to a cluster.
func (p *Planner) FailBack(ctx context.Context, r *gantryv1.FailBackRequest, user string) (*longrunningpb.Operation, error) {
	snapshot, err := p.idle(ctx, r.GetName())
	if err != nil {
		return nil, err
	}
	cluster := snapshot.Cluster(r.GetName())
	if !cluster.GetEvacuated() {
		return nil, fault.Precondition("CLUSTER_NOT_EVACUATED", "%s is not evacuated, so there is nothing to bring back; `gantry cluster switch` moves traffic alone", names.ID(r.GetName()))
	}
	apps, err := snapshot.FailoverApps(p.Images)
	if err != nil {
		return nil, err
	}
	left, err := p.left(ctx, r.GetName())
	if err != nil {
		return nil, err
	}
	plan := made(failover.FailBackInput{
		Cluster:          names.ID(r.GetName()),
		NowUnix:          time.Now().Unix(),
		HealthySinceUnix: healthySince(cluster),
		StabilizeSeconds: p.stabilize(),
		Left:             left,
		Clusters:         snapshot.FailoverClusters(),
		Apps:             apps,
	}, failover.FailBack)
	return p.start(ctx, snapshot, plan, r.GetName(), user)
}

// healthySince is when a cluster became healthy; 0: it is not.
func healthySince(c *gantryv1.Cluster) int64 {
	if h := c.GetHealth(); h.GetState() == gantryv1.ClusterHealth_STATE_HEALTHY {
		return h.GetSince().GetSeconds()
	}
	return 0
}

// stabilize is in failover's terms: negative is none.
func (p *Planner) stabilize() int64 {
	if p.FailBackAfter <= 0 {
		return -1
	}
	return int64(p.FailBackAfter / time.Second)
}

// idle loads the fleet and refuses when the cluster is unknown, or when
// anything is being moved: plans count on the clusters that they do not touch.
func (p *Planner) idle(ctx context.Context, cluster string) (fleet.Snapshot, error) {
	snapshot, err := fleet.Load(ctx, p.Store, p.Observer.View())
	if err != nil {
		return fleet.Snapshot{}, err
	}
	if snapshot.Cluster(cluster) == nil {
		return fleet.Snapshot{}, fault.NotFound("CLUSTER_NOT_FOUND", "there is no cluster %s; `gantry get clusters` lists them", names.ID(cluster))
	}
	return snapshot, alone(snapshot)
}

// alone refuses while an operation moves clusters. One that begins overrules
// the shifts of apps: they wait until it has ended.
func alone(s fleet.Snapshot) error {
	for _, o := range s.Operations {
		if o.Moving() {
			return fault.Precondition("OPERATION_RUNNING", "%s works on %s; wait for it with `gantry operation wait %s` or cancel it", o.Name, names.ID(o.Metadata.GetSubject()), names.ID(o.Name))
		}
	}
	return nil
}

// start stores a plan as a running operation, or refuses one without steps.
func (p *Planner) start(ctx context.Context, s fleet.Snapshot, plan Made, cluster, user string) (*longrunningpb.Operation, error) {
	if err := possible(plan.Plan); err != nil {
		return nil, err
	}
	return p.save(ctx, s, newOperation(plan.Plan, cluster, user, gantryv1.OperationMetadata_STATE_RUNNING), plan)
}

func possible(plan failover.Plan) error {
	if len(plan.Steps) == 0 {
		return fault.Precondition("PLAN_IMPOSSIBLE", "nothing was changed: %s", strings.Join(plan.Problems, "; "))
	}
	return nil
}

// save stores an operation with how its plan was made.
func (p *Planner) save(ctx context.Context, s fleet.Snapshot, o fleet.Operation, plan Made) (*longrunningpb.Operation, error) {
	change := store.NewChange()
	plan.Decision(o).Put(p.Store, change)
	return p.saveWith(ctx, change, s, o)
}

// saveWith stores an operation together with a change, unless another one began
// or changed since the snapshot (rule S1), and reads it back.
func (p *Planner) saveWith(ctx context.Context, change *store.Change, s fleet.Snapshot, o fleet.Operation) (*longrunningpb.Operation, error) {
	p.Store.Operations.ExpectNoneSince(change, "", s.OperationsAt)
	if err := o.Put(p.Store, change, time.Now()); err != nil {
		return nil, err
	}
	if _, err := p.Store.Commit(ctx, change); err != nil {
		return nil, err
	}
	item, err := p.Store.Operations.Get(ctx, o.Name)
	if err != nil {
		return nil, fmt.Errorf("read %s back: %w", o.Name, err)
	}
	return item.Value, nil
}
