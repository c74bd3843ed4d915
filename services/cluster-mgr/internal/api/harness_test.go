package api_test

import (
	"context"
	"log/slog"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"cloud.google.com/go/longrunning/autogen/longrunningpb"
	"gantry.dev/pkg/authz"
	"gantry.dev/pkg/etcdkv/etcdtest"
	"gantry.dev/pkg/fault"
	"gantry.dev/pkg/grpcclient"
	"gantry.dev/pkg/grpcserver"
	"gantry.dev/pkg/mtls/mtlstest"
	"gantry.dev/pkg/seal"
	ipaasv1 "gantry.dev/proto/gen/gantry/ipaas/v1"
	gantryv1 "gantry.dev/proto/gen/gantry/v1"
	"gantry.dev/services/cluster-mgr/internal/api"
	"gantry.dev/services/cluster-mgr/internal/clusters"
	"gantry.dev/services/cluster-mgr/internal/observe"
	"gantry.dev/services/cluster-mgr/internal/planning"
	"gantry.dev/services/cluster-mgr/internal/store"
	"gantry.dev/services/cluster-mgr/internal/vault"
	"github.com/prometheus/client_golang/prometheus"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
)

// ipaas is a cluster with one identity.
type ipaas struct {
	ipaasv1.UnimplementedIpaasServiceServer
	identity string
}

func (i ipaas) GetClusterState(context.Context, *ipaasv1.GetClusterStateRequest) (*ipaasv1.GetClusterStateResponse, error) {
	return &ipaasv1.GetClusterStateResponse{Identity: i.identity, ApiServerReady: true, Nodes: []*gantryv1.NodeCapacity{node()}}, nil
}

// node has room for ten replicas of 100m and 64 MiB.
func node() *gantryv1.NodeCapacity {
	return &gantryv1.NodeCapacity{Name: "n", Ready: true, AllocatableMilliCpu: 1000, AllocatableMemoryBytes: 640 << 20}
}

// viewer sees every registered cluster as healthy and empty, unless it is blind.
type viewer struct {
	store  *store.Store
	blind  atomic.Bool
	agents atomic.Pointer[map[string]observe.AgentView]
}

func (v *viewer) View() observe.View {
	list, _, err := v.store.Clusters.List(context.Background(), "")
	if err != nil {
		return observe.View{}
	}
	out := observe.View{Clusters: map[string]observe.ClusterView{}}
	if agents := v.agents.Load(); agents != nil {
		out.Agents = *agents
	}
	for _, c := range list {
		out.Clusters[c.Name] = observe.ClusterView{Cluster: c.Value}
		if v.blind.Load() {
			continue
		}
		out.Clusters[c.Name] = observe.ClusterView{
			Cluster: c.Value, IdentityOK: true,
			State: &ipaasv1.GetClusterStateResponse{ApiServerReady: true, Nodes: []*gantryv1.NodeCapacity{node()}},
		}
	}
	return out
}

// images are what each registry holds.
type images map[string]string

func (i images) resolve(_ context.Context, registry, image string) (string, error) {
	if d, ok := i[registry+"/"+image]; ok {
		return d, nil
	}
	return "", fault.NotFound("IMAGE_NOT_FOUND", "no image %s in %s", image, registry)
}

// harness is an API over a real etcd, called as portal calls it.
type harness struct {
	t      *testing.T
	etcd   *etcdtest.Server
	store  *store.Store
	vault  *vault.Vault
	key    seal.Key
	images images
	conn   *grpc.ClientConn
	ca     *mtlstest.CA
	addr   string
	race   *race
	client *clientv3.Client
	view   *viewer
	// What the API asks.
	planner *countingPlanner
}

// countingPlanner counts migrations, and lets something happen during one.
type countingPlanner struct {
	*planning.Planner
	migrations atomic.Int32
	during     func()
}

func (p *countingPlanner) MigrateApps(ctx context.Context, r *gantryv1.MigrateAppsRequest, user string) (*longrunningpb.Operation, error) {
	if p.migrations.Add(1) == 1 && p.during != nil {
		p.during()
	}
	return p.Planner.MigrateApps(ctx, r, user)
}

// race lets something happen between what a call reads and what it writes.
type race struct {
	clientv3.KV
	mu        sync.Mutex
	meanwhile func()
}

// meanwhile runs f before the next transaction.
func (h *harness) meanwhile(f func()) {
	h.race.mu.Lock()
	defer h.race.mu.Unlock()
	h.race.meanwhile = f
}

func (r *race) Txn(ctx context.Context) clientv3.Txn {
	r.mu.Lock()
	f := r.meanwhile
	r.meanwhile = nil
	r.mu.Unlock()
	if f != nil {
		f()
	}
	return r.KV.Txn(ctx)
}

func newHarness(t *testing.T) *harness { return newHarnessWith(t, seal.New()) }

