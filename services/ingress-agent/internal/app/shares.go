package app

import (
	ingressv1 "gantry.dev/proto/gen/gantry/ingress/v1"
	"gantry.dev/services/ingress-agent/internal/balancer"
)

// sharesOf says by app how its requests are divided over the clusters; an app
// that is not in it goes by ready pods.
func sharesOf(c *ingressv1.GatewayConfig) map[string]map[string]int32 {
	out := map[string]map[string]int32{}
	for _, r := range c.GetRoutes() {
		if len(r.GetTrafficShares()) > 0 {
			out[r.GetApp()] = r.GetTrafficShares()
		}
	}
	for _, c := range c.GetCanaryShares() {
		out[c.GetApp()] = c.GetTrafficShares()
	}
	return out
}

// perCluster is what an app's requests were like in each cluster.
func perCluster(config *ingressv1.GatewayConfig, counters map[balancer.Key]balancer.Counters) []*ingressv1.ClusterTraffic {
	var out []*ingressv1.ClusterTraffic
	for _, c := range config.GetClusters() {
		t := balancer.ServedBy(counters, c.GetName())
		out = append(out, &ingressv1.ClusterTraffic{
			Cluster: c.GetName(), Requests: t.Requests, Failed: t.Failed, LatencyMillis: t.Latency.Milliseconds(),
		})
	}
	return out
}
