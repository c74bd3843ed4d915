package app

import (
	"maps"
	"net/http"
	"slices"
	"testing"
	"time"

	ingressv1 "gantry.dev/proto/gen/gantry/ingress/v1"
)

// divide publishes shares of the test's app and waits until they are served.
func (n *testNode) divide(shares map[string]int32) {
	n.t.Helper()
	n.publish(func(c *ingressv1.GatewayConfig) { c.Routes[0].TrafficShares = shares })
	n.serving(n.gateway.GetGeneration())
}

// spread sends so many requests and gives how many of them pods answered.
func (n *testNode) spread(requests int, pods map[string]*fakePod) (inA, inB int) {
	n.t.Helper()
	count := func() (a, b int) {
		for ip, p := range pods {
			if ip[:8] == "127.0.40" {
				a += int(p.served.Load())
			} else {
				b += int(p.served.Load())
			}
		}
		return a, b
	}
	a, b := count()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 10 * time.Second}
	for range requests {
		if _, err := do(client, n.url(), true); err != nil {
			n.t.Errorf("a request was lost: %v", err)
		}
	}
	nowA, nowB := count()
	return nowA - a, nowB - b
}

// Requests go by shares whatever the number of pods, without a reload; and by ready pods where the
// shares lead to none, be it that the cluster is gone or that it is out of rotation.
func TestSharesDivideRequests(t *testing.T) {
	a, b := addresses(40, 3), addresses(41, 6)
	n, _, siteB := twoSites(t, a, b)
	pods := startPods(t, n.podPort, slices.Concat(a, b)...)
	n.answers()
	before, err := n.agent.nginx.Client().Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	near := func(what string, got, want int) {
		t.Helper()
		if got < want-3 || got > want+3 { // each worker takes its own turns
			t.Errorf("%s: %d of 100 requests, want %d", what, got, want)
		}
	}
	_, inB := n.spread(99, pods)
	near("by ready pods", inB, 66)
	n.divide(map[string]int32{"site-a": 80, "site-b": 20})
	_, inB = n.spread(100, pods)
	near("by shares", inB, 20)
	n.divide(map[string]int32{"site-b": 100})
	_, inB = n.spread(50, pods)
	near("all to one", inB, 50)

	n.publish(func(c *ingressv1.GatewayConfig) { c.Clusters[1].TrafficPercent = 0 })
	n.serving(n.gateway.GetGeneration())
	inA, _ := n.spread(50, pods)
	near("its cluster is out of rotation", inA, 50)
	n.publish(func(c *ingressv1.GatewayConfig) { c.Clusters[1].TrafficPercent = 100 })
	n.serving(n.gateway.GetGeneration())

	for _, ip := range b {
		pods[ip].kill()
	}
	inA, _ = n.spread(50, pods)
	near("its cluster is gone", inA, 50)
	siteB.set()
	eventually(t, 10*time.Second, func() bool { inA, _ := n.spread(1, pods); return inA == 1 }, n.log)
	after, err := n.agent.nginx.Client().Status(t.Context())
	if err != nil || after.Epoch != before.Epoch {
		t.Errorf("epoch %d became %d (%v): something reloaded", before.Epoch, after.Epoch, err)
	}
}

// The status says of each app what its requests were like in each cluster.
func TestTheStatusCountsRequestsPerAppAndCluster(t *testing.T) {
	a, b := addresses(40, 1), addresses(41, 1)
	n, _, _ := twoSites(t, a, b)
	pods := startPods(t, n.podPort, a...)
	startHandler(t, n.podPort, b[0], func(w http.ResponseWriter, _ *http.Request) {
		time.Sleep(20 * time.Millisecond)
		w.WriteHeader(http.StatusInternalServerError)
	})
	n.answers()
	n.divide(map[string]int32{"site-a": 100})
	before := n.counted()
	n.spread(10, pods)
	n.divide(map[string]int32{"site-b": 100})
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 10 * time.Second}
	for range 5 {
		_, _ = do(client, n.url(), true) // it fails
	}
	got := n.counted()
	for _, site := range slices.Sorted(maps.Keys(got)) {
		got[site].Requests -= before[site].GetRequests()
		got[site].Failed -= before[site].GetFailed()
		got[site].LatencyMillis -= before[site].GetLatencyMillis()
	}
	if c := got["site-a"]; c.GetRequests() != 10 || c.GetFailed() != 0 {
		t.Errorf("site-a: %v", c)
	}
	if c := got["site-b"]; c.GetRequests() != 5 || c.GetFailed() != 5 || c.GetLatencyMillis() < 5*15 {
		t.Errorf("site-b: %v", c)
	}
}

// counted is what the status says of the test's app, by cluster.
func (n *testNode) counted() map[string]*ingressv1.ClusterTraffic {
	n.t.Helper()
	out := map[string]*ingressv1.ClusterTraffic{}
	for _, app := range n.agent.Status(n.t.Context()).GetApps() {
		for _, c := range app.GetClusters() {
			out[c.GetCluster()] = c
		}
	}
	return out
}