// newHarnessWith seals secrets with a key.
func newHarnessWith(t *testing.T, key seal.Key) *harness {
	t.Helper()
	h := &harness{t: t, etcd: etcdtest.Start(t), images: images{}, ca: mtlstest.New(t), key: key}
	client := h.etcd.Client(t)
	h.race, h.client = &race{KV: client.KV}, client
	client.KV = h.race
	h.store = store.New(client)
	h.vault = vault.New(h.store, h.key)
	pool := clusters.New(h.ca.Issue("cluster-mgr").Client)
	t.Cleanup(pool.Close)
	view := &viewer{store: h.store}
	h.view = view
	planner, err := planning.New(planning.Config{Store: h.store, Observer: view, Images: func(*gantryv1.Cluster, *gantryv1.App) (bool, string) { return true, "" }})
	h.ok(err)
	h.planner = &countingPlanner{Planner: planner}
	services, err := api.New(api.Config{Store: h.store, Pool: pool, Observer: view, Resolve: h.images.resolve, Fitter: planner, Planner: h.planner, Vault: h.vault, Logger: slog.New(slog.DiscardHandler)})
	h.ok(err)
	tlsConfig, err := h.ca.Issue("cluster-mgr").Server()
	h.ok(err)
	server, err := grpcserver.New(grpcserver.Config{Name: "test", Listen: "127.0.0.1:0", TLS: tlsConfig, Logger: slog.New(slog.DiscardHandler), Registry: prometheus.NewRegistry(), Authorize: services.Authorize})
	h.ok(err)
	services.Register(server.Registrar())
	run(t, server.Run)
	h.addr = server.Addr().String()
	h.conn = h.dial("portal")
	return h
}

// wipe empties the store, which is quicker than another etcd.
func (h *harness) wipe() {
	h.t.Helper()
	_, err := h.client.Delete(h.t.Context(), "/gantry", clientv3.WithPrefix())
	h.ok(err)
}

// run keeps f going until the test ends.
func run(t *testing.T, f func(context.Context) error) {
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := f(ctx); err != nil {
			t.Error(err)
		}
	}()
	t.Cleanup(func() { stop(); <-done })
}

func (h *harness) dial(commonName string) *grpc.ClientConn {
	h.t.Helper()
	tlsConfig, err := h.ca.Issue(commonName).Client("cluster-mgr")
	h.ok(err)
	conn, err := grpcclient.Dial(h.addr, tlsConfig)
	h.ok(err)
	h.t.Cleanup(func() { _ = conn.Close() })
	return conn
}

func (h *harness) ok(err error) {
	h.t.Helper()
	if err != nil {
		h.t.Fatal(err)
	}
}

// refused checks that a call failed for this reason.
func (h *harness) refused(err error, reason string) {
	h.t.Helper()
	if !fault.HasReason(err, reason) {
		h.t.Errorf("got %v, want %s", err, reason)
	}
}

// admin and as are contexts of users.
func (h *harness) admin() context.Context { return h.as("admin", authz.OperatorsGroup) }

func (h *harness) as(user string, groups ...string) context.Context {
	return authz.ToOutgoing(h.t.Context(), authz.Identity{User: user, Groups: groups})
}

// cluster starts an ipaas and gives the cluster that it wraps.
func (h *harness) cluster(name, identity string) *gantryv1.Cluster {
	h.t.Helper()
	return h.clusterOf(name, ipaas{identity: identity})
}

// clusterOf does so with an ipaas that does more.
func (h *harness) clusterOf(name string, of ipaasv1.IpaasServiceServer) *gantryv1.Cluster {
	h.t.Helper()
	tlsConfig, err := h.ca.Issue("ipaas." + name).Server()
	h.ok(err)
	listener, err := (&net.ListenConfig{}).Listen(h.t.Context(), "tcp", "127.0.0.1:0")
	h.ok(err)
	server := grpc.NewServer(grpc.Creds(credentials.NewTLS(tlsConfig)))
	ipaasv1.RegisterIpaasServiceServer(server, of)
	done := make(chan struct{})
	go func() { defer close(done); _ = server.Serve(listener) }()
	h.t.Cleanup(func() { server.Stop(); <-done })
	return &gantryv1.Cluster{Name: "clusters/" + name, IpaasAddress: listener.Addr().String(), Registry: name + ":5000"}
}

// platform registers site-a, makes the project pay with ann as developer, and
// puts hello:v1 and hello:v2 into the registry.
func (h *harness) platform() {
	h.t.Helper()
	_, err := gantryv1.NewClusterServiceClient(h.conn).CreateCluster(h.admin(), &gantryv1.CreateClusterRequest{Cluster: h.cluster("site-a", "uid-a")})
	h.ok(err)
	_, err = gantryv1.NewProjectServiceClient(h.conn).CreateProject(h.admin(), &gantryv1.CreateProjectRequest{Project: &gantryv1.Project{
		Name:    "projects/pay",
		Members: []*gantryv1.Member{{Subject: "user:ann", Role: gantryv1.Member_ROLE_DEVELOPER}, {Subject: "user:vic", Role: gantryv1.Member_ROLE_VIEWER}},
	}})
	h.ok(err)
	h.images["site-a:5000/hello:v1"] = "sha256:1111"
	h.images["site-a:5000/hello:v2"] = "sha256:2222"
}

// web is a small app.
func web(change ...func(*gantryv1.AppSpec)) *gantryv1.App {
	app := &gantryv1.App{Name: "projects/pay/apps/web", Spec: &gantryv1.AppSpec{
		Image: "hello:v1", Replicas: 2,
		Resources: &gantryv1.Resources{Cpu: "100m", Memory: "64Mi"},
		Ports:     []*gantryv1.Port{{Name: "http", Port: 8080}},
	}}
	for _, c := range change {
		c(app.GetSpec())
	}
	return app
}

func (h *harness) apply(app *gantryv1.App) (*gantryv1.App, error) {
	return gantryv1.NewAppServiceClient(h.conn).UpdateApp(h.as("ann"), &gantryv1.UpdateAppRequest{App: app, AllowMissing: true})
}

// says checks that an error has these words.
func (h *harness) says(err error, words string) {
	h.t.Helper()
	if err == nil || !strings.Contains(err.Error(), words) {
		h.t.Errorf("got %v, want it to say %q", err, words)
	}
}
