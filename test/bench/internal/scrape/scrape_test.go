package scrape_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"gantry.dev/test/bench/internal/scrape"
)

const text = `# TYPE apiserver_request_total counter
apiserver_request_total{verb="PATCH",resource="deployments"} 3
apiserver_request_total{verb="GET",resource="pods"} 4
# TYPE etcd_debugging_mvcc_current_revision gauge
etcd_debugging_mvcc_current_revision 42
# TYPE round_seconds histogram
round_seconds_bucket{le="1"} 2
round_seconds_bucket{le="+Inf"} 2
round_seconds_sum 0.5
round_seconds_count 2
`

func TestFamilies(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, text) }))
	defer server.Close()
	m, err := scrape.Get(t.Context(), server.Client(), server.URL)
	if err != nil {
		t.Fatal(err)
	}
	if got := m.Value("apiserver_request_total"); got != 7 {
		t.Errorf("sum %v", got)
	}
	if got := m.Value("etcd_debugging_mvcc_current_revision"); got != 42 {
		t.Errorf("gauge %v", got)
	}
	m.Each("apiserver_request_total", func(l scrape.Labels, v float64) {
		if l["verb"] == "PATCH" && (v != 3 || l["resource"] != "deployments") {
			t.Errorf("%v %v", l, v)
		}
	})
	if sum, count, ok := m.Histogram("round_seconds"); sum != 0.5 || count != 2 || !ok {
		t.Errorf("histogram %v %v %v", sum, count, ok)
	}
	if _, _, ok := m.Histogram("none"); ok || m.Value("none") != 0 {
		t.Error("what is not there was found")
	}
}

func TestNoAnswerIsAnError(t *testing.T) {
	server := httptest.NewServer(http.NotFoundHandler())
	defer server.Close()
	if _, err := scrape.Get(t.Context(), server.Client(), server.URL); err == nil {
		t.Error("404 is no answer")
	}
}
