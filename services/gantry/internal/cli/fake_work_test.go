package cli

import (
	"context"
	"fmt"
	"strings"
	"time"

	"cloud.google.com/go/longrunning/autogen/longrunningpb"
	"gantry.dev/pkg/fault"
	gantryv1 "gantry.dev/proto/gen/gantry/v1"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// RebalanceApp moves everything to site-a.
func (p *platform) RebalanceApp(_ context.Context, r *gantryv1.RebalanceAppRequest) (*gantryv1.App, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	app, ok := p.apps[r.GetName()]
	if !ok {
		return nil, fault.NotFound("APP_NOT_FOUND", "there is no app %s", r.GetName())
	}
	next := proto.CloneOf(app)
	next.Status.Assignments = []*gantryv1.ClusterAssignment{
		{Cluster: "clusters/site-a", Replicas: next.GetSpec().GetReplicas(), ReadyReplicas: 2, Reason: "it has the most room", Observed: true},
		{Cluster: "clusters/site-b", Reason: "it has no room", Observed: true},
	}
	if !r.GetValidateOnly() {
		p.apps[r.GetName()] = next
	}
	return next, nil
}

func (c clusterAPI) MigrateApps(_ context.Context, r *gantryv1.MigrateAppsRequest) (*longrunningpb.Operation, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	meta := &gantryv1.OperationMetadata{
		Kind: gantryv1.OperationMetadata_KIND_MIGRATE_APPS, State: gantryv1.OperationMetadata_STATE_AWAITING_APPROVAL, Subject: r.GetName(),
		Summary: fmt.Sprintf("by %d every %d s, %d together", r.GetStepPercent(), r.GetStepSeconds(), r.GetConcurrency()),
		Moves: []*gantryv1.PlannedMove{
			{App: "projects/hello/apps/web", FromCluster: r.GetName(), ToCluster: "clusters/site-a", Replicas: 2},
		},
		Steps: []*gantryv1.OperationStep{pending("start 2 of web in site-a")},
	}
	if r.GetValidateOnly() {
		return operation("", meta)
	}
	c.ops["operations/m"] = meta
	return operation("operations/m", meta)
}

func (c clusterAPI) GetSurvivalReport(context.Context, *gantryv1.GetSurvivalReportRequest) (*gantryv1.SurvivalReport, error) {
	return &gantryv1.SurvivalReport{Time: timestamppb.New(epoch), Losses: []*gantryv1.SurvivalReport_Loss{
		{Cluster: "clusters/site-a", Replicas: 6, Unplaced: 2, MissingMilliCpu: 1500, MissingMemoryBytes: 2 << 30, Apps: []*gantryv1.SurvivalReport_AppLoss{
			{App: "projects/hello/apps/web", Replicas: 4, Unplaced: 2, Reason: "site-b has 0.5 CPU left"},
		}},
		{Cluster: "clusters/site-b", Replicas: 2},
	}}, nil
}

// UpdateCluster changes what a mask names; the tests set all or the policy.
func (c clusterAPI) UpdateCluster(_ context.Context, r *gantryv1.UpdateClusterRequest) (*gantryv1.Cluster, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	next := proto.CloneOf(c.clusters[r.GetCluster().GetName()])
	switch paths := strings.Join(r.GetUpdateMask().GetPaths(), ","); {
	case r.GetCluster().GetIpaasAddress() == "":
		return nil, fault.Invalid("INVALID_FIELDS", "cluster.ipaas_address: must be host:port")
	case r.GetCluster().GetIpaasAddress() != next.GetIpaasAddress():
		return nil, fault.Precondition("OTHER_CLUSTER", "this ipaas wraps another cluster")
	case paths == "":
		next.Registry, next.Weight, next.Failover = r.GetCluster().GetRegistry(), r.GetCluster().GetWeight(), r.GetCluster().GetFailover()
	case paths == "weight":
		next.Weight = r.GetCluster().GetWeight()
	case strings.HasPrefix(paths, "failover."):
		next.Failover = r.GetCluster().GetFailover()
	default:
		return nil, fault.Invalid("MASK_INVALID", "mask %s", paths)
	}
	if !r.GetValidateOnly() {
		c.clusters[next.GetName()] = next
	}
	return next, nil
}

func (o operationAPI) ReverseOperation(_ context.Context, r *gantryv1.ReverseOperationRequest) (*longrunningpb.Operation, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.ops[r.GetName()].GetState() != gantryv1.OperationMetadata_STATE_SUCCEEDED {
		return nil, fault.Precondition("OPERATION_NOT_FINISHED", "%s has not come to its end", r.GetName())
	}
	meta := &gantryv1.OperationMetadata{State: gantryv1.OperationMetadata_STATE_RUNNING, Steps: []*gantryv1.OperationStep{pending("bring it back")}}
	o.ops["operations/r"] = meta
	return operation("operations/r", meta)
}

// policy is an autoscale policy under a schedule.
func policy() (*gantryv1.Autoscale, *gantryv1.AutoscaleStatus) {
	spec := &gantryv1.Autoscale{MinReplicas: 2, MaxReplicas: 12, Metrics: []*gantryv1.ScaleMetric{
		{Resource: gantryv1.ScaleMetric_RESOURCE_CPU, TargetPercent: 50}, {Query: "sum(x)", TargetValue: 100},
	}}
	return spec, &gantryv1.AutoscaleStatus{
		MinReplicas: 4, MaxReplicas: 12, ActiveSchedules: []string{"office"},
		NextSchedule: "office", NextScheduleTime: timestamppb.New(epoch.Add(3*time.Hour + 10*time.Minute)),
	}
}
