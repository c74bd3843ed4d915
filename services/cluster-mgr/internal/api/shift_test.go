package api_test

import (
	"context"
	"testing"
	"time"

	"gantry.dev/pkg/fault"
	gantryv1 "gantry.dev/proto/gen/gantry/v1"
	"gantry.dev/services/cluster-mgr/internal/failover"
	"gantry.dev/services/cluster-mgr/internal/fleet"
	"gantry.dev/services/cluster-mgr/internal/store"
	"github.com/google/go-cmp/cmp"
)

const webName = "projects/pay/apps/web"

// led stores shares of web.
func (h *harness) led(clusters map[string]int32) {
	h.t.Helper()
	change := store.NewChange()
	h.store.Shares.Put(change, webName, store.TrafficShares{App: webName, Clusters: clusters}, store.Any)
	_, err := h.store.Commit(h.t.Context(), change)
	h.ok(err)
}

// shares are the names of the apps that have some.
func (h *harness) shares() int {
	h.t.Helper()
	list, _, err := h.store.Shares.List(h.t.Context(), "")
	h.ok(err)
	return len(list)
}

func TestAnAppShowsHowItsRequestsAreDivided(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	h.platform()
	apps := gantryv1.NewAppServiceClient(h.conn)
	app, err := h.apply(web())
	h.ok(err)
	if got := app.GetStatus().GetTrafficShares(); len(got) > 0 {
		t.Errorf("%v", got)
	}
	h.led(map[string]int32{"site-a": 100})
	want := map[string]int32{"clusters/site-a": 100}
	got, err := apps.GetApp(h.as("ann"), &gantryv1.GetAppRequest{Name: webName})
	h.ok(err)
	list, err := apps.ListApps(h.as("ann"), &gantryv1.ListAppsRequest{Parent: "projects/pay"})
	h.ok(err)
	scaled, err := apps.ScaleApp(h.as("ann"), &gantryv1.ScaleAppRequest{Name: webName, Replicas: 3})
	h.ok(err)
	for _, app := range []*gantryv1.App{got, list.GetApps()[0], scaled} {
		if diff := cmp.Diff(want, app.GetStatus().GetTrafficShares()); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	}
	_, err = apps.DeleteApp(h.as("ann"), &gantryv1.DeleteAppRequest{Name: webName})
	h.ok(err)
	if h.shares() != 0 {
		t.Error("a deleted app has shares")
	}
}

func TestADeletedClusterHasNoShares(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	h.platform()
	h.led(map[string]int32{"site-a": 30, "site-b": 70})
	_, err := gantryv1.NewClusterServiceClient(h.conn).DeleteCluster(h.admin(), &gantryv1.DeleteClusterRequest{Name: "clusters/site-a"})
	h.ok(err)
	if h.shares() != 0 {
		t.Error("shares lead to a deleted cluster")
	}
}

// Who may shift an app's requests may look at the operation, stop it and take it back; others do not
// learn of it, and what moves clusters stays with the operators.
//
// rule E1
func TestWhoMayShift(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	h.platform()
	_, err := h.apply(web())
	h.ok(err)
	apps, operations := gantryv1.NewAppServiceClient(h.conn), gantryv1.NewOperationServiceClient(h.conn)
	r := &gantryv1.ShiftTrafficRequest{Name: webName, Shares: map[string]int32{"clusters/site-a": 100}, RequestId: "a"}
	_, err = apps.ShiftTraffic(h.as("ann"), r)
	h.refused(err, "PLAN_IMPOSSIBLE") // nothing is ready
	_, err = apps.ShiftTraffic(h.as("vic"), r)
	h.refused(err, "PERMISSION_DENIED")
	_, err = apps.ShiftTraffic(h.as("eve"), r)
	h.refused(err, "PROJECT_NOT_FOUND")

	h.operation("operations/shift", webName)
	h.operation("operations/move", "clusters/site-a")
	get := func(ctx context.Context, name string) error {
		_, err := operations.GetOperation(ctx, &gantryv1.GetOperationRequest{Name: name})
		return err
	}
	cancel := func(ctx context.Context, name string) error {
		_, err := operations.CancelOperation(ctx, &gantryv1.CancelOperationRequest{Name: name})
		return err
	}
	h.ok(get(h.as("vic"), "operations/shift"))
	h.refused(get(h.as("eve"), "operations/shift"), "PERMISSION_DENIED")
	h.refused(get(h.as("eve"), "operations/none"), "PERMISSION_DENIED")
	h.refused(get(h.as("ann"), "operations/move"), "PERMISSION_DENIED")
	h.refused(cancel(h.as("vic"), "operations/shift"), "PERMISSION_DENIED")
	h.refused(cancel(h.as("ann"), "operations/move"), "PERMISSION_DENIED")
	h.ok(cancel(h.as("ann"), "operations/shift"))
	_, err = operations.ReverseOperation(h.as("ann"), &gantryv1.ReverseOperationRequest{Name: "operations/shift"})
	if fault.HasReason(err, "PERMISSION_DENIED") || err == nil {
		t.Errorf("%v", err)
	}
}

// operation stores one that runs.
func (h *harness) operation(name, subject string) {
	h.t.Helper()
	o := fleet.Operation{Name: name, Plan: failover.Plan{Kind: failover.KindShiftTraffic, App: subject}, Metadata: &gantryv1.OperationMetadata{
		State: gantryv1.OperationMetadata_STATE_RUNNING, Subject: subject,
	}}
	change := store.NewChange()
	h.ok(o.Put(h.store, change, time.Now()))
	_, err := h.store.Commit(h.t.Context(), change)
	h.ok(err)
}
