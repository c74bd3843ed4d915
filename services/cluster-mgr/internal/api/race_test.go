package api_test

import (
	"context"
	"testing"

	gantryv1 "gantry.dev/proto/gen/gantry/v1"
	"gantry.dev/services/cluster-mgr/internal/store"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/fieldmaskpb"
)

// rule S1: what a change depends on is compared in its transaction, also where
// it is another resource.
func TestNothingIsLeftWithoutWhatItBelongsTo(t *testing.T) {
	route := &gantryv1.Route{Name: "projects/pay/routes/web", Gateway: "gateways/main", Host: "web.example", App: web().GetName(), Port: 8080}
	gateway := &gantryv1.Gateway{
		Name: "gateways/main", Vip: "10.0.0.100", VirtualRouterId: 7,
		Nodes: []*gantryv1.GatewayNode{{Name: "lb-1", Address: "10.0.0.1", AgentAddress: "10.0.0.1:7300", Priority: 100}},
	}
	calls := func(h *harness) map[string]func(context.Context) error {
		apps, projects := gantryv1.NewAppServiceClient(h.conn), gantryv1.NewProjectServiceClient(h.conn)
		gateways, routes := gantryv1.NewGatewayServiceClient(h.conn), gantryv1.NewRouteServiceClient(h.conn)
		return map[string]func(context.Context) error{
			"create the app": func(ctx context.Context) error {
				_, err := apps.CreateApp(ctx, &gantryv1.CreateAppRequest{Parent: "projects/pay", App: web()})
				return err
			},
			"delete the app": func(ctx context.Context) error {
				_, err := apps.DeleteApp(ctx, &gantryv1.DeleteAppRequest{Name: web().GetName()})
				return err
			},
			"close the app's port": func(ctx context.Context) error {
				app := web(func(s *gantryv1.AppSpec) { s.Ports = nil })
				_, err := apps.UpdateApp(ctx, &gantryv1.UpdateAppRequest{App: app})
				return err
			},
			"delete the project": func(ctx context.Context) error {
				_, err := projects.DeleteProject(ctx, &gantryv1.DeleteProjectRequest{Name: "projects/pay"})
				return err
			},
			"create the route": func(ctx context.Context) error {
				_, err := routes.CreateRoute(ctx, &gantryv1.CreateRouteRequest{Parent: "projects/pay", Route: route})
				return err
			},
			"create the gateway": func(ctx context.Context) error {
				_, err := gateways.CreateGateway(ctx, &gantryv1.CreateGatewayRequest{Gateway: gateway})
				return err
			},
			"create its twin": func(ctx context.Context) error {
				twin := proto.CloneOf(gateway)
				twin.Name, twin.VirtualRouterId = "gateways/twin", 8
				_, err := gateways.CreateGateway(ctx, &gantryv1.CreateGatewayRequest{Gateway: twin})
				return err
			},
			"delete the gateway": func(ctx context.Context) error {
				_, err := gateways.DeleteGateway(ctx, &gantryv1.DeleteGatewayRequest{Name: "gateways/main"})
				return err
			},
		}
	}
	before := []string{"create the gateway", "create the app"}
	tests := []struct {
		name        string
		before      []string
		call, other string
		reason      string
	}{
		{"an app without a project", nil, "create the app", "delete the project", "PROJECT_NOT_FOUND"},
		{"a project deleted under an app", nil, "delete the project", "create the app", "PROJECT_NOT_EMPTY"},
		{"a route to a deleted app", before, "create the route", "delete the app", "APP_NOT_FOUND"},
		{"an app deleted under a route", before, "delete the app", "create the route", "APP_IN_USE"},
		{"a port closed under a route", before, "close the app's port", "create the route", "PORT_IN_USE"},
		{"a route to a closed port", before, "create the route", "close the app's port", "INVALID_FIELDS"},
		{"a route on a deleted gateway", before, "create the route", "delete the gateway", "GATEWAY_NOT_FOUND"},
		{"a gateway deleted under a route", before, "delete the gateway", "create the route", "GATEWAY_IN_USE"},
		{"two gateways with one VIP", nil, "create the gateway", "create its twin", "VIP_TAKEN"},
	}
	h := newHarness(t)
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			h.t = t
			h.wipe()
			h.platform()
			call := calls(h)
			for _, name := range tc.before {
				h.ok(call[name](h.admin()))
			}
			happened := false
			h.meanwhile(func() {
				happened = true
				h.ok(call[tc.other](h.admin()))
			})
			h.refused(call[tc.call](h.admin()), tc.reason)
			if !happened {
				t.Error("nothing happened meanwhile")
			}
		})
	}
}

