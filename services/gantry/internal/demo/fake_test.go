package demo

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"

	"cloud.google.com/go/longrunning/autogen/longrunningpb"
	"gantry.dev/pkg/fault"
	gantryv1 "gantry.dev/proto/gen/gantry/v1"
	"gantry.dev/services/gantry/internal/client"
	"gantry.dev/services/gantry/internal/load"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// cloud behaves as the platform does, in a time of its own: pods need 5 s to
// be ready, the autoscaler 10 s, a verdict 30 s. Its fields that begin with
// "bad" break it.
type cloud struct {
	mu sync.Mutex
	// A cluster without power, and since when; a node without power.
	dark      map[string]time.Time
	lit       map[string]time.Time
	evacuated bool
	percent   map[string]int32
	image     string
	release   int32
	desired   int32
	changed   time.Time
	burn      string
	burnSince time.Time
	decisions []*gantryv1.Decision
	ops       map[string]*longrunningpb.Operation
	opsDone   map[string]func()
	alarm     *gantryv1.Alarm
	routed    bool
	down      bool

	badFailures bool // the load balancers keep sending to dead pods
	badAlarm    bool // nobody notices that a cluster is dead
}

func newCloud() *cloud {
	return &cloud{
		dark: map[string]time.Time{}, lit: map[string]time.Time{}, percent: map[string]int32{"site-a": 100, "site-b": 100},
		ops: map[string]*longrunningpb.Operation{}, opsDone: map[string]func(){},
	}
}

func (c *cloud) client() *client.Client {
	return &client.Client{
		Apps: fakeApps{c: c}, Clusters: fakeClusters{c: c}, Projects: fakeProjects{}, Gateways: fakeGateways{c: c},
		Routes: fakeRoutes{c: c}, Operations: fakeOperations{c: c}, Decisions: fakeDecisions{c: c}, Alarms: fakeAlarms{c: c},
	}
}

// Platform.

func (c *cloud) Kill(_ context.Context, group string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.dark[group] = time.Now()
	return nil
}

func (c *cloud) Start(_ context.Context, group string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, dark := c.dark[group]; dark {
		delete(c.dark, group)
		c.lit[group] = time.Now()
	}
	return nil
}

func (c *cloud) Down(context.Context) error { c.down = true; return nil }

// step brings everything to the present. The lock is held.
func (c *cloud) step() {
	if c.burn != "" && time.Since(c.burnSince) > 10*time.Second {
		if want := c.wanted(); want != c.desired {
			c.decide(gantryv1.Decision_KIND_AUTOSCALE, fmt.Sprintf("%d pods, … → %d", c.desired, want), c.desired, want)
			c.desired, c.changed = want, time.Now()
		}
	}
	if since, dark := c.dark["site-b"]; dark && c.alarm == nil && !c.badAlarm && time.Since(since) > 30*time.Second {
		op := c.operate(gantryv1.OperationMetadata_STATE_AWAITING_APPROVAL, nil)
		c.alarm = &gantryv1.Alarm{Kind: "ClusterDown", State: gantryv1.Alarm_STATE_FIRING, Subject: "clusters/site-b",
			Summary: "site-b is down", Operation: op.GetName(), StartTime: timestamppb.Now()}
	}
	for name, op := range c.ops {
		meta := metadata(op)
		if meta.GetState() == gantryv1.OperationMetadata_STATE_RUNNING && time.Since(meta.GetUpdateTime().AsTime()) > 3*time.Second {
			c.opsDone[name]()
			meta.State, op.Done = gantryv1.OperationMetadata_STATE_SUCCEEDED, true
			meta.Steps = []*gantryv1.OperationStep{{Sentence: "all of it", State: gantryv1.OperationStep_STATE_DONE}}
			op.Metadata, _ = anypb.New(meta)
		}
	}
}

func (c *cloud) wanted() int32 {
	d, _ := time.ParseDuration(c.burn)
	if d > time.Millisecond {
		return 6
	}
	return 4
}

func (c *cloud) decide(kind gantryv1.Decision_Kind, formula string, from, to int32) {
	c.decisions = append([]*gantryv1.Decision{{
		Name: fmt.Sprintf("decisions/%04d", len(c.decisions)+1), Kind: kind, Subject: "projects/demo/apps/hello",
		Formula: formula, From: strconv.Itoa(int(from)), To: strconv.Itoa(int(to)),
	}}, c.decisions...)
}

