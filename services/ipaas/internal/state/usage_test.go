package state

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"gantry.dev/services/ipaas/internal/kube"
)

const metrics = `# HELP node_cpu_usage_seconds_total [STABLE] Cumulative cpu time consumed by the node in core-seconds
# TYPE node_cpu_usage_seconds_total counter
node_cpu_usage_seconds_total 120.5 1700000000000
pod_cpu_usage_seconds_total{namespace="gantry-pay",pod="web"} 7.5 1700000000000
pod_cpu_usage_seconds_total{namespace="kube-system",pod="dns"} 2 1700000000000
pod_memory_working_set_bytes{namespace="gantry-pay",pod="web"} 1.048576e+06 1700000000000
container_cpu_usage_seconds_total{container="app",namespace="gantry-pay",pod="web"} 7 1700000000000
`

func TestParse(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	s, err := parse([]byte(metrics), now)
	if err != nil || s.cpu != 9.5 || s.memory != 1<<20 || !s.time.Equal(time.Unix(1_700_000_000, 0)) {
		t.Errorf("%+v, %v", s, err)
	}
	s, err = parse([]byte(strings.ReplaceAll(metrics, " 1700000000000", "")), now)
	if err != nil || !s.time.Equal(now) {
		t.Errorf("without times: %+v, %v", s, err)
	}
	for _, text := range []string{
		"", "pod_cpu_usage_seconds_total{} 1\n", "node_cpu_usage_seconds_total\n",
		"node_cpu_usage_seconds_total x\n", "node_cpu_usage_seconds_total 1 soon\n",
	} {
		if _, err := parse([]byte(text), now); err == nil {
			t.Errorf("%q was understood", text)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(metrics)
	f.Add("node_cpu_usage_seconds_total NaN -1\npod_memory_working_set_bytes +Inf")
	f.Fuzz(func(t *testing.T, text string) {
		if s, err := parse([]byte(text), time.Unix(0, 0)); err == nil && !strings.Contains(text, "node_cpu_usage_seconds_total") {
			t.Errorf("%q gives %+v", text, s)
		}
	})
}

func TestRateBetweenSamples(t *testing.T) {
	start := time.Unix(1000, 0)
	m := NewMeter(nil, nil)
	at := func(seconds int, cpu float64) Usage {
		when := start.Add(time.Duration(seconds) * time.Second)
		m.keep("n1", sample{time: when, cpu: cpu, memory: 7})
		return m.Usage("n1", when)
	}
	for _, step := range []struct {
		seconds int
		cpu     float64
		want    int64
		why     string
	}{
		{0, 10, 0, "one sample gives no rate"},
		{10, 25, 1500, "15 CPU seconds in 10 s"},
		{10, 25, 1500, "the same sample again"},
		{20, 1, 1500, "the node started anew"},
		{30, 6, 500, "5 CPU seconds in 10 s"},
	} {
		if got := at(step.seconds, step.cpu); got != (Usage{step.want, 7}) {
			t.Errorf("%s: %+v, want %d", step.why, got, step.want)
		}
	}
	if got := m.Usage("n1", start.Add(time.Hour)); got != (Usage{}) {
		t.Errorf("old figures still count: %+v", got)
	}
}

func TestMeterAsksKubelets(t *testing.T) {
	seconds := 0
	kubelet := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/metrics/resource" {
			http.NotFound(w, r)
			return
		}
		seconds++
		fmt.Fprintf(w, "node_cpu_usage_seconds_total 1 %d\npod_cpu_usage_seconds_total{} %d\npod_memory_working_set_bytes{} 99\n", 1000*seconds, 2*seconds)
	}))
	defer kubelet.Close()
	forbidden := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden) }))
	defer forbidden.Close()
	host := func(s *httptest.Server) string { return s.Listener.Addr().String() }
	nodes := []kube.Node{{Name: "n1", Kubelet: host(kubelet)}, {Name: "n2", Kubelet: "127.0.0.1:1"}, {Name: "n3"}, {Name: "n4", Kubelet: host(forbidden)}}
	// Every httptest server trusts, and is trusted with, the same certificate.
	m := NewMeter(kubelet.Client(), func(f func(kube.Node)) {
		for _, n := range nodes {
			f(n)
		}
	})
	m.round(context.Background())
	m.round(context.Background())
	if got := m.Usage("n1", time.Unix(2, 0)); got != (Usage{MilliCPU: 2000, MemoryBytes: 99}) {
		t.Errorf("n1 uses %+v", got)
	}
	for _, silent := range []string{"n2", "n3", "n4"} {
		if got := m.Usage(silent, time.Unix(2, 0)); got != (Usage{}) {
			t.Errorf("%s, which gives no figures, uses %+v", silent, got)
		}
	}
	nodes = nil
	m.round(context.Background())
	if got := m.Usage("n1", time.Unix(2, 0)); got != (Usage{}) {
		t.Errorf("a node that is gone uses %+v", got)
	}
}
