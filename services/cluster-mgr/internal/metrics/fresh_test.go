package metrics_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/promql/promqltest"

	"gantry.dev/services/cluster-mgr/internal/metrics"
)

// samples are of two pods, every 5 s: one has been silent since 20 s, and its
// rate would still have a value for a while.
const samples = `load 5s
	container_cpu_usage_seconds_total{cluster="site-a",namespace="gantry-pay",container="app",pod="fresh"} 0+5x12
	container_cpu_usage_seconds_total{cluster="site-a",namespace="gantry-pay",container="app",pod="silent"} 0+5x4
	container_memory_working_set_bytes{cluster="site-a",namespace="gantry-pay",container="app",pod="fresh"} 7x12
	container_memory_working_set_bytes{cluster="site-a",namespace="gantry-pay",container="app",pod="silent"} 7x4
`

// rule A2: a Prometheus that looks back for five minutes, whatever it is asked,
// shows no pod whose newest sample is older than two sample intervals.
func TestWhatIsOldIsNotSeen(t *testing.T) {
	storage := promqltest.LoadedStorage(t, samples)
	t.Cleanup(func() { _ = storage.Close() })
	engine := promql.NewEngine(promql.EngineOpts{MaxSamples: 1000, Timeout: time.Minute, LookbackDelta: 5 * time.Minute, Parser: parser.NewParser(parser.Options{})})
	t.Cleanup(func() { _ = engine.Close() })
	for at, want := range map[time.Duration][]string{
		20 * time.Second: {"fresh", "silent"},
		29 * time.Second: {"fresh", "silent"},
		34 * time.Second: {"fresh"},
		60 * time.Second: {"fresh"},
		69 * time.Second: {"fresh"},
		74 * time.Second: nil, // all samples are 14 s old
	} {
		for _, query := range asked(t) {
			q, err := engine.NewInstantQuery(t.Context(), storage, nil, query, time.Unix(0, 0).Add(at))
			if err != nil {
				t.Fatal(err)
			}
			vector, err := q.Exec(t.Context()).Vector()
			if err != nil {
				t.Fatal(err)
			}
			var seen []string
			for _, sample := range vector {
				seen = append(seen, sample.Metric.Get("pod"))
			}
			q.Close()
			slices.Sort(seen) // a vector has no order
			if d := cmp.Diff(want, seen); d != "" {
				t.Errorf("after %s, %s (-want +got):\n%s", at, query, d)
			}
		}
	}
}

// asked are the questions about CPU and memory.
func asked(t *testing.T) []string {
	t.Helper()
	url, queries := fakePrometheus(t, map[string]string{"sum by": vector("")})
	source := newSource(t, 5*time.Second)
	for _, ask := range []func() (metrics.Answer, error){
		func() (metrics.Answer, error) { return source.CPU(t.Context(), url) },
		func() (metrics.Answer, error) { return source.Memory(t.Context(), url) },
	} {
		if _, err := ask(); err != nil {
			t.Fatal(err)
		}
	}
	for i, query := range *queries {
		(*queries)[i], _, _ = strings.Cut(query, " lookback ")
	}
	return *queries
}
