package demo

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
)

func TestCountAlerts(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		filter := r.URL.Query()["filter"]
		if len(filter) == 2 && filter[0] == `alertname="ClusterDown"` && filter[1] == `subject="clusters/site-b"` {
			_, _ = io.WriteString(w, `[{"labels":{"alertname":"ClusterDown"}}]`)
			return
		}
		_, _ = io.WriteString(w, `[]`)
	}))
	defer server.Close()
	defer http.DefaultClient.CloseIdleConnections()
	for cluster, want := range map[string]int{"site-b": 1, "site-a": 0} {
		if n, err := countAlerts(t.Context(), server.URL, "ClusterDown", cluster); err != nil || n != want {
			t.Errorf("%s: %d alerts, %v", cluster, n, err)
		}
	}
	if _, err := countAlerts(t.Context(), "http://127.0.0.1:1", "ClusterDown", "site-b"); err == nil {
		t.Error("nobody there, and no error")
	}
}

// countAlerts is the answer of an Alertmanager that is told everything.
func (c *cloud) countAlerts(_ context.Context, _, kind, cluster string) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, dark := c.dark[cluster]; !dark || c.alarm == nil || c.alarm.GetKind() != kind {
		return 0, nil
	}
	return 1, nil
}
