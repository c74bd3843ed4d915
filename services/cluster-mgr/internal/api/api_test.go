package api_test

import (
	"strings"
	"testing"
	"time"

	"gantry.dev/pkg/authz"
	"gantry.dev/pkg/fault"
	gantryv1 "gantry.dev/proto/gen/gantry/v1"
	"gantry.dev/services/cluster-mgr/internal/store"
	"go.uber.org/goleak"
	"google.golang.org/protobuf/types/known/fieldmaskpb"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestAClusterIsRegisteredOnce(t *testing.T) {
	h := newHarness(t)
	service := gantryv1.NewClusterServiceClient(h.conn)
	a := h.cluster("site-a", "uid-a")
	got, err := service.CreateCluster(h.admin(), &gantryv1.CreateClusterRequest{Cluster: a})
	h.ok(err)
	if got.GetIdentity() != "uid-a" || got.GetTrafficPercent() != 100 || got.GetEtag() == "" {
		t.Errorf("registered as %v", got)
	}
	other := h.cluster("site-c", "uid-a")
	_, err = service.CreateCluster(h.admin(), &gantryv1.CreateClusterRequest{Cluster: other})
	h.refused(err, "CLUSTER_ALREADY_REGISTERED")
	if !strings.Contains(err.Error(), "clusters/site-a") {
		t.Errorf("it does not say as what: %v", err)
	}
	dead := h.cluster("site-d", "uid-d")
	dead.IpaasAddress = "127.0.0.1:1"
	_, err = service.CreateCluster(h.admin(), &gantryv1.CreateClusterRequest{Cluster: dead})
	h.refused(err, "IPAAS_UNREACHABLE")
	impostor := h.cluster("site-e", "uid-e")
	impostor.Name = "clusters/site-f" // its certificate says site-e
	_, err = service.CreateCluster(h.admin(), &gantryv1.CreateClusterRequest{Cluster: impostor})
	h.refused(err, "IPAAS_UNREACHABLE")
	list, err := service.ListClusters(h.admin(), &gantryv1.ListClustersRequest{})
	h.ok(err)
	if len(list.GetClusters()) != 1 {
		t.Errorf("a refused registration changed something: %v", list)
	}
}

// rule E1
func TestWhoMayDoWhat(t *testing.T) {
	h := newHarness(t)
	h.platform()
	apps, projects := gantryv1.NewAppServiceClient(h.conn), gantryv1.NewProjectServiceClient(h.conn)
	_, err := h.apply(web())
	h.ok(err)
	get := &gantryv1.GetAppRequest{Name: "projects/pay/apps/web"}
	_, err = apps.GetApp(h.as("vic"), get)
	h.ok(err)
	_, err = apps.ScaleApp(h.as("vic"), &gantryv1.ScaleAppRequest{Name: get.Name, Replicas: 3})
	h.refused(err, "PERMISSION_DENIED")
	_, err = apps.GetApp(h.as("mallory"), get)
	h.refused(err, "PROJECT_NOT_FOUND")
	_, err = apps.ListApps(h.as("ann"), &gantryv1.ListAppsRequest{Parent: "projects/-"})
	h.refused(err, "PERMISSION_DENIED")
	_, err = projects.CreateProject(h.as("ann"), &gantryv1.CreateProjectRequest{Project: &gantryv1.Project{Name: "projects/mine"}})
	h.refused(err, "PERMISSION_DENIED")
	list, err := projects.ListProjects(h.as("mallory"), &gantryv1.ListProjectsRequest{})
	h.ok(err)
	if len(list.GetProjects()) != 0 {
		t.Errorf("a stranger sees %v", list)
	}
	_, err = apps.GetApp(t.Context(), get)
	h.refused(err, "NO_IDENTITY")
	_, err = gantryv1.NewAppServiceClient(h.dial("ipaas.site-a")).GetApp(h.as("x", authz.OperatorsGroup), get)
	h.refused(err, "CALLER_REFUSED")
}

func TestBadAppsAreRefusedAndChangeNothing(t *testing.T) {
	h := newHarness(t)
	h.platform()
	tests := []struct {
		name   string
		change func(*gantryv1.AppSpec)
		reason string
		says   string
	}{
		{"an image that no registry has", func(s *gantryv1.AppSpec) { s.Image = "hello:v9" }, "IMAGE_NOT_FOUND", "site-a:5000"},
		{"a port listed twice", func(s *gantryv1.AppSpec) { s.Ports = append(s.Ports, &gantryv1.Port{Name: "http", Port: 81}) }, "INVALID_FIELDS", "listed twice"},
		{"no memory", func(s *gantryv1.AppSpec) { s.Resources.Memory = "0" }, "INVALID_FIELDS", "more than 0"},
		{"a limit below the request", func(s *gantryv1.AppSpec) { s.Resources.CpuLimit = "50m" }, "INVALID_FIELDS", "cpu_limit"},
		{"a variable set twice", func(s *gantryv1.AppSpec) {
			s.Env = []*gantryv1.EnvVar{{Name: "A", Value: "1"}, {Name: "A", Value: "2"}}
		}, "INVALID_FIELDS", "set twice"},
		{"no image at all", func(s *gantryv1.AppSpec) { s.Image = "" }, "INVALID_FIELDS", "app.spec.image"},
		{"replicas that fit nowhere", func(s *gantryv1.AppSpec) { s.Replicas = 12 }, "CAPACITY_EXHAUSTED", "2 more replicas"},
		{"an unknown cluster", func(s *gantryv1.AppSpec) {
			s.Placement = &gantryv1.Placement{Clusters: []*gantryv1.ClusterPlacement{{Cluster: "clusters/nowhere"}}}
		}, "INVALID_FIELDS", "clusters/nowhere"},
		{"a check of a port that is not there", func(s *gantryv1.AppSpec) { s.Readiness = &gantryv1.HealthCheck{Port: 9} }, "INVALID_FIELDS", "app.spec.readiness.port"},
		{"a wrong quantity", func(s *gantryv1.AppSpec) { s.Resources.Cpu = "lots" }, "INVALID_FIELDS", "app.spec.resources.cpu"},
		{"min above max", func(s *gantryv1.AppSpec) {
			s.Autoscale = &gantryv1.Autoscale{MinReplicas: 5, MaxReplicas: 2, Metrics: []*gantryv1.ScaleMetric{{Resource: gantryv1.ScaleMetric_RESOURCE_CPU, TargetPercent: 50}}}
		}, "INVALID_FIELDS", "min_replicas"},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			h.t = t
			_, err := h.apply(web(tc.change))
			h.refused(err, tc.reason)
			if err != nil && !strings.Contains(err.Error(), tc.says) {
				t.Errorf("%q does not say %q", err, tc.says)
			}
			_, err = gantryv1.NewAppServiceClient(h.conn).GetApp(h.as("ann"), &gantryv1.GetAppRequest{Name: "projects/pay/apps/web"})
			h.refused(err, "APP_NOT_FOUND")
		})
	}
}

