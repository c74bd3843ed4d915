package probe

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gantry.dev/services/gantry/internal/local/pki"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/health"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func identity(t *testing.T) Identity {
	t.Helper()
	dir := t.TempDir()
	ca, err := pki.Open(filepath.Join(dir, "ca"), "test", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	base := filepath.Join(dir, "x")
	if err := ca.Issue(base, pki.Leaf{CN: "x"}, time.Now()); err != nil {
		t.Fatal(err)
	}
	return Identity{Cert: base + ".crt", Key: base + ".key", CA: ca.File}
}

func server(t *testing.T, id *Identity, answer http.HandlerFunc) string {
	t.Helper()
	s := httptest.NewUnstartedServer(answer)
	s.Config.ErrorLog = nil
	if id == nil {
		s.Start()
	} else {
		config, err := id.config()
		if err != nil {
			t.Fatal(err)
		}
		config.ClientCAs, config.ClientAuth = config.RootCAs, tls.RequireAndVerifyClientCert
		s.TLS = config
		s.StartTLS()
	}
	t.Cleanup(func() { s.Close(); http.DefaultTransport.(*http.Transport).CloseIdleConnections() })
	return s.URL
}

func TestHTTP(t *testing.T) {
	code := http.StatusOK
	url := server(t, nil, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) })
	if err := HTTP(url)(t.Context()); err != nil {
		t.Error(err)
	}
	code = http.StatusServiceUnavailable
	if err := HTTP(url)(t.Context()); err == nil || !strings.Contains(err.Error(), "503") {
		t.Errorf("error is %v", err)
	}
}

func TestHTTPSKnowsBothSides(t *testing.T) {
	id, stranger := identity(t), identity(t)
	url := server(t, &id, func(http.ResponseWriter, *http.Request) {})
	if err := HTTPS(url, id)(t.Context()); err != nil {
		t.Error(err)
	}
	if err := HTTPS(url, stranger)(t.Context()); err == nil {
		t.Error("a server of another authority counts as ready")
	}
	if err := HTTPS(url, Identity{})(t.Context()); err == nil {
		t.Error("missing files count as ready")
	}
	if err := SelfSigned(url)(t.Context()); err == nil {
		t.Error("a probe without certificate got in")
	}
}

func TestNodeReady(t *testing.T) {
	tests := []struct {
		name, body string
		ready      bool
		says       string
	}{
		{"ready", `{"status":{"conditions":[{"type":"MemoryPressure","status":"False"},{"type":"Ready","status":"True"}]}}`, true, ""},
		{"not ready", `{"status":{"conditions":[{"type":"Ready","status":"False","message":"no network"}]}}`, false, "no network"},
		{"unknown", `{"status":{"conditions":[{"type":"Ready","status":"Unknown","message":"silent"}]}}`, false, "silent"},
		{"new", `{"status":{}}`, false, "has not reported"},
		{"no node", `[]`, false, "cannot unmarshal"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			err := nodeReady([]byte(test.body))
			if test.ready != (err == nil) || (err != nil && !strings.Contains(err.Error(), test.says)) {
				t.Errorf("error is %v", err)
			}
		})
	}
}

func TestUnix(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	if err := Unix(path)(t.Context()); err == nil {
		t.Error("no socket counts as ready")
	}
	listener, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	if err := Unix(path)(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestGRPC(t *testing.T) {
	id := identity(t)
	config, err := id.config()
	if err != nil {
		t.Fatal(err)
	}
	config.NextProtos = []string{"h2"}
	var refuse codes.Code
	deny := func(ctx context.Context, req any, _ *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
		if refuse != codes.OK {
			return nil, status.Error(refuse, "no")
		}
		return next(ctx, req)
	}
	s := grpc.NewServer(grpc.Creds(credentials.NewTLS(config)), grpc.UnaryInterceptor(deny))
	state := health.NewServer()
	healthv1.RegisterHealthServer(s, state)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() { defer close(done); _ = s.Serve(listener) }()
	t.Cleanup(func() { s.Stop(); <-done })
	ask := GRPC(listener.Addr().String(), id)
	if err := ask(t.Context()); err != nil {
		t.Error(err)
	}
	state.SetServingStatus("", healthv1.HealthCheckResponse_NOT_SERVING)
	if err := ask(t.Context()); err == nil || !strings.Contains(err.Error(), "NOT_SERVING") {
		t.Errorf("error is %v", err)
	}
	for code, ready := range map[codes.Code]bool{codes.PermissionDenied: true, codes.Unauthenticated: true, codes.Unimplemented: true, codes.Internal: false} {
		refuse = code
		if err := ask(t.Context()); (err == nil) != ready {
			t.Errorf("%v: error is %v", code, err)
		}
	}
}
