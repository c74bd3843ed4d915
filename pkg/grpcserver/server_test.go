package grpcserver_test

import (
	"context"
	"log/slog"
	"strings"
	"testing"
	"time"

	"gantry.dev/pkg/fault"
	"gantry.dev/pkg/grpcclient"
	"gantry.dev/pkg/grpcserver"
	"gantry.dev/pkg/mtls"
	"gantry.dev/pkg/mtls/mtlstest"
	gantryv1 "gantry.dev/proto/gen/gantry/v1"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// apps answers what its request's name asks for.
type apps struct {
	gantryv1.UnimplementedAppServiceServer
}

func (apps) GetApp(ctx context.Context, r *gantryv1.GetAppRequest) (*gantryv1.App, error) {
	switch r.GetName() {
	case "projects/pay/apps/panic":
		panic("a defect")
	case "projects/pay/apps/none":
		return nil, fault.NotFound("APP_NOT_FOUND", "there is no app none")
	case "projects/pay/apps/peer":
		return &gantryv1.App{Name: mtls.PeerName(ctx)}, nil
	}
	return &gantryv1.App{Name: r.GetName()}, nil
}

func (apps) WatchApps(r *gantryv1.WatchAppsRequest, s grpc.ServerStreamingServer[gantryv1.WatchAppsResponse]) error {
	return s.Send(&gantryv1.WatchAppsResponse{ResourceVersion: r.GetParent()})
}

// serve runs a server with the fake until the test ends.
func serve(t *testing.T, authorize func(context.Context, string, any) (context.Context, error)) *grpc.ClientConn {
	t.Helper()
	ca := mtlstest.New(t)
	tlsConfig, err := ca.Issue("cluster-mgr").Server()
	if err != nil {
		t.Fatal(err)
	}
	server, err := grpcserver.New(grpcserver.Config{
		Name: "test", Listen: "127.0.0.1:0", TLS: tlsConfig, Logger: slog.New(slog.DiscardHandler),
		Registry: prometheus.NewRegistry(), Authorize: authorize,
	})
	if err != nil {
		t.Fatal(err)
	}
	gantryv1.RegisterAppServiceServer(server.Registrar(), apps{})
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- server.Run(ctx) }()
	clientTLS, err := ca.Issue("portal").Client("cluster-mgr")
	if err != nil {
		t.Fatal(err)
	}
	conn, err := grpcclient.Dial(server.Addr().String(), clientTLS)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = conn.Close()
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return conn
}

func everybody(ctx context.Context, _ string, _ any) (context.Context, error) { return ctx, nil }

func TestWhatACallerGets(t *testing.T) {
	client := gantryv1.NewAppServiceClient(serve(t, everybody))
	tests := []struct {
		name   string
		kind   fault.Kind
		reason string
	}{
		{"projects/pay/apps/none", fault.KindNotFound, "APP_NOT_FOUND"},
		{"projects/pay/apps/panic", fault.KindInternal, "PANIC"},
		{"apps/web", fault.KindInvalid, "INVALID_FIELDS"},
	}
	for _, tc := range tests {
		_, err := client.GetApp(t.Context(), &gantryv1.GetAppRequest{Name: tc.name})
		if !fault.Is(err, tc.kind) || !fault.HasReason(err, tc.reason) {
			t.Errorf("%s: got %v", tc.name, err)
		}
	}
	app, err := client.GetApp(t.Context(), &gantryv1.GetAppRequest{Name: "projects/pay/apps/peer"})
	if err != nil || app.GetName() != "portal" {
		t.Errorf("the peer's name is %q, %v", app.GetName(), err)
	}
}

func TestAWrongFieldIsNamed(t *testing.T) {
	client := gantryv1.NewAppServiceClient(serve(t, everybody))
	_, err := client.GetApp(t.Context(), &gantryv1.GetAppRequest{Name: "apps/web"})
	if v := fault.From(err).Violations; len(v) != 1 || v[0].Field != "name" {
		t.Errorf("violations %v", v)
	}
}

// rule E1
func TestAuthorizeComesBeforeTheMethod(t *testing.T) {
	conn := serve(t, func(ctx context.Context, method string, _ any) (context.Context, error) {
		return ctx, fault.Denied("DENIED", "not for you: %s", method)
	})
	client := gantryv1.NewAppServiceClient(conn)
	if _, err := client.GetApp(t.Context(), &gantryv1.GetAppRequest{Name: "projects/pay/apps/panic"}); !fault.Is(err, fault.KindDenied) || !strings.Contains(err.Error(), "/gantry.v1.AppService/GetApp") {
		t.Errorf("got %v", err)
	}
	stream, err := client.WatchApps(t.Context(), &gantryv1.WatchAppsRequest{Parent: "projects/pay"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Recv(); !fault.Is(err, fault.KindDenied) {
		t.Errorf("a stream was let in: %v", err)
	}
	if r, err := healthpb.NewHealthClient(conn).Check(t.Context(), &healthpb.HealthCheckRequest{}); err != nil || r.GetStatus() != healthpb.HealthCheckResponse_SERVING {
		t.Errorf("health: %v, %v", r, err)
	}
}

func TestADeadServerIsUnavailableWithinTheDeadline(t *testing.T) {
	tlsConfig, err := mtlstest.New(t).Issue("portal").Client("cluster-mgr")
	if err != nil {
		t.Fatal(err)
	}
	conn, err := grpcclient.Dial("127.0.0.1:1", tlsConfig)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	start := time.Now()
	_, err = gantryv1.NewAppServiceClient(conn).GetApp(t.Context(), &gantryv1.GetAppRequest{Name: "projects/pay/apps/web"})
	if !fault.Is(err, fault.KindUnavailable) || time.Since(start) > grpcclient.DefaultDeadline {
		t.Errorf("got %v after %s", err, time.Since(start))
	}
}
