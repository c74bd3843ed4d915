package cli

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"cloud.google.com/go/longrunning/autogen/longrunningpb"
	"gantry.dev/pkg/fault"
	"gantry.dev/pkg/mtls/mtlstest"
	"gantry.dev/pkg/names"
	gantryv1 "gantry.dev/proto/gen/gantry/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// start of the fake platform's history.
var epoch = time.Date(2026, 10, 22, 10, 0, 0, 0, time.UTC)

// platform is a portal with everything behind it, in memory. An app is
// progressing for two looks after a change; an operation takes one step a look.
type platform struct {
	gantryv1.UnimplementedAppServiceServer
	gantryv1.UnimplementedProjectServiceServer
	gantryv1.UnimplementedRouteServiceServer

	mu       sync.Mutex
	apps     map[string]*gantryv1.App
	looks    map[string]int
	projects map[string]*gantryv1.Project
	routes   map[string]*gantryv1.Route
	// Newest first.
	revisions map[string][]*gantryv1.RouteRevision
	streams   map[string]*gantryv1.StreamRoute
	clusters  map[string]*gantryv1.Cluster
	ops       map[string]*gantryv1.OperationMetadata
	stuck     bool
	secrets   map[string]*gantryv1.Secret
	contents  map[string]map[string][]byte
	volumes   map[string]*gantryv1.Volume
	// Whether the apps of a secret were to be released.
	released bool
	// What was asked of StreamLogs.
	logs []*gantryv1.StreamLogsRequest
}

// clusterAPI and the others split what has methods of the same name.
type (
	clusterAPI struct {
		gantryv1.UnimplementedClusterServiceServer
		*platform
	}
	operationAPI struct {
		gantryv1.UnimplementedOperationServiceServer
		*platform
	}
	decisionAPI struct {
		gantryv1.UnimplementedDecisionServiceServer
	}
)

// startPlatform returns the fake and the config file of a user of it.
func startPlatform(t *testing.T) (*platform, string) {
	t.Helper()
	p := &platform{
		apps: map[string]*gantryv1.App{}, looks: map[string]int{}, projects: map[string]*gantryv1.Project{},
		routes: map[string]*gantryv1.Route{}, clusters: map[string]*gantryv1.Cluster{}, ops: map[string]*gantryv1.OperationMetadata{},
	}
	p.revisions, p.streams = map[string][]*gantryv1.RouteRevision{}, map[string]*gantryv1.StreamRoute{}
	p.secrets, p.contents, p.volumes = map[string]*gantryv1.Secret{}, map[string]map[string][]byte{}, map[string]*gantryv1.Volume{}
	for _, site := range []string{"site-a", "site-b"} {
		p.clusters["clusters/"+site] = fakeCluster(site)
	}
	files := mtlstest.New(t).Issue("portal")
	pair, err := tls.LoadX509KeyPair(files.Cert, files.Key)
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer(grpc.Creds(credentials.NewServerTLSFromCert(&pair)), grpc.UnaryInterceptor(checkToken))
	gantryv1.RegisterAppServiceServer(server, p)
	gantryv1.RegisterProjectServiceServer(server, p)
	gantryv1.RegisterRouteServiceServer(server, p)
	gantryv1.RegisterStreamRouteServiceServer(server, streamAPI{platform: p})
	gantryv1.RegisterSecretServiceServer(server, secretAPI{platform: p})
	gantryv1.RegisterVolumeServiceServer(server, volumeAPI{platform: p})
	gantryv1.RegisterClusterServiceServer(server, clusterAPI{platform: p})
	gantryv1.RegisterOperationServiceServer(server, operationAPI{platform: p})
	gantryv1.RegisterDecisionServiceServer(server, decisionAPI{})
	done := make(chan struct{})
	go func() { defer close(done); _ = server.Serve(listener) }()
	t.Cleanup(func() { server.Stop(); <-done })
	return p, writeConfig(t, listener.Addr().String(), files.CA)
}

