package platform

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// fakePortal answers by path and remembers what it was sent.
type fakePortal struct {
	answers map[string]string
	bodies  map[string]string
}

func (f *fakePortal) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	what := r.Method + " " + r.URL.Path
	f.bodies[what] = string(body)
	answer, ok := f.answers[what]
	switch {
	case r.Header.Get("Authorization") != "Bearer secret":
		http.Error(w, "who are you?", http.StatusUnauthorized)
	case !ok:
		http.Error(w, `{"reason":"EXISTS"}`, http.StatusConflict)
	default:
		_, _ = io.WriteString(w, answer)
	}
}

func portal(t *testing.T, answers map[string]string) (*API, *fakePortal) {
	t.Helper()
	fake := &fakePortal{answers: answers, bodies: map[string]string{}}
	server := httptest.NewServer(fake)
	t.Cleanup(server.Close)
	return &API{base: server.URL, token: "secret", client: server.Client()}, fake
}

func TestCreateApp(t *testing.T) {
	const path = "POST /v1/projects/bench-01/apps"
	api, fake := portal(t, map[string]string{path: "{}"})
	err := api.CreateApp(t.Context(), App{Key: "gantry-bench-01/app-0001", Replicas: 4, MaxReplicas: 20, TargetPercent: 50})
	if err != nil {
		t.Fatal(err)
	}
	var sent struct {
		Name string
		Spec struct {
			Replicas  int
			Autoscale struct {
				Rounding string
				Metrics  []struct{ TargetPercent int }
			}
		}
	}
	if err := json.Unmarshal([]byte(fake.bodies[path]), &sent); err != nil {
		t.Fatal(err)
	}
	if sent.Name != "projects/bench-01/apps/app-0001" || sent.Spec.Replicas != 4 || sent.Spec.Autoscale.Rounding != "ROUNDING_UP" || sent.Spec.Autoscale.Metrics[0].TargetPercent != 50 {
		t.Errorf("%+v", sent)
	}
	if err := api.CreateApp(t.Context(), App{Key: "gantry-bench-02/app", Replicas: 1}); !errors.Is(err, ErrConflict) {
		t.Errorf("a conflict: %v", err)
	}
	if strings.Contains(fake.bodies["POST /v1/projects/bench-02/apps"], "autoscale") {
		t.Error("an app without autoscaling has a policy")
	}
}

func TestPlanAndHealth(t *testing.T) {
	api, _ := portal(t, map[string]string{
		"GET /v1/operations": `{"operations":[{"name":"operations/1","metadata":{"@type":"x","state":"STATE_SUCCEEDED"}},{"name":"operations/2","metadata":{"state":"STATE_AWAITING_APPROVAL"}}]}`,
		"GET /v1/clusters":   `{"clusters":[{"name":"clusters/site-a","health":{"state":"STATE_HEALTHY"}},{"name":"clusters/site-b","health":{"state":"STATE_DOWN","reason":"it is dead"}}]}`,
	})
	if plan, err := api.Plan(t.Context()); plan != "operations/2" || err != nil {
		t.Errorf("%q, %v", plan, err)
	}
	if got := api.Observed(t.Context()); !strings.Contains(got, "site-b is STATE_DOWN: it is dead") {
		t.Errorf("%q", got)
	}
	none, _ := portal(t, map[string]string{"GET /v1/operations": `{}`})
	if _, err := none.Plan(t.Context()); !errors.Is(err, ErrNoPlan) {
		t.Errorf("no operation: %v", err)
	}
}

func TestTheRegistryGivesTheSameDigestAlways(t *testing.T) {
	mux := http.NewServeMux()
	mux.HandleFunc("/v2/bench/manifests/{reference}", serveManifest)
	server := httptest.NewServer(mux)
	defer server.Close()
	var digests []string
	for _, method := range []string{http.MethodHead, http.MethodGet} {
		req, err := http.NewRequestWithContext(t.Context(), method, server.URL+"/v2/bench/manifests/v1", nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := server.Client().Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.ContentLength != int64(len(manifest)) {
			t.Errorf("%s: length %d", method, resp.ContentLength)
		}
		digests = append(digests, resp.Header.Get("Docker-Content-Digest"))
	}
	if digests[0] != digests[1] || !strings.HasPrefix(digests[0], "sha256:") {
		t.Errorf("%v", digests)
	}
}