func TestReleasesAndRollback(t *testing.T) {
	h := newHarness(t)
	h.platform()
	apps := gantryv1.NewAppServiceClient(h.conn)
	first, err := h.apply(web())
	h.ok(err)
	again, err := h.apply(web())
	h.ok(err)
	if first.GetStatus().GetRelease() != 1 || first.GetStatus().GetDigest() != "sha256:1111" || again.GetEtag() != first.GetEtag() {
		t.Errorf("first %v, the same again %v", first, again)
	}
	scaled, err := apps.ScaleApp(h.as("ann"), &gantryv1.ScaleAppRequest{Name: first.GetName(), Replicas: 3})
	h.ok(err)
	if scaled.GetStatus().GetRelease() != 1 || scaled.GetStatus().GetDesiredReplicas() != 3 {
		t.Errorf("scaling made %v", scaled.GetStatus())
	}
	second, err := apps.UpdateApp(h.as("ann"), &gantryv1.UpdateAppRequest{
		App:        &gantryv1.App{Name: first.GetName(), Spec: &gantryv1.AppSpec{Image: "hello:v2"}},
		UpdateMask: &fieldmaskpb.FieldMask{Paths: []string{"name", "spec.image"}},
	})
	h.ok(err)
	if second.GetStatus().GetRelease() != 2 || second.GetSpec().GetReplicas() != 3 || second.GetStatus().GetDigest() != "sha256:2222" {
		t.Errorf("second release %v", second)
	}
	delete(h.images, "site-a:5000/hello:v1") // a rollback needs no tag
	back, err := apps.RollbackApp(h.as("ann"), &gantryv1.RollbackAppRequest{Name: first.GetName(), Release: 1})
	h.ok(err)
	if back.GetStatus().GetRelease() != 3 || back.GetStatus().GetDigest() != "sha256:1111" || back.GetSpec().GetImage() != "hello:v1" {
		t.Errorf("rolled back to %v", back)
	}
	_, err = apps.RollbackApp(h.as("ann"), &gantryv1.RollbackAppRequest{Name: first.GetName(), Release: 9})
	h.refused(err, "RELEASE_NOT_FOUND")
	list, err := apps.ListReleases(h.as("vic"), &gantryv1.ListReleasesRequest{Parent: first.GetName()})
	h.ok(err)
	if r := list.GetReleases(); len(r) != 3 || r[0].GetNumber() != 3 || r[0].GetRollbackOf() != 1 || r[0].GetCreatedBy() != "ann" {
		t.Errorf("releases %v", r)
	}
}

