package observe

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	gantryv1 "gantry.dev/proto/gen/gantry/v1"
	"gantry.dev/services/cluster-mgr/internal/metrics"
	"gantry.dev/services/cluster-mgr/internal/store"
)

const (
	siteA      = "clusters/site-a"
	prometheus = "http://prometheus"
)

// fakeMeter knows one node of site-a until it is broken.
type fakeMeter struct {
	asked  atomic.Int32
	broken atomic.Bool
}

func (m *fakeMeter) Use(context.Context, string) (metrics.NodeUse, error) {
	m.asked.Add(1)
	if m.broken.Load() {
		return metrics.NodeUse{}, errors.New("down")
	}
	return metrics.NodeUse{Window: time.Hour, Clusters: map[string]map[string]metrics.Amount{"site-a": {"a-1": {MilliCPU: 700, MemoryBytes: 7}}}}, nil
}

func cluster(name, url string) store.Item[*gantryv1.Cluster] {
	return store.Item[*gantryv1.Cluster]{Name: name, Value: &gantryv1.Cluster{Name: name, PrometheusUrl: url}}
}

// An answer counts for five minutes, and three clusters that share a Prometheus
// cost one question a minute.
func TestUseIsMeasuredOnceAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		meter := &fakeMeter{}
		o := &Observer{
			Config: Config{Meter: meter, Logger: slog.New(slog.DiscardHandler)}, use: map[string]said{},
			known: registered{clusters: []store.Item[*gantryv1.Cluster]{cluster(siteA, prometheus), cluster("clusters/site-b", prometheus), cluster("clusters/site-c", "")}},
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			o.measure(ctx)
			close(done)
		}()
		time.Sleep(150 * time.Second)
		if n := meter.asked.Load(); n != 3 {
			t.Errorf("asked %d times in 2.5 minutes, want 3", n)
		}
		expect(t, o, siteA, 1, "the 95th percentile of the last 1h, measured 00:02:00 UTC")
		expect(t, o, "clusters/site-b", 0, "what ipaas measures now, since its Prometheus knows none of its nodes")
		meter.broken.Store(true)
		time.Sleep(4 * time.Minute)
		expect(t, o, siteA, 1, "the 95th percentile of the last 1h, measured 00:02:00 UTC")
		time.Sleep(2 * time.Minute)
		expect(t, o, siteA, 0, "what ipaas measures now, since its Prometheus gives no answer")
		cancel()
		<-done
	})
}

func expect(t *testing.T, o *Observer, cluster string, nodes int, what string) {
	t.Helper()
	got, said := o.View().UseOf(cluster, time.Now())
	if len(got) != nodes || said != what {
		t.Errorf("%s: %v, %q, want %d nodes and %q", cluster, got, said, nodes, what)
	}
}

func TestWhyThereIsOnlyWhatIpaasMeasures(t *testing.T) {
	v := View{Use: map[string]Use{}, Clusters: map[string]ClusterView{siteA: {Cluster: cluster(siteA, prometheus).Value}, "clusters/site-b": {}}}
	for name, want := range map[string]string{
		siteA: "what ipaas measures now, since its Prometheus has not answered yet", "clusters/site-b": "what ipaas measures now, since it has no Prometheus",
	} {
		if nodes, got := v.UseOf(name, time.Now()); nodes != nil || got != want {
			t.Errorf("%s: %v, %q", name, nodes, got)
		}
	}
	v.Use = nil
	if _, got := v.UseOf(siteA, time.Now()); got != "" {
		t.Errorf("nobody measures, and it says %q", got)
	}
}
