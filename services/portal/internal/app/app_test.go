package app

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"gantry.dev/pkg/fault"
	"gantry.dev/pkg/mtls/mtlstest"
	ipaasv1 "gantry.dev/proto/gen/gantry/ipaas/v1"
	gantryv1 "gantry.dev/proto/gen/gantry/v1"
	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const web = "projects/pay/apps/web"

func start(t *testing.T) (*harness, *clusterMgr) {
	t.Helper()
	ca := mtlstest.New(t)
	mgr := startClusterMgr(t, ca.Issue("cluster-mgr"))
	return startPortal(t, ca, mgr.address), mgr
}

func TestRESTReachesClusterMgr(t *testing.T) {
	h, mgr := start(t)
	code, body := h.do("PATCH", "/v1/"+web, `{"spec":{"image":"hello:v1","replicas":4}}`, nil)
	if code != http.StatusOK {
		t.Fatalf("update: %d %s", code, body)
	}
	code, body = h.do("GET", "/v1/"+web, "", nil)
	var app struct {
		Name string
		Spec struct{ DrainSeconds *int }
	}
	if err := json.Unmarshal([]byte(body), &app); err != nil || code != http.StatusOK {
		t.Fatalf("get: %d %s: %v", code, body, err)
	}
	if app.Name != web || app.Spec.DrainSeconds == nil {
		t.Errorf("the answer must have lowerCamel names and empty fields, got %s", body)
	}
	md := mgr.seen()[0]
	if got := md.Get("x-gantry-user"); !cmp.Equal(got, []string{"ann"}) {
		t.Errorf("user passed on: %q", got)
	}
	if got := md.Get("x-gantry-groups"); !cmp.Equal(got, []string{"gantry:operators"}) {
		t.Errorf("groups passed on: %q", got)
	}
}

func TestRESTErrors(t *testing.T) {
	h, _ := start(t)
	tests := []struct {
		name, method, path, body string
		status                   int
		reason, field            string
	}{
		{"not found", "GET", "/v1/projects/pay/apps/none", "", 404, "APP_NOT_FOUND", ""},
		{"unknown path", "GET", "/v1/nothing", "", 404, "PATH_UNKNOWN", ""},
		{"wrong method", "PUT", "/v1/clusters", "", 405, "METHOD_UNKNOWN", ""},
		{"unknown field", "PATCH", "/v1/" + web, `{"spec":{"replcas":1}}`, 400, "REQUEST_MALFORMED", ""},
		{"wrong type", "PATCH", "/v1/" + web, `{"spec":{"replicas":"many"}}`, 400, "REQUEST_MALFORMED", ""},
		{"violation", "PATCH", "/v1/" + web, `{"spec":{"replicas":-1}}`, 400, "INVALID_FIELDS", "app.spec.replicas"},
		{"too large", "PATCH", "/v1/" + web, `{"name":"` + strings.Repeat("x", maxBodyBytes) + `"}`, 413, "REQUEST_TOO_LARGE", ""},
		{"unimplemented", "GET", "/v1/clusters", "", 501, "UNIMPLEMENTED", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			code, body := h.do(tt.method, tt.path, tt.body, nil)
			var got struct {
				Message string
				Details []struct {
					Type            string `json:"@type"`
					Reason          string
					FieldViolations []struct{ Field string }
				}
			}
			if err := json.Unmarshal([]byte(body), &got); err != nil || len(got.Details) == 0 {
				t.Fatalf("%d %s: %v", code, body, err)
			}
			if code != tt.status || got.Details[0].Reason != tt.reason || got.Message == "" {
				t.Errorf("got %d %s, want %d %s", code, body, tt.status, tt.reason)
			}
			if tt.field != "" && got.Details[1].FieldViolations[0].Field != tt.field {
				t.Errorf("violations: %s", body)
			}
		})
	}
}

// rule E2
func TestHeadersFromOutsideAreStripped(t *testing.T) {
	h, mgr := start(t)
	smuggled := http.Header{
		"X-Gantry-User": {"root"}, "X-Gantry-Groups": {"root"},
		"Grpc-Metadata-X-Gantry-User": {"root"}, "Grpc-Metadata-X-Gantry-Groups": {"root"},
		"Grpcgateway-X-Gantry-User": {"root"}, "X-Forwarded-User": {"root"}, "Cookie": {"user=root"},
		"X-Http-Method-Override": {"DELETE"},
	}
	h.do("GET", "/v1/"+web, "", smuggled)
	ctx := metadata.AppendToOutgoingContext(t.Context(), "x-gantry-user", "root", "x-gantry-groups", "root", "other", "root")
	_, _ = gantryv1.NewAppServiceClient(h.dial(h.token())).GetApp(ctx, &gantryv1.GetAppRequest{Name: web})
	calls := mgr.seen()
	if len(calls) != 2 {
		t.Fatalf("%d calls reached cluster-mgr, want 2", len(calls))
	}
	for _, md := range calls {
		for key, values := range md {
			if strings.Contains(strings.Join(values, " "), "root") || key == "authorization" {
				t.Errorf("cluster-mgr received %s: %q", key, values)
			}
		}
		if got := md.Get("x-gantry-user"); !cmp.Equal(got, []string{"ann"}) {
			t.Errorf("user: %q", got)
		}
	}
}

