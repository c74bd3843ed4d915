package planning

import (
	"context"
	"crypto/rand"
	"encoding/hex"
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
	"google.golang.org/protobuf/types/known/timestamppb"
)

// byItself is who creates operations when nobody asked for them.
const byItself = "gantry"

// SwitchTraffic plans and starts taking traffic from a cluster, or giving it
// back. It is planned work, so it needs no approval.
func (p *Planner) SwitchTraffic(ctx context.Context, r *gantryv1.SwitchTrafficRequest, user string) (*longrunningpb.Operation, error) {
	snapshot, err := p.idle(ctx, r.GetName())
	if err != nil {
		return nil, err
	}
	if c := snapshot.Cluster(r.GetName()); c.GetEvacuated() {
		return nil, fault.Precondition("CLUSTER_EVACUATED", "%s is evacuated; `gantry cluster failback %s` brings work and traffic back", names.ID(r.GetName()), names.ID(r.GetName()))
	}
	plan := failover.Switch(failover.SwitchInput{
		Cluster:     names.ID(r.GetName()),
		ToPercent:   int(r.GetToPercent()),
		StepPercent: int(r.GetStepPercent()),
		Clusters:    snapshot.FailoverClusters(),
		Guard:       failover.Guard{PauseSeconds: int64(r.GetStepSeconds())},
	})
	return p.start(ctx, plan, r.GetName(), user)
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
	now := time.Now()
	in := failover.FailBackInput{
		Cluster:          names.ID(r.GetName()),
		NowUnix:          now.Unix(),
		StabilizeSeconds: p.stabilize(),
		Clusters:         snapshot.FailoverClusters(),
		Apps:             apps,
	}
	if h := cluster.GetHealth(); h.GetState() == gantryv1.ClusterHealth_STATE_HEALTHY {
		in.HealthySinceUnix = h.GetSince().GetSeconds()
	}
	return p.start(ctx, failover.FailBack(in), r.GetName(), user)
}

// stabilize is in failover's terms: negative is none.
func (p *Planner) stabilize() int64 {
	if p.FailBackAfter <= 0 {
		return -1
	}
	return int64(p.FailBackAfter / time.Second)
}

// PrepareMigration adds to a change the operation that moves the apps of a
// lost cluster elsewhere once somebody approves it. It gives the operation's
// name and a sentence for the alarm.
func (p *Planner) PrepareMigration(change *store.Change, s fleet.Snapshot, cluster *gantryv1.Cluster, why string) (name, summary string, err error) {
	apps, err := s.FailoverApps(p.Images)
	if err != nil {
		return "", "", err
	}
	plan := failover.Migrate(failover.MigrateInput{Cluster: names.ID(cluster.GetName()), Down: true, Clusters: s.FailoverClusters(), Apps: apps})
	o := newOperation(plan, cluster.GetName(), byItself, gantryv1.OperationMetadata_STATE_AWAITING_APPROVAL)
	o.Metadata.Summary = fmt.Sprintf("%s; %d moves are prepared and wait for `gantry operation approve %s`", why, len(plan.Moves), names.ID(o.Name))
	if err := o.Put(p.Store, change, time.Now()); err != nil {
		return "", "", err
	}
	return o.Name, o.Metadata.GetSummary(), nil
}

// DropUnapproved adds to a change the cancellation of an operation that still
// waits for approval, because its reason is gone.
func (p *Planner) DropUnapproved(ctx context.Context, change *store.Change, name, why string) error {
	if name == "" {
		return nil
	}
	item, err := p.Store.Operations.Get(ctx, name)
	if fault.Is(err, fault.KindNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	o, err := fleet.Unpack(item)
	if err != nil || o.Metadata.GetState() != gantryv1.OperationMetadata_STATE_AWAITING_APPROVAL {
		return err
	}
	o.Metadata.State = gantryv1.OperationMetadata_STATE_CANCELLED
	o.Metadata.Summary = "not needed any more: " + why
	return o.Put(p.Store, change, time.Now())
}

// idle loads the fleet and refuses when the cluster is unknown or being moved.
func (p *Planner) idle(ctx context.Context, cluster string) (fleet.Snapshot, error) {
	snapshot, err := fleet.Load(ctx, p.Store, p.Observer.View())
	if err != nil {
		return fleet.Snapshot{}, err
	}
	if snapshot.Cluster(cluster) == nil {
		return fleet.Snapshot{}, fault.NotFound("CLUSTER_NOT_FOUND", "there is no cluster %s; `gantry get clusters` lists them", names.ID(cluster))
	}
	for _, o := range snapshot.Operations {
		if o.Running() && o.Metadata.GetSubject() == cluster {
			return fleet.Snapshot{}, fault.Precondition("OPERATION_RUNNING", "%s works on %s; wait for it with `gantry operation wait %s`", o.Name, names.ID(cluster), names.ID(o.Name))
		}
	}
	return snapshot, nil
}

// start stores a plan as a running operation, or refuses one without steps.
func (p *Planner) start(ctx context.Context, plan failover.Plan, cluster, user string) (*longrunningpb.Operation, error) {
	if len(plan.Steps) == 0 {
		return nil, fault.Precondition("PLAN_IMPOSSIBLE", "nothing was changed: %s", strings.Join(plan.Problems, "; "))
	}
	o := newOperation(plan, cluster, user, gantryv1.OperationMetadata_STATE_RUNNING)
	change := store.NewChange()
	if err := o.Put(p.Store, change, time.Now()); err != nil {
		return nil, err
	}
	if _, err := p.Store.Commit(ctx, change); err != nil {
		return nil, err
	}
	item, err := p.Store.Operations.Get(ctx, o.Name)
	return item.Value, err
}

func newOperation(plan failover.Plan, cluster, user string, state gantryv1.OperationMetadata_State) fleet.Operation {
	now := time.Now()
	m := &gantryv1.OperationMetadata{
		Kind:       kind(plan.Kind),
		State:      state,
		Subject:    cluster,
		Problems:   plan.Problems,
		CreatedBy:  user,
		CreateTime: timestamppb.New(now),
	}
	for _, s := range plan.Steps {
		m.Steps = append(m.Steps, &gantryv1.OperationStep{Sentence: s.Sentence, State: gantryv1.OperationStep_STATE_PENDING})
	}
	for _, move := range plan.Moves {
		m.Moves = append(m.Moves, planned(move)...)
	}
	if n := len(plan.Steps); n > 0 {
		m.Summary = plan.Steps[n-1].Sentence
	}
	var b [3]byte
	_, _ = rand.Read(b[:]) // never fails
	return fleet.Operation{Name: fmt.Sprintf("operations/%013d-%s", now.UnixMilli(), hex.EncodeToString(b[:])), Metadata: m, Plan: plan}
}

func planned(move failover.Move) []*gantryv1.PlannedMove {
	problem := ""
	if !move.Fits {
		problem = move.Note
	}
	if len(move.To) == 0 {
		return []*gantryv1.PlannedMove{{App: move.App, FromCluster: "clusters/" + move.From, Problem: problem}}
	}
	var out []*gantryv1.PlannedMove
	for _, t := range move.To {
		out = append(out, &gantryv1.PlannedMove{
			App: move.App, FromCluster: "clusters/" + move.From, ToCluster: "clusters/" + t.Cluster,
			Replicas: int32(t.Replicas), Problem: problem,
		})
	}
	return out
}

func kind(k failover.Kind) gantryv1.OperationMetadata_Kind {
	return gantryv1.OperationMetadata_Kind(gantryv1.OperationMetadata_Kind_value["KIND_"+string(k)])
}