func (c *cloud) operate(state gantryv1.OperationMetadata_State, done func()) *longrunningpb.Operation {
	name := fmt.Sprintf("operations/%d", len(c.ops)+1)
	meta, _ := anypb.New(&gantryv1.OperationMetadata{State: state, UpdateTime: timestamppb.Now(), Summary: "work"})
	c.ops[name] = &longrunningpb.Operation{Name: name, Metadata: meta}
	c.opsDone[name] = done
	return c.ops[name]
}

func metadata(op *longrunningpb.Operation) *gantryv1.OperationMetadata {
	m := &gantryv1.OperationMetadata{}
	_ = op.GetMetadata().UnmarshalTo(m)
	return m
}

// parts says how many replicas each cluster has.
func (c *cloud) parts() (a, b int32) {
	if c.evacuated {
		return c.desired, 0
	}
	return c.desired - c.desired/2, c.desired / 2
}

type fakeApps struct {
	gantryv1.AppServiceClient
	c *cloud
}

func (f fakeApps) UpdateApp(_ context.Context, r *gantryv1.UpdateAppRequest, _ ...grpc.CallOption) (*gantryv1.App, error) {
	f.c.mu.Lock()
	defer f.c.mu.Unlock()
	if f.c.desired == 0 {
		f.c.desired = r.GetApp().GetSpec().GetReplicas()
		f.c.decide(gantryv1.Decision_KIND_PLACEMENT, "2 + 2", 0, f.c.desired)
	}
	f.c.image, f.c.changed = r.GetApp().GetSpec().GetImage(), time.Now()
	f.c.release++
	return r.GetApp(), nil
}

func (f fakeApps) GetApp(context.Context, *gantryv1.GetAppRequest, ...grpc.CallOption) (*gantryv1.App, error) {
	f.c.mu.Lock()
	defer f.c.mu.Unlock()
	f.c.step()
	if f.c.release == 0 {
		return nil, fault.NotFound("APP_NOT_FOUND", "no app")
	}
	a, b := f.c.parts()
	readyA, readyB := a, b
	if time.Since(f.c.changed) < 5*time.Second {
		readyA--
	}
	if _, dark := f.c.dark["site-b"]; dark {
		readyB = 0
	}
	ready := readyA + readyB
	return &gantryv1.App{Status: &gantryv1.AppStatus{
		Release: f.c.release, DesiredReplicas: f.c.desired, ReadyReplicas: ready, UpdatedReplicas: ready, Progressing: ready < f.c.desired,
		Assignments: []*gantryv1.ClusterAssignment{
			{Cluster: "clusters/site-a", Replicas: a, ReadyReplicas: readyA, Reason: "free"},
			{Cluster: "clusters/site-b", Replicas: b, ReadyReplicas: readyB, Reason: "free"},
		},
	}}, nil
}

type fakeClusters struct {
	gantryv1.ClusterServiceClient
	c *cloud
}

func (f fakeClusters) CreateCluster(context.Context, *gantryv1.CreateClusterRequest, ...grpc.CallOption) (*gantryv1.Cluster, error) {
	return nil, fault.Exists("CLUSTER_EXISTS", "it is registered")
}

func (f fakeClusters) ListClusters(ctx context.Context, _ *gantryv1.ListClustersRequest, _ ...grpc.CallOption) (*gantryv1.ListClustersResponse, error) {
	a, _ := f.GetCluster(ctx, &gantryv1.GetClusterRequest{Name: "clusters/site-a"})
	b, _ := f.GetCluster(ctx, &gantryv1.GetClusterRequest{Name: "clusters/site-b"})
	return &gantryv1.ListClustersResponse{Clusters: []*gantryv1.Cluster{a, b}}, nil
}

func (f fakeClusters) GetCluster(_ context.Context, r *gantryv1.GetClusterRequest, _ ...grpc.CallOption) (*gantryv1.Cluster, error) {
	f.c.mu.Lock()
	defer f.c.mu.Unlock()
	c := &gantryv1.Cluster{Name: r.GetName(), Health: &gantryv1.ClusterHealth{State: gantryv1.ClusterHealth_STATE_HEALTHY}}
	name := clusterName(c)
	c.TrafficPercent, c.Evacuated = f.c.percent[name], f.c.evacuated && name == "site-b"
	if since, dark := f.c.dark[name]; dark && time.Since(since) > 30*time.Second {
		c.Health.State = gantryv1.ClusterHealth_STATE_DOWN
	} else if dark || time.Since(f.c.lit[name]) < 10*time.Second {
		c.Health.State = gantryv1.ClusterHealth_STATE_SUSPECT
	}
	return c, nil
}