// Two names for one Kubernetes cluster would let it count twice.
func TestTwoRegistrationsAtOnceOfOneCluster(t *testing.T) {
	h := newHarness(t)
	service := gantryv1.NewClusterServiceClient(h.conn)
	a, b := h.cluster("site-a", "uid-a"), h.cluster("site-b", "uid-a")
	register := func(c *gantryv1.Cluster) error {
		_, err := service.CreateCluster(h.admin(), &gantryv1.CreateClusterRequest{Cluster: c})
		return err
	}
	h.meanwhile(func() { h.ok(register(b)) })
	h.refused(register(a), "CLUSTER_ALREADY_REGISTERED")
	list, err := service.ListClusters(h.admin(), &gantryv1.ListClustersRequest{})
	h.ok(err)
	if len(list.GetClusters()) != 1 {
		t.Errorf("registered %v", list.GetClusters())
	}
	_, err = service.DeleteCluster(h.admin(), &gantryv1.DeleteClusterRequest{Name: b.GetName()})
	h.ok(err)
	h.ok(register(a))
}

func TestWhereAClusterIsMayChangeWhichItIsMayNot(t *testing.T) {
	h := newHarness(t)
	service := gantryv1.NewClusterServiceClient(h.conn)
	a := h.cluster("site-a", "uid-a")
	_, err := service.CreateCluster(h.admin(), &gantryv1.CreateClusterRequest{Cluster: a})
	h.ok(err)
	moved := h.cluster("site-a", "uid-a")
	moved.Failover = &gantryv1.FailoverPolicy{Automatic: true, AfterSeconds: 90}
	got, err := service.UpdateCluster(h.admin(), &gantryv1.UpdateClusterRequest{Cluster: moved})
	h.ok(err)
	if got.GetIpaasAddress() != moved.GetIpaasAddress() || got.GetFailover().GetAfterSeconds() != 90 || got.GetTrafficPercent() != 100 || got.GetIdentity() != "uid-a" {
		t.Errorf("updated to %v", got)
	}
	other := h.cluster("site-a", "uid-other")
	_, err = service.UpdateCluster(h.admin(), &gantryv1.UpdateClusterRequest{Cluster: other})
	h.refused(err, "OTHER_CLUSTER")
	moved.Etag = "1"
	_, err = service.UpdateCluster(h.admin(), &gantryv1.UpdateClusterRequest{Cluster: moved})
	h.refused(err, "ETAG_MISMATCH")
}

// What an older version left of a deleted app does not stand in the way of one
// of its name, and is not taken for its own.
func TestAnAssignmentOfNoAppIsReplaced(t *testing.T) {
	h := newHarness(t)
	h.platform()
	change := store.NewChange()
	h.store.Assignments.Put(change, web().GetName(), store.Assignment{App: web().GetName(), Desired: 9, Release: 5}, 0)
	_, err := h.store.Commit(t.Context(), change)
	h.ok(err)
	_, err = h.apply(web())
	h.ok(err)
	a, err := h.store.Assignments.Get(t.Context(), web().GetName())
	h.ok(err)
	if a.Value.Desired == 9 || a.Value.Release != 0 {
		t.Errorf("the new app took what was there: %+v", a.Value)
	}
}

func TestRebalanceIsAskedForOnce(t *testing.T) {
	h := newHarness(t)
	h.platform()
	_, err := h.apply(web())
	h.ok(err)
	apps := gantryv1.NewAppServiceClient(h.conn)
	name := web().GetName()
	shown, err := apps.RebalanceApp(h.as("ann"), &gantryv1.RebalanceAppRequest{Name: name, ValidateOnly: true})
	h.ok(err)
	if parts := shown.GetStatus().GetAssignments(); len(parts) != 1 || parts[0].GetReplicas() != 2 || parts[0].GetReason() == "" {
		t.Errorf("it would be divided as %v", parts)
	}
	asked := func() bool {
		a, err := h.store.Assignments.Get(t.Context(), name)
		h.ok(err)
		return a.Value.Rebalance
	}
	if asked() {
		t.Error("a dry run asked for it")
	}
	_, err = apps.RebalanceApp(h.as("ann"), &gantryv1.RebalanceAppRequest{Name: name, RequestId: "once"})
	h.ok(err)
	if !asked() {
		t.Error("nobody asked for it")
	}
	_, err = apps.RebalanceApp(h.as("vic"), &gantryv1.RebalanceAppRequest{Name: name})
	h.refused(err, "PERMISSION_DENIED")
}