// While capacity is short, what needs no more room must still go through.
func TestARepairNeedsNoRoom(t *testing.T) {
	h := newHarness(t)
	h.platform()
	app, err := h.apply(web(func(s *gantryv1.AppSpec) { s.Replicas = 10 }))
	h.ok(err)
	change := store.NewChange()
	item, err := h.store.Clusters.Get(t.Context(), "clusters/site-a")
	h.ok(err)
	item.Value.Evacuated = true // there is no room at all
	h.store.Clusters.Put(change, item.Name, item.Value, item.ModRevision)
	_, err = h.store.Commit(t.Context(), change)
	h.ok(err)
	_, err = h.apply(web(func(s *gantryv1.AppSpec) { s.Replicas = 11 }))
	h.refused(err, "CAPACITY_EXHAUSTED")
	_, err = h.apply(web(func(s *gantryv1.AppSpec) { s.Replicas, s.Image = 9, "hello:v2" }))
	h.ok(err)
	_, err = gantryv1.NewAppServiceClient(h.conn).RollbackApp(h.as("ann"), &gantryv1.RollbackAppRequest{Name: app.GetName(), Release: 2})
	h.ok(err)
}

func TestAPartialUpdateIsCheckedAsAWhole(t *testing.T) {
	h := newHarness(t)
	h.platform()
	app, err := h.apply(web(func(s *gantryv1.AppSpec) {
		s.Autoscale = &gantryv1.Autoscale{MinReplicas: 2, MaxReplicas: 4, Metrics: []*gantryv1.ScaleMetric{{Resource: gantryv1.ScaleMetric_RESOURCE_CPU, TargetPercent: 50}}}
	}))
	h.ok(err)
	part := &gantryv1.App{Name: app.GetName(), Spec: &gantryv1.AppSpec{Autoscale: &gantryv1.Autoscale{
		MinReplicas: 6, MaxReplicas: 8, Metrics: []*gantryv1.ScaleMetric{{Resource: gantryv1.ScaleMetric_RESOURCE_CPU, TargetPercent: 50}},
	}}}
	_, err = gantryv1.NewAppServiceClient(h.conn).UpdateApp(h.as("ann"), &gantryv1.UpdateAppRequest{
		App: part, UpdateMask: &fieldmaskpb.FieldMask{Paths: []string{"spec.autoscale.min_replicas"}},
	})
	h.refused(err, "INVALID_FIELDS")
}

func TestStaleWritersAreRefused(t *testing.T) {
	h := newHarness(t)
	h.platform()
	first, err := h.apply(web())
	h.ok(err)
	_, err = h.apply(web(func(s *gantryv1.AppSpec) { s.Image = "hello:v2" }))
	h.ok(err)
	stale := web(func(s *gantryv1.AppSpec) { s.Replicas = 5 })
	stale.Etag = first.GetEtag()
	_, err = h.apply(stale)
	h.refused(err, "ETAG_MISMATCH")
}