func TestGRPCUnaryAndErrors(t *testing.T) {
	h, _ := start(t)
	apps := gantryv1.NewAppServiceClient(h.dial(h.token()))
	want := &gantryv1.App{Name: web, Spec: &gantryv1.AppSpec{Image: "hello:v1", Replicas: 3}}
	if _, err := apps.UpdateApp(t.Context(), &gantryv1.UpdateAppRequest{App: want}); err != nil {
		t.Fatal(err)
	}
	got, err := apps.GetApp(t.Context(), &gantryv1.GetAppRequest{Name: web})
	if err != nil || got.GetSpec().GetReplicas() != 3 {
		t.Fatalf("got %v, %v", got, err)
	}
	_, err = apps.GetApp(t.Context(), &gantryv1.GetAppRequest{Name: "projects/pay/apps/none"})
	if !fault.HasReason(err, "APP_NOT_FOUND") {
		t.Errorf("the details of an error must pass: %v", err)
	}
	want.Spec.Replicas = -1
	_, err = apps.UpdateApp(t.Context(), &gantryv1.UpdateAppRequest{App: want})
	if v := fault.From(err).Violations; len(v) != 1 || v[0].Field != "app.spec.replicas" {
		t.Errorf("violations: %v", v)
	}
	large := &gantryv1.UpdateAppRequest{App: &gantryv1.App{Name: strings.Repeat("x", maxBodyBytes)}}
	if _, err := apps.UpdateApp(t.Context(), large); status.Code(err) != codes.ResourceExhausted {
		t.Errorf("a message that is too large: %v", err)
	}
}

func TestGRPCWatch(t *testing.T) {
	h, _ := start(t)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	stream, err := gantryv1.NewAppServiceClient(h.dial(h.token())).WatchApps(ctx, &gantryv1.WatchAppsRequest{Parent: "projects/pay"})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []gantryv1.WatchAppsResponse_Event{gantryv1.WatchAppsResponse_EVENT_PUT, gantryv1.WatchAppsResponse_EVENT_BOOKMARK} {
		event, err := stream.Recv()
		if err != nil || event.GetEvent() != want {
			t.Fatalf("got %v, %v; want %v", event, err, want)
		}
	}
}

func TestStreamEndsWithToken(t *testing.T) {
	h, _ := start(t)
	short := claims()
	short["exp"] = time.Now().Add(2 * time.Second).Unix()
	stream, err := gantryv1.NewAppServiceClient(h.dial(sign(t, h.signer, short))).WatchApps(t.Context(), &gantryv1.WatchAppsRequest{Parent: "projects/pay"})
	for err == nil {
		_, err = stream.Recv()
	}
	if !fault.HasReason(err, "TOKEN_EXPIRED") {
		t.Errorf("a watch must end when its token does, got %v", err)
	}
}

func TestStreamsEndWhenPortalStops(t *testing.T) {
	h, _ := start(t)
	stream, err := gantryv1.NewAppServiceClient(h.dial(h.token())).WatchApps(t.Context(), &gantryv1.WatchAppsRequest{Parent: "projects/pay"})
	if err == nil {
		_, err = stream.Recv()
	}
	if err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	h.stop()
	for err == nil {
		_, err = stream.Recv()
	}
	if !fault.HasReason(err, "PORTAL_STOPPING") || time.Since(begin) > shutdownTimeout/2 {
		t.Errorf("after %s: %v", time.Since(begin), err)
	}
}

func TestRESTWatchIsOneObjectPerLine(t *testing.T) {
	h, _ := start(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	req, _ := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+h.address+"/v1/projects/pay/apps:watch", nil)
	req.Header.Set("Authorization", "Bearer "+h.token())
	resp, err := h.client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	lines := bufio.NewScanner(resp.Body)
	for _, want := range []string{"EVENT_PUT", "EVENT_BOOKMARK"} {
		var got struct{ Result struct{ Event string } }
		if !lines.Scan() || json.Unmarshal(lines.Bytes(), &got) != nil || got.Result.Event != want {
			t.Fatalf("line %q, want %s", lines.Text(), want)
		}
	}
}

func TestInternalServicesAreRefused(t *testing.T) {
	h, _ := start(t)
	_, err := ipaasv1.NewIpaasServiceClient(h.dial(h.token())).GetClusterState(t.Context(), &ipaasv1.GetClusterStateRequest{})
	if !fault.HasReason(err, "METHOD_UNKNOWN") {
		t.Errorf("got %v", err)
	}
}

