package e2e

import (
	"testing"
	"time"
)

// rule C4: a cluster whose API server hangs is degraded, not down.
func Test11HungAPIServer(t *testing.T) {
	platform(t)
	settled(t)
	becomes(t, "site-b", "STATE_HEALTHY", 2*time.Minute)
	tr := newTraffic(t)
	known := len(operations(t))
	hung := time.Now()
	resume := hang(t, "site-b-apiserver")
	becomes(t, "site-b", "STATE_DEGRADED", time.Minute)
	tr.whole(firstPhase, "degraded")
	// Its pods go on, and nothing is taken from them. The wait ends before the
	// site's own controllers would give up its node.
	time.Sleep(time.Until(hung.Add(20 * time.Second)))
	if c := clusterOf(t, "site-b"); c.TrafficPercent != 100 || c.Health.State != "STATE_DEGRADED" {
		t.Errorf("site-b: %+v", c)
	}
	if n := len(operations(t)); n != known {
		t.Errorf("%d operations, before it were %d", n, known)
	}
	wanted, _ := placed(read[app](t, "get", "app", "hello", "-p", "demo"))
	if wanted["site-b"] == 0 {
		t.Errorf("replicas were moved: %v", wanted)
	}
	resume()
	sum := tr.whole("degraded", "healed")
	if sum.byCluster["site-b"] == 0 {
		t.Errorf("site-b got no request: %v", sum.byCluster)
	}
	becomes(t, "site-b", "STATE_HEALTHY", 2*time.Minute)
	settled(t)
	tr.finish("healed")
}
