package planning_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"cloud.google.com/go/longrunning/autogen/longrunningpb"
	"gantry.dev/pkg/etcdkv/etcdtest"
	"gantry.dev/pkg/fault"
	ipaasv1 "gantry.dev/proto/gen/gantry/ipaas/v1"
	gantryv1 "gantry.dev/proto/gen/gantry/v1"
	"gantry.dev/services/cluster-mgr/internal/fleet"
	"gantry.dev/services/cluster-mgr/internal/observe"
	"gantry.dev/services/cluster-mgr/internal/planning"
	"gantry.dev/services/cluster-mgr/internal/store"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/protobuf/types/known/timestamppb"
)

const (
	siteA = "clusters/site-a"
	siteB = "clusters/site-b"
	pay   = "projects/pay/apps/web"
	cron  = "projects/pay/apps/cron"
	ann   = "user:ann"
)

// movable is a platform of two clusters whose apps can move: two web in each,
// and one cron of class single in site-b.
type movable struct {
	*testing.T
	store   *store.Store
	planner *planning.Planner
	// Thousandths of a CPU that site-a has.
	room int64
	down bool
}

func newMovable(t *testing.T) *movable {
	t.Helper()
	return newMovableIn(t, etcdtest.Start(t).Client(t))
}

func newMovableIn(t *testing.T, client *clientv3.Client) *movable {
	t.Helper()
	m := &movable{T: t, store: store.New(client), room: 4000}
	change := store.NewChange()
	for _, n := range []string{siteA, siteB} {
		m.store.Clusters.Put(change, n, &gantryv1.Cluster{Name: n, TrafficPercent: 100, Health: healthy()}, 0)
	}
	m.app(change, pay, gantryv1.AppClass_APP_CLASS_REPLICATED, 2, 2)
	m.app(change, cron, gantryv1.AppClass_APP_CLASS_SINGLE, 0, 1)
	m.commit(change)
	there := func(*gantryv1.Cluster, *gantryv1.App) (bool, string) { return true, "" }
	planner, err := planning.New(planning.Config{Store: m.store, Observer: m, Images: there})
	if err != nil {
		t.Fatal(err)
	}
	m.planner = planner
	return m
}

func healthy() *gantryv1.ClusterHealth {
	return &gantryv1.ClusterHealth{State: gantryv1.ClusterHealth_STATE_HEALTHY, Since: timestamppb.New(time.Unix(1000, 0))}
}

func (m *movable) app(change *store.Change, name string, class gantryv1.AppClass, a, b int) {
	spec := &gantryv1.AppSpec{Image: "hello:v1", Class: class, Resources: &gantryv1.Resources{Cpu: "500m", Memory: "64Mi"}}
	m.store.Apps.Put(change, name, &gantryv1.App{Name: name, Spec: spec}, 0)
	m.store.Assignments.Put(change, name, store.Assignment{App: name, Desired: a + b, Shares: []store.ShareRecord{
		{Cluster: siteA, Replicas: a}, {Cluster: siteB, Replicas: b},
	}}, 0)
}

func (m *movable) commit(change *store.Change) {
	m.Helper()
	if _, err := m.store.Commit(m.Context(), change); err != nil {
		m.Fatal(err)
	}
}

