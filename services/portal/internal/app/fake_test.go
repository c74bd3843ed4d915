package app

import (
	"context"
	"net"
	"sync"
	"testing"

	"gantry.dev/pkg/authz"
	"gantry.dev/pkg/fault"
	"gantry.dev/pkg/mtls"
	ipaasv1 "gantry.dev/proto/gen/gantry/ipaas/v1"
	gantryv1 "gantry.dev/proto/gen/gantry/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/health"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/reflection"
	"google.golang.org/protobuf/types/known/emptypb"
)

// clusterMgr is a cluster-mgr that keeps apps in memory and remembers the
// metadata it was called with.
type clusterMgr struct {
	gantryv1.UnimplementedAppServiceServer

	server  *grpc.Server
	health  *health.Server
	address string

	mu    sync.Mutex
	apps  map[string]*gantryv1.App
	calls []metadata.MD
}

// startClusterMgr serves with the given certificate until the test ends.
func startClusterMgr(t *testing.T, files mtls.Files) *clusterMgr {
	t.Helper()
	tlsConfig, err := files.Server()
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	m := &clusterMgr{
		server:  grpc.NewServer(grpc.Creds(credentials.NewTLS(tlsConfig)), grpc.UnaryInterceptor(asStatus)),
		health:  health.NewServer(),
		address: listener.Addr().String(),
		apps:    map[string]*gantryv1.App{},
	}
	gantryv1.RegisterAppServiceServer(m.server, m)
	ipaasv1.RegisterIpaasServiceServer(m.server, ipaasv1.UnimplementedIpaasServiceServer{})
	healthv1.RegisterHealthServer(m.server, m.health)
	reflection.Register(m.server)
	done := make(chan struct{})
	go func() { defer close(done); _ = m.server.Serve(listener) }()
	t.Cleanup(func() { m.server.Stop(); <-done })
	return m
}

func asStatus(ctx context.Context, req any, _ *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
	resp, err := handler(ctx, req)
	return resp, fault.ToStatus(err).Err()
}

// seen returns the metadata of all calls of apps so far.
func (m *clusterMgr) seen() []metadata.MD {
	m.mu.Lock()
	defer m.mu.Unlock()
	return append([]metadata.MD(nil), m.calls...)
}

func (m *clusterMgr) remember(ctx context.Context) {
	md, _ := metadata.FromIncomingContext(ctx)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.calls = append(m.calls, md)
}

func (m *clusterMgr) GetApp(ctx context.Context, r *gantryv1.GetAppRequest) (*gantryv1.App, error) {
	m.remember(ctx)
	m.mu.Lock()
	defer m.mu.Unlock()
	app, ok := m.apps[r.GetName()]
	if !ok {
		return nil, fault.NotFound("APP_NOT_FOUND", "there is no app %s; list them with gantry get apps", r.GetName())
	}
	return app, nil
}

func (m *clusterMgr) UpdateApp(ctx context.Context, r *gantryv1.UpdateAppRequest) (*gantryv1.App, error) {
	m.remember(ctx)
	if id, ok := authz.FromIncoming(ctx); !ok || !id.Operator() {
		return nil, fault.Denied("PERMISSION_DENIED", "ask an owner of the project for the role DEVELOPER")
	}
	if r.GetApp().GetSpec().GetReplicas() < 0 {
		return nil, fault.Invalid("INVALID_FIELDS", "replicas").With(fault.Violation{Field: "app.spec.replicas", Description: "at least 0"})
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.apps[r.GetApp().GetName()] = r.GetApp()
	return r.GetApp(), nil
}

func (m *clusterMgr) DeleteApp(ctx context.Context, _ *gantryv1.DeleteAppRequest) (*emptypb.Empty, error) {
	m.remember(ctx)
	return &emptypb.Empty{}, nil
}

func (m *clusterMgr) WatchApps(r *gantryv1.WatchAppsRequest, out grpc.ServerStreamingServer[gantryv1.WatchAppsResponse]) error {
	m.remember(out.Context())
	for _, event := range []*gantryv1.WatchAppsResponse{
		{Event: gantryv1.WatchAppsResponse_EVENT_PUT, App: &gantryv1.App{Name: r.GetParent() + "/apps/web"}, ResourceVersion: "1"},
		{Event: gantryv1.WatchAppsResponse_EVENT_BOOKMARK, ResourceVersion: "1"},
	} {
		if err := out.Send(event); err != nil {
			return err
		}
	}
	<-out.Context().Done()
	return nil
}
