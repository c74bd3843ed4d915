package app

import (
	"cmp"
	"slices"

	ingressv1 "gantry.dev/proto/gen/gantry/ingress/v1"
	"gantry.dev/services/ingress-agent/internal/balancer"
	"gantry.dev/services/ingress-agent/internal/endpoints"
	"gantry.dev/services/ingress-agent/internal/render"
)

// routed is what of an upstream does not change with its pods. With thousands
// of routes it is found once per configuration, not at each change of a pod.
type routed struct {
	name, app string
	port      int
	// Seconds that a request waits for a first pod.
	hold     int
	canaries map[string][]balancer.Canary
}

// routedOf gives the upstreams of the models and of their routes' canaries,
// each once, in name order.
func routedOf(c *ingressv1.GatewayConfig, models ...render.Model) []routed {
	waits, canaries, seen := holds(c), canariesOf(c), map[string]bool{}
	var all []routed
	add := func(upstream string) {
		app, port, err := render.AppOf(upstream)
		if err != nil || seen[upstream] {
			return // a redirect has none; others were rendered by the same grammar
		}
		seen[upstream] = true
		all = append(all, routed{name: upstream, app: app, port: port, hold: waits[upstream], canaries: canaries[upstream]})
	}
	for _, m := range models {
		for _, h := range m.Hosts {
			for _, l := range h.Locations {
				add(l.Upstream)
				for _, c := range canaries[l.Upstream][l.Route] {
					add(c.To)
				}
			}
		}
	}
	slices.SortFunc(all, func(a, b routed) int { return cmp.Compare(a.name, b.name) })
	return all
}

// canariesOf gives the canaries by the upstream of the route's own app, and by
// route.
func canariesOf(c *ingressv1.GatewayConfig) map[string]map[string][]balancer.Canary {
	out := map[string]map[string][]balancer.Canary{}
	for _, r := range c.GetRoutes() {
		all, err := render.CanariesOf(r)
		upstream, bad := render.UpstreamOf(r)
		if err != nil || bad != nil || len(all) == 0 {
			continue // it was rejected, or has none
		}
		if out[upstream] == nil {
			out[upstream] = map[string][]balancer.Canary{}
		}
		for _, c := range all {
			out[upstream][r.GetName()] = append(out[upstream][r.GetName()], balancer.Canary{To: c.Upstream, Variable: c.Variable, Value: c.Value, Percent: c.Percent})
		}
	}
	return out
}

// holds says by upstream how many seconds a request waits for a first pod: the
// longest that a route to it says.
func holds(c *ingressv1.GatewayConfig) map[string]int {
	out := map[string]int{}
	for _, r := range c.GetRoutes() {
		if r.GetHoldSeconds() == 0 {
			continue
		}
		upstream, err := render.UpstreamOf(r)
		if err != nil {
			continue // it was rejected
		}
		out[upstream] = max(out[upstream], int(r.GetHoldSeconds()))
	}
	return out
}

// in is the upstream with the pods that it has; it shares their lists.
func (r routed) in(clusters []*ingressv1.Cluster, shares map[string]int32, known endpoints.ByCluster) balancer.Upstream {
	u := balancer.Upstream{Clusters: make([]balancer.Cluster, 0, len(clusters)), Hold: r.hold, Canaries: r.canaries}
	for _, c := range clusters {
		pods := known[c.GetName()][r.app]
		if pods == nil {
			pods = []string{} // the balancer reads a list
		}
		u.Clusters = append(u.Clusters, balancer.Cluster{
			Name: c.GetName(), Percent: int(c.GetTrafficPercent()), Share: int(shares[c.GetName()]), Port: r.port, Pods: pods,
		})
	}
	return u
}