func writeConfig(t *testing.T, server, ca string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{
		"good.jwt": "good\n",
		"bad.jwt":  "bad\n",
		"config.yaml": fmt.Sprintf(`current_context: local
contexts:
  - {name: local, server: %q, ca_file: %q, token_file: good.jwt, project: hello}
  - {name: bad, server: %q, ca_file: %q, token_file: bad.jwt}
  - {name: dead, server: "127.0.0.1:1", ca_file: %q, token_file: good.jwt, project: hello}
`, "https://"+server, ca, server, ca, ca),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return filepath.Join(dir, "config.yaml")
}

func checkToken(ctx context.Context, req any, _ *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
	md, _ := metadata.FromIncomingContext(ctx)
	if got := md.Get("authorization"); !slices.Equal(got, []string{"Bearer good"}) {
		return nil, fault.ToStatus(fault.Unauthenticated("TOKEN_INVALID", "the token is not accepted")).Err()
	}
	resp, err := handler(ctx, req)
	return resp, fault.ToStatus(err).Err()
}

func fakeCluster(site string) *gantryv1.Cluster {
	return &gantryv1.Cluster{
		Name: "clusters/" + site, Location: "here", IpaasAddress: "10.0.0.1:7100", Registry: "10.0.0.1:5000", Weight: 1,
		Identity: "uid-" + site, TrafficPercent: 100, CreateTime: timestamppb.New(epoch),
		Health: &gantryv1.ClusterHealth{
			State: gantryv1.ClusterHealth_STATE_HEALTHY, Since: timestamppb.New(epoch), Reason: "everything answers",
			Voices: []*gantryv1.Voice{
				{Vantage: "cluster-mgr", Subject: "ipaas", Ok: true, Detail: "answers in 2 ms", Time: timestamppb.New(epoch)},
				{Vantage: "ingress-agent lb-1", Subject: "pods", Ok: false, Detail: "1 of 2 answer", Time: timestamppb.New(epoch)},
			},
		},
		Nodes: []*gantryv1.NodeCapacity{{Name: site, Ready: true, AllocatableMilliCpu: 2000, UsedMilliCpu: 250, AllocatableMemoryBytes: 4 << 30, UsedMemoryBytes: 1 << 30}},
	}
}

func (p *platform) GetApp(_ context.Context, r *gantryv1.GetAppRequest) (*gantryv1.App, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	app, ok := p.apps[r.GetName()]
	if !ok {
		return nil, fault.NotFound("APP_NOT_FOUND", "there is no app %s", r.GetName())
	}
	p.looks[r.GetName()]++
	if p.looks[r.GetName()] > 2 && !p.stuck {
		settle(app)
	}
	return proto.CloneOf(app), nil
}

func settle(app *gantryv1.App) {
	st := app.GetStatus()
	st.Progressing, st.ReadyReplicas, st.UpdatedReplicas = false, st.GetDesiredReplicas(), st.GetDesiredReplicas()
	for _, a := range st.GetAssignments() {
		a.ReadyReplicas = a.GetReplicas()
	}
}

func (p *platform) ListApps(_ context.Context, r *gantryv1.ListAppsRequest) (*gantryv1.ListAppsResponse, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	var found []string
	for name := range p.apps {
		if names.Parent(name) == r.GetParent() || r.GetParent() == allProjects {
			found = append(found, name)
		}
	}
	slices.Sort(found)
	// One app a page, so that paging is exercised.
	for _, name := range found {
		if name > r.GetPageToken() {
			return &gantryv1.ListAppsResponse{Apps: []*gantryv1.App{p.apps[name]}, NextPageToken: name}, nil
		}
	}
	return &gantryv1.ListAppsResponse{}, nil
}

func (p *platform) UpdateApp(_ context.Context, r *gantryv1.UpdateAppRequest) (*gantryv1.App, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	app := proto.CloneOf(r.GetApp())
	switch {
	case strings.HasSuffix(app.GetSpec().GetImage(), ":none"):
		return nil, fault.Precondition("IMAGE_NOT_FOUND", "no registry has %s", app.GetSpec().GetImage())
	case app.GetSpec().GetReplicas() > 100:
		return nil, fault.Invalid("INVALID_FIELDS", "app.spec.replicas: too many").
			With(fault.Violation{Field: "app.spec.replicas", Description: "must be at most 100"})
	case r.GetRequestId() == "":
		return nil, fault.Invalid("REQUEST_ID_MISSING", "the command line must send a request_id")
	}
	before := p.apps[app.GetName()]
	if before != nil && proto.Equal(before.GetSpec(), app.GetSpec()) {
		return before, nil
	}
	n := app.GetSpec().GetReplicas()
	app.CreateTime = timestamppb.New(epoch)
	app.Status = &gantryv1.AppStatus{
		Release: before.GetStatus().GetRelease() + 1, DesiredReplicas: n, Progressing: true,
		Assignments: []*gantryv1.ClusterAssignment{
			{Cluster: "clusters/site-a", Replicas: n - n/2, Observed: true},
			{Cluster: "clusters/site-b", Replicas: n / 2, Observed: false},
		},
	}
	if !r.GetValidateOnly() {
		p.apps[app.GetName()], p.looks[app.GetName()] = app, 0
	}
	return proto.CloneOf(app), nil
}

func (p *platform) ScaleApp(ctx context.Context, r *gantryv1.ScaleAppRequest) (*gantryv1.App, error) {
	app, err := p.GetApp(ctx, &gantryv1.GetAppRequest{Name: r.GetName()})
	if err != nil {
		return nil, err
	}
	app.Spec.Replicas = r.GetReplicas()
	return p.UpdateApp(ctx, &gantryv1.UpdateAppRequest{App: app, RequestId: r.GetRequestId()})
}

func (p *platform) RollbackApp(_ context.Context, r *gantryv1.RollbackAppRequest) (*gantryv1.App, error) {
	if r.GetRelease() > 1 {
		return nil, fault.NotFound("RELEASE_NOT_FOUND", "there is no release %d", r.GetRelease())
	}
	return &gantryv1.App{Name: r.GetName(), Status: &gantryv1.AppStatus{Release: 4}}, nil
}

func (p *platform) DeleteApp(_ context.Context, r *gantryv1.DeleteAppRequest) (*emptypb.Empty, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, route := range p.routes {
		if route.GetApp() == r.GetName() {
			return nil, fault.Precondition("ROUTE_EXISTS", "%s leads to it; delete that first", route.GetName())
		}
	}
	delete(p.apps, r.GetName())
	return &emptypb.Empty{}, nil
}

func (p *platform) ListPods(_ context.Context, r *gantryv1.ListPodsRequest) (*gantryv1.ListPodsResponse, error) {
	return &gantryv1.ListPodsResponse{
		Pods:        []*gantryv1.Pod{{Name: "web-1", Cluster: "clusters/site-a", Phase: "Running", Ready: true, Release: 1, App: r.GetParent(), StartTime: timestamppb.New(epoch)}},
		Unreachable: []string{"clusters/site-b"},
	}, nil
}

func (p *platform) WatchApps(r *gantryv1.WatchAppsRequest, out grpc.ServerStreamingServer[gantryv1.WatchAppsResponse]) error {
	if r.GetResourceVersion() == "" {
		first := &gantryv1.WatchAppsResponse{Event: gantryv1.WatchAppsResponse_EVENT_PUT, App: &gantryv1.App{Name: r.GetParent() + "/apps/web"}, ResourceVersion: "7"}
		if err := out.Send(first); err != nil {
			return err
		}
		return fault.ToStatus(fault.Unavailable("RESTARTING", "portal restarts")).Err()
	}
	gone := &gantryv1.WatchAppsResponse{Event: gantryv1.WatchAppsResponse_EVENT_DELETE, App: &gantryv1.App{Name: r.GetParent() + "/apps/after-" + r.GetResourceVersion()}, ResourceVersion: "8"}
	if err := out.Send(gone); err != nil {
		return err
	}
	return fault.ToStatus(fault.Denied("PERMISSION_DENIED", "you are no member any more")).Err()
}

func (p *platform) GetProject(_ context.Context, r *gantryv1.GetProjectRequest) (*gantryv1.Project, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if project, ok := p.projects[r.GetName()]; ok {
		return project, nil
	}
	return nil, fault.NotFound("PROJECT_NOT_FOUND", "there is no project %s", r.GetName())
}

func (p *platform) UpdateProject(_ context.Context, r *gantryv1.UpdateProjectRequest) (*gantryv1.Project, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !r.GetValidateOnly() {
		p.projects[r.GetProject().GetName()] = r.GetProject()
	}
	return r.GetProject(), nil
}

func (c clusterAPI) GetCluster(_ context.Context, r *gantryv1.GetClusterRequest) (*gantryv1.Cluster, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if cluster, ok := c.clusters[r.GetName()]; ok {
		return cluster, nil
	}
	return nil, fault.NotFound("CLUSTER_NOT_FOUND", "there is no cluster %s", r.GetName())
}

func (c clusterAPI) ListClusters(context.Context, *gantryv1.ListClustersRequest) (*gantryv1.ListClustersResponse, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return &gantryv1.ListClustersResponse{Clusters: []*gantryv1.Cluster{c.clusters["clusters/site-a"], c.clusters["clusters/site-b"]}}, nil
}

func (c clusterAPI) CreateCluster(_ context.Context, r *gantryv1.CreateClusterRequest) (*gantryv1.Cluster, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, other := range c.clusters {
		if other.GetIpaasAddress() == r.GetCluster().GetIpaasAddress() {
			return nil, fault.Exists("IDENTITY_TAKEN", "this is %s already", other.GetName())
		}
	}
	cluster := proto.CloneOf(r.GetCluster())
	cluster.Identity = "uid-new"
	return cluster, nil
}

func (c clusterAPI) SwitchTraffic(_ context.Context, r *gantryv1.SwitchTrafficRequest) (*longrunningpb.Operation, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	meta := &gantryv1.OperationMetadata{
		Kind: gantryv1.OperationMetadata_KIND_SWITCH_TRAFFIC, State: gantryv1.OperationMetadata_STATE_RUNNING, Subject: r.GetName(),
		Summary: fmt.Sprintf("traffic to %d%% by %d every %d s", r.GetToPercent(), r.GetStepPercent(), r.GetStepSeconds()),
		Steps:   []*gantryv1.OperationStep{pending("weights to 50 %"), pending(fmt.Sprintf("weights to %d %%", r.GetToPercent()))},
	}
	c.ops["operations/1"] = meta
	return operation("operations/1", meta)
}

func pending(sentence string) *gantryv1.OperationStep {
	return &gantryv1.OperationStep{Sentence: sentence, State: gantryv1.OperationStep_STATE_PENDING}
}

func (c clusterAPI) FailBack(context.Context, *gantryv1.FailBackRequest) (*longrunningpb.Operation, error) {
	return nil, fault.Precondition("CLUSTER_NOT_HEALTHY", "the cluster is not healthy yet")
}