func TestAnUpdateOfAClusterThatChangesNothing(t *testing.T) {
	h := newHarness(t)
	h.platform()
	service := gantryv1.NewClusterServiceClient(h.conn)
	before, err := service.GetCluster(h.admin(), &gantryv1.GetClusterRequest{Name: "clusters/site-a"})
	h.ok(err)
	r := &gantryv1.UpdateClusterRequest{Cluster: before, RequestId: "same"}
	first, err := service.UpdateCluster(h.admin(), r)
	h.ok(err)
	weighed := proto.CloneOf(before)
	weighed.Weight = 3
	next, err := service.UpdateCluster(h.admin(), &gantryv1.UpdateClusterRequest{
		Cluster: weighed, UpdateMask: &fieldmaskpb.FieldMask{Paths: []string{"weight"}}, RequestId: "weigh",
	})
	h.ok(err)
	again, err := service.UpdateCluster(h.admin(), r)
	h.ok(err)
	if first.GetEtag() != before.GetEtag() || again.GetEtag() != before.GetEtag() || next.GetWeight() != 3 || next.GetEtag() == before.GetEtag() {
		t.Errorf("before %s, then %s, changed to %s, again %s", before.GetEtag(), first.GetEtag(), next.GetEtag(), again.GetEtag())
	}
	// The watchdog writes verdicts all the time; that must not refuse anybody.
	h.meanwhile(func() { h.healthy("clusters/site-a") })
	weighed.Weight, weighed.Etag = 4, ""
	_, err = service.UpdateCluster(h.admin(), &gantryv1.UpdateClusterRequest{Cluster: weighed, UpdateMask: &fieldmaskpb.FieldMask{Paths: []string{"weight"}}})
	h.ok(err)
	got, err := service.GetCluster(h.admin(), &gantryv1.GetClusterRequest{Name: "clusters/site-a"})
	h.ok(err)
	if got.GetWeight() != 4 || got.GetHealth().GetState() != gantryv1.ClusterHealth_STATE_HEALTHY {
		t.Errorf("it has lost one of two changes: %v", got)
	}
}

// A mistyped project must not look like an empty one, to nobody.
func TestListsOfAMistypedProject(t *testing.T) {
	h := newHarness(t)
	h.platform()
	apps := gantryv1.NewAppServiceClient(h.conn)
	_, err := apps.ListApps(h.admin(), &gantryv1.ListAppsRequest{Parent: "projects/pya"})
	h.refused(err, "PROJECT_NOT_FOUND")
	_, err = gantryv1.NewRouteServiceClient(h.conn).ListRoutes(h.admin(), &gantryv1.ListRoutesRequest{Parent: "projects/pya"})
	h.refused(err, "PROJECT_NOT_FOUND")
	stream, err := apps.WatchApps(h.admin(), &gantryv1.WatchAppsRequest{Parent: "projects/pya"})
	h.ok(err)
	_, err = stream.Recv()
	h.refused(err, "PROJECT_NOT_FOUND")
	_, err = apps.ListReleases(h.admin(), &gantryv1.ListReleasesRequest{Parent: "projects/pay/apps/wbe"})
	h.refused(err, "APP_NOT_FOUND")
	all, err := apps.ListApps(h.admin(), &gantryv1.ListAppsRequest{Parent: "projects/-"})
	h.ok(err)
	if len(all.GetApps()) != 0 {
		t.Errorf("apps %v", all)
	}
}

// rule E1: how much would not survive is for all to see, whose apps is not.
func TestTheSurvivalReportNamesOwnAppsOnly(t *testing.T) {
	h := newHarness(t)
	h.platform()
	h.healthy("clusters/site-a")
	h.runs(web(), "clusters/site-a", 2)
	service := gantryv1.NewClusterServiceClient(h.conn)
	for user, apps := range map[string]int{"vic": 1, "mallory": 0} {
		report, err := service.GetSurvivalReport(h.as(user), &gantryv1.GetSurvivalReportRequest{})
		h.ok(err)
		if l := report.GetLosses(); len(l) != 1 || l[0].GetUnplaced() != 2 || len(l[0].GetApps()) != apps {
			t.Errorf("%s sees %v", user, l)
		}
	}
}
