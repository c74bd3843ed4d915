package fleet

import (
	"strings"
	"testing"
	"time"

	"gantry.dev/services/cluster-mgr/internal/metrics"
	"gantry.dev/services/cluster-mgr/internal/observe"
	"gantry.dev/services/cluster-mgr/internal/placement"
)

// What the nodes used at busy times counts, and not what ipaas sees in this
// moment, which stays where Prometheus knows nothing.
func TestPlacementCountsBusyTimes(t *testing.T) {
	s := land()
	s.Time = time.Unix(1_000_000, 0)
	for _, v := range s.View.Clusters {
		for _, n := range v.State.GetNodes() {
			n.UsedMilliCpu, n.UsedMemoryBytes = 100, 1<<20
		}
	}
	s.View.Use = map[string]observe.Use{siteA: {
		Nodes: map[string]metrics.Amount{"n1": {MilliCPU: 900, MemoryBytes: 1 << 30}}, Window: time.Hour, Time: s.Time.Add(-time.Minute),
	}}
	in, err := s.Placement(appOf(web), 2, everywhere)
	if err != nil {
		t.Fatal(err)
	}
	busy, idle := placement.Resources{MilliCPU: 900, MemoryBytes: 1 << 30}, placement.Resources{MilliCPU: 100, MemoryBytes: 1 << 20}
	for i, want := range [][]placement.Resources{{busy, idle}, {idle, idle}} {
		for j, n := range in.Clusters[i].Nodes {
			if n.Used != want[j] {
				t.Errorf("%s of %s uses %v, want %v", n.Name, in.Clusters[i].Name, n.Used, want[j])
			}
		}
	}
	if a, b := in.Clusters[0].Use, in.Clusters[1].Use; !strings.HasPrefix(a, "the 95th percentile of the last 1h") || !strings.HasPrefix(b, "what ipaas measures now") {
		t.Errorf("%q, %q", a, b)
	}
	if c := s.FailoverClusters()[0]; c.Use != in.Clusters[0].Use || c.Nodes[0].Used != busy {
		t.Errorf("a failover sees %q, %v", c.Use, c.Nodes[0].Used)
	}
	if out := placement.Decide(in); out.Replicas("site-a") != 1 || out.Replicas("site-b") != 1 {
		t.Errorf("%+v", out.Shares)
	}
	s.Time, s.ledger = s.Time.Add(time.Hour), nil
	if used := s.nodes(siteA)[0].Used; used != idle {
		t.Errorf("an hour later without an answer: %v", used)
	}
}