// rule E2
func TestTokens(t *testing.T) {
	h, mgr := start(t)
	good := claims()
	without := func(name string, value any) string {
		c := claims()
		if value == nil {
			delete(c, name)
		} else {
			c[name] = value
		}
		return sign(t, h.signer, c)
	}
	tests := map[string]string{
		"none":          "",
		"nonsense":      "abc",
		"other key":     sign(t, newSigner(t), good),
		"other issuer":  without("iss", "https://evil.test"),
		"other aud":     without("aud", "else"),
		"expired":       without("exp", time.Now().Add(-time.Second).Unix()),
		"no exp":        without("exp", nil),
		"not yet valid": without("nbf", time.Now().Add(2*time.Minute).Unix()),
		"no subject":    without("sub", nil),
		"bad subject":   without("sub", "ann\nx"),
		"platform":      without("sub", "gantry"),
		"alg none":      "eyJhbGciOiJub25lIn0." + strings.Split(h.token(), ".")[1] + ".",
	}
	for name, token := range tests {
		t.Run(name, func(t *testing.T) {
			code, body := h.do("GET", "/v1/"+web, "", http.Header{"Authorization": {"Bearer " + token}})
			if code != http.StatusUnauthorized || !strings.Contains(body, "TOKEN_") {
				t.Errorf("REST: %d %s", code, body)
			}
			_, err := gantryv1.NewAppServiceClient(h.dial(token)).GetApp(t.Context(), &gantryv1.GetAppRequest{Name: web})
			if !fault.Is(err, fault.KindUnauthenticated) {
				t.Errorf("gRPC: %v", err)
			}
		})
	}
	if calls := mgr.seen(); len(calls) != 0 {
		t.Errorf("%d calls without a good token reached cluster-mgr", len(calls))
	}
}

func TestOpenPaths(t *testing.T) {
	h, _ := start(t)
	for path, want := range map[string]string{"/openapi.json": `"swagger": "2.0"`, "/healthz": `{"status":"ok"}`} {
		eventually(t, path, func() bool {
			resp, err := h.client().Get("https://" + h.address + path)
			if err != nil {
				return false
			}
			defer resp.Body.Close()
			body, _ := io.ReadAll(resp.Body)
			return resp.StatusCode == http.StatusOK && strings.Contains(string(body), want)
		})
	}
}

func TestHealthzSaysUnavailableWithoutClusterMgr(t *testing.T) {
	ca := mtlstest.New(t)
	other := startClusterMgr(t, ca.Issue("not-cluster-mgr"))
	h := startPortal(t, ca, other.address)
	if code, body := h.do("GET", "/healthz", "", nil); code != http.StatusServiceUnavailable {
		t.Errorf("got %d %s", code, body)
	}
	answer, err := healthv1.NewHealthClient(h.dial("")).Check(t.Context(), &healthv1.HealthCheckRequest{})
	if err != nil || answer.GetStatus() != healthv1.HealthCheckResponse_NOT_SERVING {
		t.Errorf("over gRPC: %v, %v", answer, err)
	}
	if code, body := h.do("GET", "/v1/"+web, "", nil); code != http.StatusServiceUnavailable || len(other.seen()) != 0 {
		t.Errorf("a server with another name must not be asked: %d %s", code, body)
	}
}

func TestAudit(t *testing.T) {
	h, _ := start(t)
	h.do("PATCH", "/v1/"+web, `{"spec":{"image":"hello:v1"}}`, nil)
	_, _ = gantryv1.NewAppServiceClient(h.dial(h.token())).DeleteApp(t.Context(), &gantryv1.DeleteAppRequest{Name: web})
	h.do("GET", "/v1/"+web, "", nil)
	type line struct{ Msg, User, Method, Resource, Code, Protocol string }
	var got []line
	eventually(t, "two lines", func() bool {
		got = nil
		for text := range strings.Lines(h.log.String()) {
			var l line
			if json.Unmarshal([]byte(text), &l) == nil && l.Msg == "audit" {
				got = append(got, l)
			}
		}
		return len(got) == 2
	})
	want := []line{
		{"audit", "ann", "/gantry.v1.AppService/UpdateApp", web, "OK", "rest"},
		{"audit", "ann", "/gantry.v1.AppService/DeleteApp", web, "OK", "grpc"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// rule E4
func TestStreamsPerUserAreLimited(t *testing.T) {
	h, _ := start(t)
	conn := h.dial(h.token())
	var streams []grpc.ServerStreamingClient[gantryv1.WatchAppsResponse]
	for range streamsPerUser {
		s, err := gantryv1.NewAppServiceClient(conn).WatchApps(t.Context(), &gantryv1.WatchAppsRequest{Parent: "projects/pay"})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Recv(); err != nil {
			t.Fatal(err)
		}
		streams = append(streams, s)
	}
	code, body := h.do("GET", "/v1/projects/pay/apps:watch", "", nil)
	if code != http.StatusTooManyRequests || !strings.Contains(body, "TOO_MANY_CALLS") {
		t.Errorf("got %d %s after %d streams", code, body, len(streams))
	}
}

// eventually polls because the other side's goroutines decide when.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		if ok() {
			return
		}
	}
	t.Fatalf("not within 10 s: %s", what)
}