func TestValidateOnlyChangesNothing(t *testing.T) {
	h := newHarness(t)
	h.platform()
	apps := gantryv1.NewAppServiceClient(h.conn)
	_, err := apps.CreateApp(h.as("ann"), &gantryv1.CreateAppRequest{Parent: "projects/pay", App: web(), ValidateOnly: true})
	h.ok(err)
	_, err = apps.GetApp(h.as("ann"), &gantryv1.GetAppRequest{Name: "projects/pay/apps/web"})
	h.refused(err, "APP_NOT_FOUND")
}

// rule S5
func TestARetryGetsTheFirstAnswer(t *testing.T) {
	h := newHarness(t)
	h.platform()
	apps := gantryv1.NewAppServiceClient(h.conn)
	r := &gantryv1.CreateAppRequest{Parent: "projects/pay", App: web(), RequestId: "once"}
	first, err := apps.CreateApp(h.as("ann"), r)
	h.ok(err)
	again, err := apps.CreateApp(h.as("ann"), r)
	h.ok(err)
	if again.GetEtag() != first.GetEtag() || again.GetName() != first.GetName() {
		t.Errorf("first %v, then %v", first, again)
	}
	r.App = web(func(s *gantryv1.AppSpec) { s.Replicas = 7 })
	_, err = apps.CreateApp(h.as("ann"), r)
	h.refused(err, "REQUEST_ID_REUSED")
	r.App, r.RequestId = web(), ""
	_, err = apps.CreateApp(h.as("ann"), r)
	h.refused(err, "APP_EXISTS")
}

// rule I7
func TestAHostBelongsToOneProject(t *testing.T) {
	h := newHarness(t)
	h.platform()
	_, err := h.apply(web())
	h.ok(err)
	_, err = gantryv1.NewGatewayServiceClient(h.conn).CreateGateway(h.admin(), &gantryv1.CreateGatewayRequest{Gateway: &gantryv1.Gateway{
		Name: "gateways/main", Vip: "10.0.0.100", VirtualRouterId: 1,
		Nodes: []*gantryv1.GatewayNode{{Name: "lb-1", Address: "10.0.0.11", AgentAddress: "10.0.0.11:7300", Priority: 100}},
	}})
	h.ok(err)
	routes := gantryv1.NewRouteServiceClient(h.conn)
	route := func(project, id, path string) error {
		_, err := routes.CreateRoute(h.admin(), &gantryv1.CreateRouteRequest{Parent: "projects/" + project, Route: &gantryv1.Route{
			Name: "projects/" + project + "/routes/" + id, Gateway: "gateways/main", Host: "web.test", PathPrefix: path,
			App: "projects/" + project + "/apps/web", Port: 8080,
		}})
		return err
	}
	h.ok(route("pay", "web", ""))
	h.ok(route("pay", "api", "/api"))
	h.refused(route("pay", "again", "/api"), "PATH_TAKEN")
	_, err = gantryv1.NewProjectServiceClient(h.conn).CreateProject(h.admin(), &gantryv1.CreateProjectRequest{Project: &gantryv1.Project{Name: "projects/other"}})
	h.ok(err)
	other := web()
	other.Name = "projects/other/apps/web"
	_, err = gantryv1.NewAppServiceClient(h.conn).CreateApp(h.admin(), &gantryv1.CreateAppRequest{Parent: "projects/other", App: other})
	h.ok(err)
	h.refused(route("other", "web", "/other"), "HOST_TAKEN")
	_, err = gantryv1.NewAppServiceClient(h.conn).DeleteApp(h.as("ann"), &gantryv1.DeleteAppRequest{Name: "projects/pay/apps/web"})
	h.refused(err, "APP_IN_USE")
	_, err = h.apply(web(func(s *gantryv1.AppSpec) { s.Ports[0].Port = 8081 }))
	h.refused(err, "PORT_IN_USE")
	for _, id := range []string{"web", "api"} {
		_, err = routes.DeleteRoute(h.as("ann"), &gantryv1.DeleteRouteRequest{Name: "projects/pay/routes/" + id})
		h.ok(err)
	}
	h.ok(route("other", "web", ""))
}