func (f fakeClusters) SwitchTraffic(_ context.Context, r *gantryv1.SwitchTrafficRequest, _ ...grpc.CallOption) (*longrunningpb.Operation, error) {
	f.c.mu.Lock()
	defer f.c.mu.Unlock()
	return f.c.operate(gantryv1.OperationMetadata_STATE_RUNNING, func() {
		f.c.percent[clusterName(&gantryv1.Cluster{Name: r.GetName()})] = r.GetToPercent()
	}), nil
}

func (f fakeClusters) FailBack(context.Context, *gantryv1.FailBackRequest, ...grpc.CallOption) (*longrunningpb.Operation, error) {
	f.c.mu.Lock()
	defer f.c.mu.Unlock()
	return f.c.operate(gantryv1.OperationMetadata_STATE_RUNNING, func() { f.c.evacuated, f.c.changed = false, time.Now() }), nil
}

type fakeProjects struct{ gantryv1.ProjectServiceClient }

func (fakeProjects) UpdateProject(_ context.Context, r *gantryv1.UpdateProjectRequest, _ ...grpc.CallOption) (*gantryv1.Project, error) {
	return r.GetProject(), nil
}

type fakeGateways struct {
	gantryv1.GatewayServiceClient
	c *cloud
}

func (f fakeGateways) CreateGateway(_ context.Context, r *gantryv1.CreateGatewayRequest, _ ...grpc.CallOption) (*gantryv1.Gateway, error) {
	return r.GetGateway(), nil
}

func (f fakeGateways) GetGateway(context.Context, *gantryv1.GetGatewayRequest, ...grpc.CallOption) (*gantryv1.Gateway, error) {
	f.c.mu.Lock()
	defer f.c.mu.Unlock()
	since, dark := f.c.dark["lb-1"]
	taken := dark && time.Since(since) > 600*time.Millisecond
	return &gantryv1.Gateway{Status: []*gantryv1.GatewayNodeStatus{
		{Node: "lb-1", Reachable: !dark, HoldsVip: !dark},
		{Node: "lb-2", Reachable: true, HoldsVip: taken},
	}}, nil
}

type fakeRoutes struct {
	gantryv1.RouteServiceClient
	c *cloud
}

func (f fakeRoutes) UpdateRoute(_ context.Context, r *gantryv1.UpdateRouteRequest, _ ...grpc.CallOption) (*gantryv1.Route, error) {
	f.c.mu.Lock()
	defer f.c.mu.Unlock()
	f.c.routed = true
	return r.GetRoute(), nil
}

type fakeOperations struct {
	gantryv1.OperationServiceClient
	c *cloud
}

func (f fakeOperations) GetOperation(_ context.Context, r *gantryv1.GetOperationRequest, _ ...grpc.CallOption) (*longrunningpb.Operation, error) {
	f.c.mu.Lock()
	defer f.c.mu.Unlock()
	f.c.step()
	return proto.Clone(f.c.ops[r.GetName()]).(*longrunningpb.Operation), nil
}

func (f fakeOperations) ListOperations(context.Context, *gantryv1.ListOperationsRequest, ...grpc.CallOption) (*gantryv1.ListOperationsResponse, error) {
	f.c.mu.Lock()
	defer f.c.mu.Unlock()
	list := &gantryv1.ListOperationsResponse{}
	for _, op := range f.c.ops {
		list.Operations = append(list.Operations, proto.Clone(op).(*longrunningpb.Operation))
	}
	return list, nil
}

func (f fakeOperations) CancelOperation(_ context.Context, r *gantryv1.CancelOperationRequest, _ ...grpc.CallOption) (*longrunningpb.Operation, error) {
	f.c.mu.Lock()
	defer f.c.mu.Unlock()
	f.c.ops[r.GetName()].Done = true
	return f.c.ops[r.GetName()], nil
}