// View shows what is assigned as running.
func (m *movable) View() observe.View {
	seen := func(name string, cpu int64, web, cronjobs int32) observe.ClusterView {
		pods := []*gantryv1.Pod{}
		for range web {
			pods = append(pods, &gantryv1.Pod{App: pay, Node: "n", Ready: true})
		}
		for range cronjobs {
			pods = append(pods, &gantryv1.Pod{App: cron, Node: "n", Ready: true})
		}
		return observe.ClusterView{
			IdentityOK: true, Pods: pods,
			Workloads: map[string]*ipaasv1.WorkloadState{
				pay: {App: pay, Replicas: web, ReadyReplicas: web}, cron: {App: cron, Replicas: cronjobs, ReadyReplicas: cronjobs},
			},
			State: &ipaasv1.GetClusterStateResponse{ApiServerReady: true, Nodes: []*gantryv1.NodeCapacity{{
				Name: "n", Ready: true, AllocatableMilliCpu: cpu, AllocatableMemoryBytes: 1 << 40, MaxPods: 9000, RequestedMilliCpu: 500 * int64(web+cronjobs),
			}}},
		}
	}
	v := observe.View{Clusters: map[string]observe.ClusterView{siteA: seen(siteA, m.room, 2, 0), siteB: seen(siteB, 4000, 2, 1)}}
	if m.down {
		delete(v.Clusters, siteB)
	}
	return v
}

// judge stores a verdict about site-b.
func (m *movable) judge(state gantryv1.ClusterHealth_State) {
	m.Helper()
	m.down = state == gantryv1.ClusterHealth_STATE_DOWN
	m.cluster(func(c *gantryv1.Cluster) {
		c.Health = &gantryv1.ClusterHealth{State: state, Since: timestamppb.New(time.Unix(2000, 0))}
	})
}

// cluster changes site-b.
func (m *movable) cluster(change func(*gantryv1.Cluster)) {
	m.Helper()
	item, err := m.store.Clusters.Get(m.Context(), siteB)
	if err != nil {
		m.Fatal(err)
	}
	change(item.Value)
	write := store.NewChange()
	m.store.Clusters.Put(write, siteB, item.Value, item.ModRevision)
	m.commit(write)
}

// operation reads an operation that a call has given.
func (m *movable) operation(o *longrunningpb.Operation, err error) fleet.Operation {
	m.Helper()
	if err != nil {
		m.Fatal(err)
	}
	item, err := m.store.Operations.Get(m.Context(), o.GetName())
	if err != nil {
		m.Fatal(err)
	}
	unpacked, err := fleet.Unpack(item)
	if err != nil {
		m.Fatal(err)
	}
	return unpacked
}

func (m *movable) refused(err error, reason string, words ...string) {
	m.Helper()
	if !fault.HasReason(err, reason) {
		m.Errorf("got %v, want %s", err, reason)
		return
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			m.Errorf("%q does not say %q", err, w)
		}
	}
}

// end lets an operation have come to its end.
func (m *movable) end(o fleet.Operation, state gantryv1.OperationMetadata_State) {
	m.Helper()
	o.Metadata.State = state
	change := store.NewChange()
	if err := o.Put(m.store, change, time.Now()); err != nil {
		m.Fatal(err)
	}
	m.commit(change)
}

func (m *movable) prepare() fleet.Operation {
	m.Helper()
	m.judge(gantryv1.ClusterHealth_STATE_DOWN)
	s, err := fleet.Load(m.Context(), m.store, m.View())
	if err != nil {
		m.Fatal(err)
	}
	change := store.NewChange()
	name, _, err := m.planner.PrepareMigration(change, s, s.Cluster(siteB), "it does not serve", 7, 3)
	if err != nil {
		m.Fatal(err)
	}
	m.commit(change)
	return m.operation(&longrunningpb.Operation{Name: name}, nil)
}

func migration() *gantryv1.MigrateAppsRequest { return &gantryv1.MigrateAppsRequest{Name: siteB} }

