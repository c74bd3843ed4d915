package e2e

import (
	"testing"
	"time"
)

// rules C4, K2: what an API server says while it is ill moves and deletes
// nothing.
func Test15LyingAPIServer(t *testing.T) {
	platform(t)
	had := settled(t)
	becomes(t, "site-b", "STATE_HEALTHY", 2*time.Minute)
	before := map[string]string{"site-a": deployments(t, "site-a"), "site-b": deployments(t, "site-b")}
	known := len(operations(t))
	since := time.Now()
	tr := newTraffic(t)
	proxy := lyingAPIServer(t, "site-b", "10.112.0.1:6443")
	must(t, "local", "kill", "site-b-ipaas")
	t.Cleanup(func() { must(t, "local", "start", "site-b-ipaas") })
	stop := ipaasOf(t, "site-b", proxy.kubeconfig("site-b"))
	proxy.tell(truth, 5) // it does ask the proxy
	becomes(t, "site-b", "STATE_HEALTHY", 2*time.Minute)
	unchanged := func(when string) {
		t.Helper()
		for site, had := range before {
			if have := deployments(t, site); have != had {
				t.Errorf("%s: %s had\n%s\nand has\n%s", when, site, had, have)
			}
		}
		if c := clusterOf(t, "site-b"); c.TrafficPercent != 100 {
			t.Errorf("%s: %+v", when, c)
		}
		if n := len(operations(t)); n != known {
			t.Errorf("%s: %d operations, before it were %d", when, n, known)
		}
		if have := read[app](t, "get", "app", "hello", "-p", "demo"); have.Status.DesiredReplicas < had.Status.DesiredReplicas {
			t.Errorf("%s: %d replicas are wanted, before it were %d", when, have.Status.DesiredReplicas, had.Status.DesiredReplicas)
		}
	}
	for _, l := range []struct{ mode, verdict string }{
		{unauthorized, "STATE_DEGRADED"}, {internalError, "STATE_DEGRADED"}, {wrongAuthority, "STATE_DEGRADED"}, {emptyLists, ""},
	} {
		proxy.tell(l.mode, 5)
		if l.verdict != "" {
			becomes(t, "site-b", l.verdict, time.Minute)
		}
		time.Sleep(12 * time.Second) // in which several passes would have deleted or moved
		unchanged(l.mode)
		t.Logf("%s: told %d times; site-b: %s", l.mode, proxy.times(l.mode), clusterOf(t, "site-b").Health.Reason)
	}
	proxy.tell(truth, 1)
	becomes(t, "site-b", "STATE_HEALTHY", 2*time.Minute)
	stop()
	must(t, "local", "start", "site-b-ipaas")
	becomes(t, "site-b", "STATE_HEALTHY", 2*time.Minute)
	unchanged("afterwards")
	noScaleDown(t, since)
	sum := tr.whole(firstPhase, "end")
	if sum.byCluster["site-b"] == 0 {
		t.Errorf("site-b got no request: %v", sum.byCluster)
	}
}
