package api_test

import (
	"context"
	"sync"
	"testing"

	"cloud.google.com/go/longrunning/autogen/longrunningpb"
	"gantry.dev/pkg/fault"
	gantryv1 "gantry.dev/proto/gen/gantry/v1"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"
)

// rule S5: of two identical requests at once, one is carried out, and both get
// its answer.
func TestTwoIdenticalRequestsAtOnce(t *testing.T) {
	h := newHarness(t)
	h.platform()
	apps := gantryv1.NewAppServiceClient(h.conn)
	_, err := h.apply(web())
	h.ok(err)
	for _, tc := range []struct {
		name string
		call func() (*gantryv1.App, error)
	}{
		{"create", func() (*gantryv1.App, error) {
			app := web(func(s *gantryv1.AppSpec) { s.Replicas = 1 })
			app.Name = "projects/pay/apps/new"
			return apps.CreateApp(h.as("ann"), &gantryv1.CreateAppRequest{Parent: "projects/pay", App: app, RequestId: "create"})
		}},
		{"update", func() (*gantryv1.App, error) {
			return apps.UpdateApp(h.as("ann"), &gantryv1.UpdateAppRequest{App: web(func(s *gantryv1.AppSpec) { s.Image = "hello:v2" }), RequestId: "update"})
		}},
		{"scale", func() (*gantryv1.App, error) {
			return apps.ScaleApp(h.as("ann"), &gantryv1.ScaleAppRequest{Name: web().GetName(), Replicas: 3, RequestId: "scale"})
		}},
		{"roll back", func() (*gantryv1.App, error) {
			return apps.RollbackApp(h.as("ann"), &gantryv1.RollbackAppRequest{Name: web().GetName(), Release: 1, RequestId: "rollback"})
		}},
		{"rebalance", func() (*gantryv1.App, error) {
			return apps.RebalanceApp(h.as("ann"), &gantryv1.RebalanceAppRequest{Name: web().GetName(), RequestId: "rebalance"})
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			h.t = t
			var twin *gantryv1.App
			h.meanwhile(func() {
				var err error
				twin, err = tc.call()
				h.ok(err)
			})
			app, err := tc.call()
			h.ok(err)
			if twin == nil {
				t.Fatal("there was no twin")
			}
			if diff := cmp.Diff(twin, app, protocmp.Transform(), protocmp.IgnoreFields(&gantryv1.AppStatus{}, "progressing")); diff != "" {
				t.Errorf("the answers differ: %s", diff)
			}
		})
	}
}

// rule S5
func TestAnUpdateWithoutChangeKeepsItsAnswer(t *testing.T) {
	h := newHarness(t)
	h.platform()
	apps := gantryv1.NewAppServiceClient(h.conn)
	files := func(s *gantryv1.AppSpec) {
		s.Files = []*gantryv1.ConfigFile{{Path: "/etc/web.toml", Content: "a = 1"}}
	}
	first, err := h.apply(web(files))
	h.ok(err)
	same := &gantryv1.UpdateAppRequest{App: web(files), RequestId: "same"}
	answer, err := apps.UpdateApp(h.as("ann"), same)
	h.ok(err)
	_, err = apps.UpdateApp(h.as("ann"), &gantryv1.UpdateAppRequest{App: web(files), RequestId: "looked", ValidateOnly: true})
	h.ok(err)
	_, err = h.apply(web(func(s *gantryv1.AppSpec) { s.Image = "hello:v2" }))
	h.ok(err)
	again, err := apps.UpdateApp(h.as("ann"), same)
	h.ok(err)
	if answer.GetEtag() != first.GetEtag() || again.GetEtag() != first.GetEtag() || again.GetSpec().GetImage() != "hello:v1" {
		t.Errorf("first %v, then %v", answer, again)
	}
	if f := again.GetSpec().GetFiles(); len(f) != 1 || f[0].GetContent() != "a = 1" || again.GetStatus().GetDesiredReplicas() != 2 {
		t.Errorf("the answer given again is not whole: %v", again)
	}
	same.ValidateOnly = false
	_, err = apps.UpdateApp(h.as("ann"), &gantryv1.UpdateAppRequest{App: web(files), RequestId: "looked"})
	h.ok(err) // a look took no id
}

