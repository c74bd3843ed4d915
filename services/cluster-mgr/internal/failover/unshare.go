package failover

import "slices"

// A migration ends the shares that lead requests to its cluster before the cluster's traffic moves: what
// an app's requests are led to by share alone would else stay until the last step, and then come at once.

// ledTo are the apps whose requests are led to the plan's cluster by shares.
func (b *builder) ledTo(apps []App) []App {
	var out []App
	for _, app := range apps {
		if app.ledTo(b.plan.Cluster) {
			b.problem("%s: its requests are led to %s by shares (%s), which end", app.Name, b.plan.Cluster, division(app.Shares))
			out = append(out, app)
		}
	}
	return out
}

// ledTo tells whether shares lead requests of the app to a cluster.
func (a App) ledTo(cluster string) bool {
	return slices.ContainsFunc(a.Shares, func(s Share) bool { return s.Cluster == cluster && s.Percent > 0 })
}

// unshare lets the requests of apps go by ready pods.
func (s *steps) unshare(apps []App) {
	for _, app := range apps {
		s.divide(app.Name, nil, app.Shares)
	}
	s.sharesServed(len(apps))
}

// reshare gives the shares back that the given steps have ended.
func (s *steps) reshare(did []Step) {
	n := 0
	for _, step := range did {
		if step.Kind == StepSetShares && len(step.Former) > 0 {
			s.divide(step.App, step.Former, step.Shares)
			n++
		}
	}
	s.sharesServed(n)
}

func (s *steps) sharesServed(apps int) {
	if apps > 0 {
		s.add(StepWaitGeneration, "", "wait until all load balancer nodes serve %s so", count(apps, "app"))
	}
}