func TestTheAutoscalerOwnsTheReplicas(t *testing.T) {
	h := newHarness(t)
	h.platform()
	app, err := h.apply(web(func(s *gantryv1.AppSpec) {
		s.Autoscale = &gantryv1.Autoscale{MinReplicas: 3, MaxReplicas: 6, Metrics: []*gantryv1.ScaleMetric{{Resource: gantryv1.ScaleMetric_RESOURCE_CPU, TargetPercent: 50}}}
	}))
	h.ok(err)
	if app.GetStatus().GetDesiredReplicas() != 3 {
		t.Errorf("begins with %d replicas", app.GetStatus().GetDesiredReplicas())
	}
	_, err = gantryv1.NewAppServiceClient(h.conn).ScaleApp(h.as("ann"), &gantryv1.ScaleAppRequest{Name: app.GetName(), Replicas: 5})
	h.refused(err, "AUTOSCALED")
}

func TestPagesFollowEachOther(t *testing.T) {
	h := newHarness(t)
	h.platform()
	for _, id := range []string{"a", "b", "c"} {
		app := web(func(s *gantryv1.AppSpec) { s.Replicas = 1 })
		app.Name = "projects/pay/apps/" + id
		_, err := h.apply(app)
		h.ok(err)
	}
	var seen []string
	token := ""
	for {
		r, err := gantryv1.NewAppServiceClient(h.conn).ListApps(h.as("ann"), &gantryv1.ListAppsRequest{Parent: "projects/pay", PageSize: 2, PageToken: token})
		h.ok(err)
		for _, app := range r.GetApps() {
			seen = append(seen, app.GetName()[len("projects/pay/apps/"):])
		}
		if token = r.GetNextPageToken(); token == "" {
			break
		}
	}
	if strings.Join(seen, "") != "abc" {
		t.Errorf("saw %v", seen)
	}
}

func TestAWatchBeginsWithWhatIsThereAndResumes(t *testing.T) {
	h := newHarness(t)
	h.platform()
	_, err := h.apply(web())
	h.ok(err)
	apps := gantryv1.NewAppServiceClient(h.conn)
	stream, err := apps.WatchApps(h.as("vic"), &gantryv1.WatchAppsRequest{Parent: "projects/pay"})
	h.ok(err)
	put, err := stream.Recv()
	h.ok(err)
	mark, err := stream.Recv()
	h.ok(err)
	if put.GetEvent() != gantryv1.WatchAppsResponse_EVENT_PUT || mark.GetEvent() != gantryv1.WatchAppsResponse_EVENT_BOOKMARK {
		t.Fatalf("saw %v, %v", put, mark)
	}
	_, err = h.apply(web(func(s *gantryv1.AppSpec) { s.Image = "hello:v2" }))
	h.ok(err)
	resumed, err := apps.WatchApps(h.as("vic"), &gantryv1.WatchAppsRequest{Parent: "projects/pay", ResourceVersion: mark.GetResourceVersion()})
	h.ok(err)
	next, err := resumed.Recv()
	h.ok(err)
	if next.GetApp().GetSpec().GetImage() != "hello:v2" {
		t.Errorf("resumed with %v", next)
	}
	bad, err := apps.WatchApps(h.as("vic"), &gantryv1.WatchAppsRequest{Parent: "projects/pay", ResourceVersion: "yesterday"})
	h.ok(err)
	_, err = bad.Recv()
	h.refused(err, "RESOURCE_VERSION_INVALID")
}

func TestADeadStoreRefusesQuickly(t *testing.T) {
	h := newHarness(t)
	h.platform()
	h.etcd.Stop()
	start := time.Now()
	_, err := h.apply(web())
	if !fault.Is(err, fault.KindUnavailable) || time.Since(start) > 9*time.Second {
		t.Errorf("got %v after %s", err, time.Since(start))
	}
}
