package publish

import (
	"maps"
	"slices"

	ingressv1 "gantry.dev/proto/gen/gantry/ingress/v1"
	"gantry.dev/services/cluster-mgr/internal/store"
)

// Divide adds to a configuration how the requests of its apps are divided over
// the clusters.
func Divide(config *ingressv1.GatewayConfig, shares []store.TrafficShares) {
	byApp := make(map[string]map[string]int32, len(shares))
	for _, s := range shares {
		byApp[s.App] = s.Clusters
	}
	canaries := map[string]bool{}
	for _, r := range config.GetRoutes() {
		r.TrafficShares = maps.Clone(byApp[r.GetApp()])
		for _, c := range r.GetRules().GetCanaries() {
			canaries[c.GetApp()] = len(byApp[c.GetApp()]) > 0
		}
	}
	config.CanaryShares = nil
	for _, app := range slices.Sorted(maps.Keys(canaries)) {
		if canaries[app] {
			config.CanaryShares = append(config.CanaryShares, &ingressv1.CanaryShares{App: app, TrafficShares: maps.Clone(byApp[app])})
		}
	}
	for _, r := range config.GetStreamRoutes() {
		r.TrafficShares = maps.Clone(byApp[r.GetApp()])
	}
}
