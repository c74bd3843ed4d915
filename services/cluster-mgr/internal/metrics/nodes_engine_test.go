package metrics_test

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/promql/promqltest"
)

// anHour is of one node with two pods, of which one is busy for six minutes, and
// of a host that does much else.
const anHour = `load 1m
	pod_cpu_usage_seconds_total{cluster="site-a",node="a-1",namespace="gantry-pay",pod="web-1"} 0+6x60
	pod_cpu_usage_seconds_total{cluster="site-a",node="a-1",namespace="kube-system",pod="dns"} 0+12x60
	node_cpu_usage_seconds_total{cluster="site-a",node="a-1"} 0+600x60
	pod_memory_working_set_bytes{cluster="site-a",node="a-1",namespace="gantry-pay",pod="web-1"} 1000x60
	pod_memory_working_set_bytes{cluster="site-a",node="a-1",namespace="kube-system",pod="dns"} 100x29 500x6 100x23
	pod_memory_working_set_bytes{cluster="site-b",namespace="gantry-pay",pod="without-a-node"} 1000x60
`

// The 95th percentile is of the sum of a node's pods over the window: what was
// for longer than a twentieth of it counts, an hour later, too.
func TestABusyTimeCounts(t *testing.T) {
	storage := promqltest.LoadedStorage(t, anHour)
	t.Cleanup(func() { _ = storage.Close() })
	engine := promql.NewEngine(promql.EngineOpts{MaxSamples: 10_000, Timeout: time.Minute, LookbackDelta: 5 * time.Minute, Parser: parser.NewParser(parser.Options{})})
	t.Cleanup(func() { _ = engine.Close() })
	url, queries := fakePrometheus(t, map[string]string{"pod_": vector("")})
	if _, err := newNodeMeter(t, time.Hour).Use(t.Context(), url); err != nil {
		t.Fatal(err)
	}
	for i, want := range []float64{0.3, 1500} {
		query, _, _ := strings.Cut((*queries)[i], " lookback ")
		q, err := engine.NewInstantQuery(t.Context(), storage, nil, query, time.Unix(0, 0).Add(time.Hour))
		if err != nil {
			t.Fatal(err)
		}
		got, err := q.Exec(t.Context()).Vector()
		if err != nil || len(got) != 1 || math.Abs(got[0].F-want) > want/1000 || got[0].Metric.Get("node") != "a-1" || got[0].Metric.Get("cluster") != "site-a" {
			t.Errorf("%s: %v, %v, want %g of a-1", query, got, err, want)
		}
		q.Close()
	}
}