// A caller who names no revision is not refused because somebody else wrote.
func TestAWriterWithoutEtagIsNotRefused(t *testing.T) {
	h := newHarness(t)
	h.platform()
	app, err := h.apply(web())
	h.ok(err)
	elsewhere := func() {
		_, err := gantryv1.NewAppServiceClient(h.conn).ScaleApp(h.as("ann"), &gantryv1.ScaleAppRequest{Name: app.GetName(), Replicas: 3})
		h.ok(err)
	}
	h.meanwhile(elsewhere)
	got, err := h.apply(web(func(s *gantryv1.AppSpec) { s.Image = "hello:v2" }))
	h.ok(err)
	if got.GetStatus().GetRelease() != 2 {
		t.Errorf("it made %v", got)
	}
	h.meanwhile(elsewhere)
	stale := web(func(s *gantryv1.AppSpec) { s.Image = "hello:v1" })
	stale.Etag = got.GetEtag()
	_, err = h.apply(stale)
	h.refused(err, "ETAG_MISMATCH")
}

// twoSites is a platform on which work can move.
func (h *harness) twoSites() {
	h.t.Helper()
	h.platform()
	_, err := gantryv1.NewClusterServiceClient(h.conn).CreateCluster(h.admin(), &gantryv1.CreateClusterRequest{Cluster: h.cluster("site-b", "uid-b")})
	h.ok(err)
	h.healthy("clusters/site-a", "clusters/site-b")
}

// rule S5, of operations: they are stored by the planner.
func TestAnOperationIsStartedOnce(t *testing.T) {
	h := newHarness(t)
	h.twoSites()
	h.runs(web(), "clusters/site-a", 2)
	service := gantryv1.NewClusterServiceClient(h.conn)
	r := &gantryv1.MigrateAppsRequest{Name: "clusters/site-a", RequestId: "once"}
	var twin *longrunningpb.Operation
	var wait sync.WaitGroup
	h.planner.during = func() {
		wait.Go(func() {
			var err error
			if twin, err = service.MigrateApps(h.admin(), r); err != nil {
				t.Error(err)
			}
		})
	}
	first, err := service.MigrateApps(h.admin(), r)
	h.ok(err)
	wait.Wait()
	again, err := service.MigrateApps(h.admin(), r)
	h.ok(err)
	if first.GetName() == "" || twin.GetName() != first.GetName() || again.GetName() != first.GetName() || h.planner.migrations.Load() != 1 {
		t.Errorf("%q, %q, %q by %d plans", first.GetName(), twin.GetName(), again.GetName(), h.planner.migrations.Load())
	}
}

// What could not be started leaves its id free.
func TestAnOperationThatWasRefusedMayBeTriedAgain(t *testing.T) {
	h := newHarness(t)
	h.twoSites()
	service := gantryv1.NewClusterServiceClient(h.conn)
	r := &gantryv1.FailBackRequest{Name: "clusters/site-a", RequestId: "again"}
	for range 2 {
		_, err := service.FailBack(h.admin(), r)
		h.refused(err, "CLUSTER_NOT_EVACUATED")
	}
	_, err := service.SwitchTraffic(h.admin(), &gantryv1.SwitchTrafficRequest{Name: "clusters/site-a", ToPercent: 50, RequestId: "again"})
	if fault.HasReason(err, "REQUEST_ID_REUSED") {
		t.Error(err)
	}
}