func TestAMigrationWaitsForItsApproval(t *testing.T) {
	t.Parallel()
	m := newMovable(t)
	o := m.operation(m.planner.MigrateApps(t.Context(), &gantryv1.MigrateAppsRequest{Name: siteB, StepPercent: 50, StepSeconds: 9, Concurrency: 1}, ann))
	if o.Metadata.GetState() != gantryv1.OperationMetadata_STATE_AWAITING_APPROVAL || o.Plan.Guard.PauseSeconds != 9 || o.Plan.SourceDown {
		t.Errorf("%s: %+v", o.Metadata.GetState(), o.Plan.Guard)
	}
	approved := m.operation(m.planner.Approve(t.Context(), o.Name, ann))
	if !approved.Running() || approved.Metadata.GetApprovedBy() != ann || len(approved.Plan.Steps) != len(o.Plan.Steps) || approved.Plan.Guard != o.Plan.Guard {
		t.Errorf("approved: %v", approved.Metadata)
	}
	_, err := m.planner.Approve(t.Context(), o.Name, ann)
	m.refused(err, "NOT_AWAITING_APPROVAL")
	_, err = m.planner.SwitchTraffic(t.Context(), &gantryv1.SwitchTrafficRequest{Name: siteA}, ann)
	m.refused(err, "OPERATION_RUNNING", o.Name[len("operations/"):])
}

func TestAPlanThatIsOnlyLookedAt(t *testing.T) {
	t.Parallel()
	m := newMovable(t)
	r := migration()
	r.ValidateOnly = true
	o, err := m.planner.MigrateApps(t.Context(), r, ann)
	if err != nil || o.GetName() != "" || o.GetMetadata() == nil {
		t.Errorf("%v, %v", o, err)
	}
	if list, _, err := m.store.Operations.List(t.Context(), ""); err != nil || len(list) != 0 {
		t.Errorf("%d operations: %v", len(list), err)
	}
}

func TestAMigrationThatDoesNotFit(t *testing.T) {
	t.Parallel()
	m := newMovable(t)
	m.room = 1500
	_, err := m.planner.MigrateApps(t.Context(), migration(), ann)
	m.refused(err, "PLAN_IMPOSSIBLE", "do not fit")
	_, err = m.planner.MigrateApps(t.Context(), &gantryv1.MigrateAppsRequest{Name: "clusters/x"}, ann)
	m.refused(err, "CLUSTER_NOT_FOUND")
}

func TestAnApprovalIsForThePlanThatWasSeen(t *testing.T) {
	t.Parallel()
	m := newMovable(t)
	o := m.prepare()
	m.room = 2000 // one web and the cron find a place no more
	_, err := m.planner.Approve(t.Context(), o.Name, ann)
	m.refused(err, "PLAN_OUTDATED", "have no place elsewhere, and 0 had none")
	again := m.operation(m.planner.Approve(t.Context(), o.Name, ann))
	if !again.Running() || again.Plan.Unplaced() == 0 || again.VerdictUnixMilli != 7 {
		t.Errorf("the second approval: %v", again.Metadata)
	}
}

// Less may go wrong than the approver has seen: that is no obstacle.
func TestABetterPlanIsTaken(t *testing.T) {
	t.Parallel()
	m := newMovable(t)
	m.room = 2000
	o := m.prepare()
	m.room = 4000
	if o = m.operation(m.planner.Approve(t.Context(), o.Name, ann)); !o.Running() || o.Plan.Unplaced() != 0 {
		t.Errorf("%v", o.Metadata)
	}
}

func TestAPlanForAStateThatIsOver(t *testing.T) {
	t.Parallel()
	m := newMovable(t)
	planned := m.operation(m.planner.MigrateApps(t.Context(), migration(), ann))
	lost := m.prepare()
	_, err := m.planner.Approve(t.Context(), planned.Name, ann)
	m.refused(err, "PLAN_OUTDATED", "site-b is down now")
	m.judge(gantryv1.ClusterHealth_STATE_HEALTHY)
	_, err = m.planner.Approve(t.Context(), lost.Name, ann)
	m.refused(err, "PLAN_OUTDATED", "site-b is healthy again")
}

