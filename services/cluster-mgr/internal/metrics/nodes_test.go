package metrics_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"gantry.dev/services/cluster-mgr/internal/metrics"
	"github.com/google/go-cmp/cmp"
)

func node(name string, value any) string {
	return fmt.Sprintf(`{"metric":{"cluster":"site-a","node":%q},"value":[0,"%v"]}`, name, value)
}

func newNodeMeter(t *testing.T, window time.Duration) *metrics.NodeMeter {
	t.Helper()
	meter, err := metrics.NewNodeMeter(newSource(t, 5*time.Second), window)
	if err != nil {
		t.Fatal(err)
	}
	return meter
}

func TestUseOfNodesCostsAQueryPerMetric(t *testing.T) {
	url, queries := fakePrometheus(t, map[string]string{
		"pod_cpu":    vector("", node("a-1", 1.2345), node("a-2", "NaN"), node("a-3", 1), node("a-4", "-1"), node("a-5", "+Inf")),
		"pod_memory": vector("", node("a-1", 1000), node("a-2", 10), node("a-4", 10), node("a-5", 10)),
	})
	use, err := newNodeMeter(t, time.Hour).Use(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	// What is no number, or has only one of the two, is left to ipaas.
	want := metrics.NodeUse{Window: time.Hour, Clusters: map[string]map[string]metrics.Amount{"site-a": {"a-1": {MilliCPU: 1235, MemoryBytes: 1000}}}}
	if diff := cmp.Diff(want, use); diff != "" {
		t.Errorf("use (-want +got):\n%s", diff)
	}
	asked := []string{
		`quantile_over_time(0.95, (sum by (cluster, node) (rate(pod_cpu_usage_seconds_total{cluster!="",node!=""}[2m])))[1h:2m]) lookback 10s`,
		`quantile_over_time(0.95, (sum by (cluster, node) (pod_memory_working_set_bytes{cluster!="",node!=""}))[1h:2m]) lookback 10s`,
	}
	if diff := cmp.Diff(asked, *queries); diff != "" {
		t.Errorf("queries (-want +got):\n%s", diff)
	}
}

// rule A1: an answer that may be partial, or is none, is an error, never zero.
func TestUseOfNodesWithoutAWholeAnswer(t *testing.T) {
	partial, _ := fakePrometheus(t, map[string]string{"pod_": vector(`"partial answer"`, node("a-1", 1))})
	refusing, _ := fakePrometheus(t, map[string]string{"pod_cpu": vector("", node("a-1", 1))})
	scalar, _ := fakePrometheus(t, map[string]string{"pod_": `{"status":"success","data":{"resultType":"scalar","result":[0,"12"]}}`})
	for name, url := range map[string]string{"partial": partial, "refusing": refusing, "no vector": scalar, "none": ""} {
		if use, err := newNodeMeter(t, time.Hour).Use(t.Context(), url); err == nil {
			t.Errorf("%s: %+v", name, use)
		}
	}
}

func TestAWindowTooShortForNodes(t *testing.T) {
	if _, err := metrics.NewNodeMeter(newSource(t, time.Second), 30*time.Second); err == nil || !strings.Contains(err.Error(), "a minute or more") {
		t.Errorf("%v", err)
	}
}
