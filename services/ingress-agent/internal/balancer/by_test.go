package balancer_test

import (
	"strings"
	"testing"

	"gantry.dev/services/ingress-agent/internal/balancer"
)

func TestCountersAreSortedByOwner(t *testing.T) {
	all := map[balancer.Key]balancer.Counters{
		{Upstream: "web:1", Cluster: "site-a"}: {Requests: map[string]int64{"2xx": 3, "5xx": 1}, Seconds: 0.5},
		{Upstream: "web:2", Cluster: "site-a"}: {Requests: map[string]int64{"2xx": 2, "lost": 4}},
		{Upstream: "web:2"}:                    {Started: 9, Ended: 7, Held: 1},
		{Upstream: "api:1", Cluster: "site-a"}: {Requests: map[string]int64{"2xx": 100}},
		{Upstream: "?", Cluster: "site-a"}:     {Requests: map[string]int64{"2xx": 1000}},
	}
	own := balancer.By(all, func(upstream string) (string, bool) {
		app, _, ok := strings.Cut(upstream, ":")
		return app, ok
	})
	if got, want := balancer.TrafficOf(own["web"]), (balancer.Traffic{Requests: 13, Held: 1, Open: 2}); got != want {
		t.Errorf("web: %+v, want %+v", got, want)
	}
	if got := balancer.TrafficOf(own["api"]); got.Requests != 100 {
		t.Errorf("api: %+v", got)
	}
	if got := balancer.ServedBy(own["web"], "site-a"); got.Requests != 10 || got.Failed != 5 || got.Latency.Milliseconds() != 500 {
		t.Errorf("web in site-a: %+v", got)
	}
	if len(own) != 2 || balancer.TrafficOf(own["none"]) != (balancer.Traffic{}) {
		t.Errorf("owners %v", own)
	}
}