// rule C5: a person confirms for each app of class single, by name.
func TestWhatAnApprovalConfirms(t *testing.T) {
	t.Parallel()
	m := newMovable(t)
	o := m.prepare()
	if !strings.Contains(o.Metadata.GetSummary(), "you confirm that "+cron+" cannot run in site-b any more") {
		t.Errorf("summary %q", o.Metadata.GetSummary())
	}
	change := store.NewChange()
	m.app(change, "projects/pay/apps/clock", gantryv1.AppClass_APP_CLASS_SINGLE, 0, 1)
	m.commit(change)
	_, err := m.planner.Approve(t.Context(), o.Name, ann)
	m.refused(err, "PLAN_OUTDATED", "it moves projects/pay/apps/clock of class single")
}

func TestReverse(t *testing.T) {
	t.Parallel()
	m := newMovable(t)
	o := m.operation(m.planner.SwitchTraffic(t.Context(), &gantryv1.SwitchTrafficRequest{Name: siteB}, ann))
	reverse := func() (*longrunningpb.Operation, error) {
		return m.planner.Reverse(t.Context(), &gantryv1.ReverseOperationRequest{Name: o.Name}, ann)
	}
	_, err := reverse()
	m.refused(err, "OPERATION_NOT_FINISHED")
	m.end(o, gantryv1.OperationMetadata_STATE_SUCCEEDED)
	_, err = reverse()
	m.refused(err, "PLAN_OUTDATED", "site-b gets 100 % of its traffic now, and was left with 0 %")
	m.cluster(func(c *gantryv1.Cluster) { c.TrafficPercent = 0 })
	back := m.operation(reverse())
	if !back.Running() || back.Metadata.GetCreatedBy() != ann || back.Metadata.GetSummary() != "takes "+o.Name+" back" {
		t.Errorf("%v", back.Metadata)
	}
	_, err = reverse()
	m.refused(err, "OPERATION_RUNNING")
}

func TestASwitchStartsReplicasElsewhereFirst(t *testing.T) {
	// rule C2
	t.Parallel()
	m := newMovable(t)
	o := m.operation(m.planner.SwitchTraffic(t.Context(), &gantryv1.SwitchTrafficRequest{Name: siteB}, ann))
	if got := o.Plan.Steps[0].Sentence; got != "place 4 replicas in site-a" {
		t.Errorf("it begins with: %s", got)
	}
	m.end(o, gantryv1.OperationMetadata_STATE_CANCELLED)
	m.room = 1000 // nothing more fits: the operator wants the traffic away all the same
	o = m.operation(m.planner.SwitchTraffic(t.Context(), &gantryv1.SwitchTrafficRequest{Name: siteB}, ann))
	if got := o.Plan.Steps[0].Sentence; got != "set the traffic of site-b to 75 %" || len(o.Metadata.GetProblems()) == 0 {
		t.Errorf("it begins with: %s; problems %v", got, o.Metadata.GetProblems())
	}
}

// rule S1: two who both saw that nothing runs do not both begin.
func TestTwoBeginnersAtOnce(t *testing.T) {
	client := etcdtest.Start(t).Client(t)
	r := &between{KV: client.KV}
	client.KV = r
	m := newMovableIn(t, client)
	r.f = func() {
		m.operation(m.planner.SwitchTraffic(t.Context(), &gantryv1.SwitchTrafficRequest{Name: siteA, ToPercent: 50}, ann))
	}
	_, err := m.planner.SwitchTraffic(t.Context(), &gantryv1.SwitchTrafficRequest{Name: siteB, ToPercent: 50}, ann)
	m.refused(err, "CHANGED_MEANWHILE")
	_, err = m.planner.SwitchTraffic(t.Context(), &gantryv1.SwitchTrafficRequest{Name: siteB, ToPercent: 50}, ann)
	m.refused(err, "OPERATION_RUNNING")
}

// between does something once, before the next transaction.
type between struct {
	clientv3.KV
	f func()
}

func (b *between) Txn(ctx context.Context) clientv3.Txn {
	if f := b.f; f != nil {
		b.f = nil
		f()
	}
	return b.KV.Txn(ctx)
}