func (f fakeOperations) ApproveOperation(_ context.Context, r *gantryv1.ApproveOperationRequest, _ ...grpc.CallOption) (*longrunningpb.Operation, error) {
	f.c.mu.Lock()
	defer f.c.mu.Unlock()
	op := f.c.ops[r.GetName()]
	meta := metadata(op)
	meta.State, meta.UpdateTime = gantryv1.OperationMetadata_STATE_RUNNING, timestamppb.Now()
	op.Metadata, _ = anypb.New(meta)
	f.c.opsDone[r.GetName()] = func() { f.c.evacuated, f.c.changed = true, time.Now() }
	return op, nil
}

type fakeDecisions struct {
	gantryv1.DecisionServiceClient
	c *cloud
}

func (f fakeDecisions) ListDecisions(_ context.Context, r *gantryv1.ListDecisionsRequest, _ ...grpc.CallOption) (*gantryv1.ListDecisionsResponse, error) {
	f.c.mu.Lock()
	defer f.c.mu.Unlock()
	f.c.step()
	list := &gantryv1.ListDecisionsResponse{}
	for _, d := range f.c.decisions {
		if d.GetName() > r.GetAfter() && (r.GetKind() == 0 || r.GetKind() == d.GetKind()) {
			list.Decisions = append(list.Decisions, d)
		}
	}
	return list, nil
}

type fakeAlarms struct {
	gantryv1.AlarmServiceClient
	c *cloud
}

func (f fakeAlarms) ListAlarms(context.Context, *gantryv1.ListAlarmsRequest, ...grpc.CallOption) (*gantryv1.ListAlarmsResponse, error) {
	f.c.mu.Lock()
	defer f.c.mu.Unlock()
	f.c.step()
	list := &gantryv1.ListAlarmsResponse{}
	if f.c.alarm != nil {
		list.Alarms = append(list.Alarms, f.c.alarm)
	}
	return list, nil
}

// clients send steadily to the cloud and see what it does.
type clients struct {
	c       *cloud
	mu      sync.Mutex
	control load.Control
	buckets []load.Bucket
	stop    chan struct{}
	done    chan struct{}
}

func (c *cloud) startLoad(_ context.Context, cfg load.Config) (traffic, error) {
	l := &clients{c: c, control: load.Control{Rate: cfg.Rate, Phase: cfg.Phase}, stop: make(chan struct{}), done: make(chan struct{})}
	go l.run()
	return l, nil
}

func (l *clients) run() {
	defer close(l.done)
	for {
		select {
		case <-l.stop:
			return
		case <-time.After(time.Second):
			l.mu.Lock()
			l.buckets = append(l.buckets, l.second())
			l.mu.Unlock()
		}
	}
}

// second is what happened in the last second.
func (l *clients) second() load.Bucket {
	l.c.mu.Lock()
	defer l.c.mu.Unlock()
	now := time.Now()
	n := int(l.control.Rate)
	b := load.Bucket{
		Second: now.Add(-time.Second), Phase: l.control.Phase, Requests: n, LastAnswer: now.Add(-time.Millisecond),
		ByVersion: map[string]int{l.c.image[len("hello:"):]: n}, ByCluster: map[string]int{"site-a": n},
	}
	since, dark := l.c.dark["site-b"]
	if !dark && !l.c.evacuated && l.c.percent["site-b"] > 0 {
		b.ByCluster = map[string]int{"site-a": n / 2, "site-b": n - n/2}
	}
	if dark && (time.Since(since) < 3*time.Second || l.c.badFailures) {
		b.Failed = 1
		b.ByClass = map[load.Class]int{load.ClassReset: 1}
		b.Failures = []load.Failure{{Sent: now.Add(-500 * time.Millisecond), At: now, Class: load.ClassReset}}
	}
	if since, dark := l.c.dark["lb-1"]; dark && time.Since(since) <= time.Second {
		b.LongestGap, b.GapEnd = 600*time.Millisecond, since.Add(600*time.Millisecond)
	}
	return b
}

func (l *clients) Set(c load.Control) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if c.Phase != "" {
		l.control.Phase = c.Phase
	}
	if c.Rate != 0 {
		l.control.Rate = c.Rate
	}
	if c.Burn != "" {
		l.c.mu.Lock()
		l.c.burn, l.c.burnSince = c.Burn, time.Now()
		l.c.mu.Unlock()
	}
	return nil
}

func (l *clients) Buckets() []load.Bucket {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.buckets)
}

func (l *clients) Settle(context.Context, string) error { return nil }
func (l *clients) Err() error                           { return nil }
func (l *clients) Stop() error                          { close(l.stop); <-l.done; return nil }
