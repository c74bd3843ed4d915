package e2e

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const appURL = "/v1/projects/demo/apps/hello"

// rest calls portal as curl would.
type rest struct {
	t      *testing.T
	client *http.Client
	token  string
}

func newREST(t *testing.T) *rest {
	t.Helper()
	pem, err := os.ReadFile(filepath.Join(local, "pki", "ca.crt"))
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem)
	token, err := os.ReadFile(filepath.Join(local, "tokens", "admin.jwt"))
	if err != nil {
		t.Fatal(err)
	}
	return &rest{t, &http.Client{
		Timeout:   30 * time.Second,
		Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS13}},
	}, strings.TrimSpace(string(token))}
}

// try gives the status and the body, or why there is none.
func (r *rest) try(method, path, body string, headers ...string) (int, []byte, error) {
	request, err := http.NewRequestWithContext(r.t.Context(), method, "https://127.0.0.1:8443"+path, strings.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	if r.token != "" {
		request.Header.Set("Authorization", "Bearer "+r.token)
	}
	for i := 0; i < len(headers); i += 2 {
		request.Header.Set(headers[i], headers[i+1])
	}
	response, err := r.client.Do(request)
	if err != nil {
		return 0, nil, err
	}
	defer response.Body.Close()
	b, err := io.ReadAll(response.Body)
	return response.StatusCode, b, err
}

// call gives the status and the body as JSON.
func (r *rest) call(method, path, body string, headers ...string) (int, map[string]any) {
	r.t.Helper()
	code, b, err := r.try(method, path, body, headers...)
	if err != nil {
		r.t.Fatal(err)
	}
	var v map[string]any
	if err := json.Unmarshal(b, &v); err != nil {
		r.t.Fatalf("%s %s answers %q", method, path, b)
	}
	return code, v
}

// want checks status and, in an error, the reason.
func (r *rest) want(method, path, body string, status int, reason string, headers ...string) map[string]any {
	r.t.Helper()
	code, v := r.call(method, path, body, headers...)
	if code != status || reason != "" && !strings.Contains(fmt.Sprint(v["details"]), reason) {
		r.t.Errorf("%s %s: %d %v, want %d %s", method, path, code, v, status, reason)
	}
	return v
}

func Test03API(t *testing.T) {
	platform(t)
	settled(t)
	r := newREST(t)
	if doc := r.want("GET", "/openapi.json", "", 200, ""); doc["paths"] == nil {
		t.Error("the OpenAPI document has no paths")
	}
	got := r.want("GET", appURL, "", 200, "")
	etag, _ := got["etag"].(string)
	r.want("PATCH", appURL, fmt.Sprintf(`{"spec":{"grace_seconds":40},"etag":%q}`, etag), 200, "")
	r.want("PATCH", appURL, fmt.Sprintf(`{"spec":{"grace_seconds":50},"etag":%q}`, etag), 409, "ETAG_MISMATCH")
	r.want("POST", "/v1/projects/demo/apps?validateOnly=true", `{"name":"projects/demo/apps/trial","spec":{"image":"hello:v1","replicas":1}}`, 200, "")
	r.want("GET", "/v1/projects/demo/apps/trial", "", 404, "APP_NOT_FOUND")
	r.want("POST", "/v1/projects?requestId=e2e-03", `{"name":"projects/once"}`, 200, "")
	r.want("POST", "/v1/projects?requestId=e2e-03", `{"name":"projects/once"}`, 200, "")
	r.want("POST", "/v1/projects", `{"name":"projects/once"}`, 409, "PROJECT_EXISTS")
	r.want("POST", "/v1/projects", `{"name":"projects/Not OK"}`, 400, "INVALID_FIELDS")
	settled(t)

	good := r.token
	for name, token := range map[string]string{"none": "", "broken": good[:len(good)-4] + "AAAA", "not a token": "x"} {
		r.token = token
		if code, _ := r.call("GET", appURL, ""); code != 401 {
			t.Errorf("token %s: %d", name, code)
		}
		if code, _ := r.call("GET", appURL, "", "X-Gantry-User", "admin", "Grpc-Metadata-X-Gantry-Groups", "gantry:operators"); code != 401 {
			t.Errorf("token %s with a forged identity: %d", name, code)
		}
	}
}