func TestADryMigrationIsNotStored(t *testing.T) {
	h := newHarness(t)
	h.twoSites()
	h.runs(web(), "clusters/site-a", 2)
	service, operations := gantryv1.NewClusterServiceClient(h.conn), gantryv1.NewOperationServiceClient(h.conn)
	dry, err := service.MigrateApps(h.admin(), &gantryv1.MigrateAppsRequest{Name: "clusters/site-a", ValidateOnly: true, RequestId: "x"})
	h.ok(err)
	meta := &gantryv1.OperationMetadata{}
	h.ok(dry.GetMetadata().UnmarshalTo(meta))
	if dry.GetName() != "" || len(meta.GetMoves()) == 0 {
		t.Errorf("planned %v", meta)
	}
	list, err := operations.ListOperations(h.admin(), &gantryv1.ListOperationsRequest{})
	h.ok(err)
	if len(list.GetOperations()) != 0 {
		t.Errorf("stored %v", list)
	}
	op, err := service.MigrateApps(h.admin(), &gantryv1.MigrateAppsRequest{Name: "clusters/site-a", RequestId: "y"})
	h.ok(err)
	_, err = operations.ReverseOperation(h.admin(), &gantryv1.ReverseOperationRequest{Name: op.GetName(), RequestId: "z"})
	h.refused(err, "OPERATION_NOT_FINISHED")
	_, err = operations.ApproveOperation(h.admin(), &gantryv1.ApproveOperationRequest{Name: op.GetName()})
	h.ok(err)
	_, err = operations.ApproveOperation(h.admin(), &gantryv1.ApproveOperationRequest{Name: op.GetName()})
	h.refused(err, "NOT_AWAITING_APPROVAL")
	for _, call := range []func(context.Context) error{
		func(ctx context.Context) error {
			_, err := service.MigrateApps(ctx, &gantryv1.MigrateAppsRequest{Name: "clusters/site-a"})
			return err
		},
		func(ctx context.Context) error {
			_, err := operations.ReverseOperation(ctx, &gantryv1.ReverseOperationRequest{Name: op.GetName()})
			return err
		},
		func(ctx context.Context) error {
			_, err := service.UpdateCluster(ctx, &gantryv1.UpdateClusterRequest{Cluster: proto.CloneOf(h.cluster("site-a", "uid-a"))})
			return err
		},
	} {
		h.refused(call(h.as("ann")), "PERMISSION_DENIED") // rule E1
	}
}

// rule S1: of two who both saw that nothing runs, one is told what the other began.
func TestWhoLosesTheRaceIsToldWhatRuns(t *testing.T) {
	h := newHarness(t)
	h.twoSites()
	h.runs(web(), "clusters/site-a", 2)
	service, operations := gantryv1.NewClusterServiceClient(h.conn), gantryv1.NewOperationServiceClient(h.conn)
	planned, err := service.MigrateApps(h.admin(), &gantryv1.MigrateAppsRequest{Name: "clusters/site-a"})
	h.ok(err)
	begin := func(name, id string) error {
		_, err := service.SwitchTraffic(h.admin(), &gantryv1.SwitchTrafficRequest{Name: name, ToPercent: 50, RequestId: id})
		return err
	}
	stop := func() {
		list, err := operations.ListOperations(h.admin(), &gantryv1.ListOperationsRequest{})
		h.ok(err)
		for _, o := range list.GetOperations() {
			if !o.GetDone() && o.GetName() != planned.GetName() {
				_, err := operations.CancelOperation(h.admin(), &gantryv1.CancelOperationRequest{Name: o.GetName()})
				h.ok(err)
			}
		}
	}
	for name, call := range map[string]func() error{
		"a start":                   func() error { return begin("clusters/site-b", "") },
		"a start with a request id": func() error { return begin("clusters/site-b", "mine") },
		"an approval": func() error {
			_, err := operations.ApproveOperation(h.admin(), &gantryv1.ApproveOperationRequest{Name: planned.GetName()})
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			h.meanwhile(func() { h.ok(begin("clusters/site-a", "")) })
			h.refused(call(), "OPERATION_RUNNING")
			stop()
		})
	}
	h.meanwhile(func() {
		_, err := operations.CancelOperation(h.admin(), &gantryv1.CancelOperationRequest{Name: planned.GetName()})
		h.ok(err)
	})
	_, err = operations.CancelOperation(h.admin(), &gantryv1.CancelOperationRequest{Name: planned.GetName()})
	h.refused(err, "OPERATION_ENDED")
}
