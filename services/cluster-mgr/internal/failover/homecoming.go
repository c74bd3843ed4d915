package failover

import "gantry.dev/services/cluster-mgr/internal/placement"

// Bringing work back costs the least moves: what was moved away comes back from whoever took it, as
// long as these still have it; else the cluster gains up to its share of a fresh division and nothing
// else moves.

// lent is what other clusters took of an app when the plan's cluster was left, by cluster; nil when
// that is not known or does not hold any more.
func (in FailBackInput) lent(app App) map[string]int {
	if in.Left == nil {
		return nil
	}
	lent := map[string]int{}
	for _, m := range in.Left.Moves {
		if m.App != app.Name || m.From != in.Cluster {
			continue
		}
		for _, t := range m.To {
			lent[t.Cluster] += t.Replicas
		}
	}
	for cluster := range lent {
		here, listed := app.in(cluster)
		if !listed || here.Replicas != in.Left.leaves(cluster, app.Name) {
			return nil
		}
	}
	return lent
}

// leaves is how many replicas of an app a cluster has in all after a plan; 0 where it gains none.
func (p Plan) leaves(cluster, app string) int {
	n := 0
	for _, placed := range of(p.Steps, StepPlace) {
		for _, a := range placed.assignments {
			if placed.cluster == cluster && a.App == app {
				n = a.Replicas
			}
		}
	}
	return n
}

// homecoming is the placement that gives the cluster what it is due and moves nothing else.
func (b *builder) homecoming(app App, here Here, lent map[string]int) placement.Input {
	in := b.open(only(b.fleet.input(app)))
	due := b.due(app, here)
	if len(lent) > 0 {
		due = here.Replicas
		for i := range in.Clusters {
			c := &in.Clusters[i]
			due += lent[c.Name]
			if c.Name != b.plan.Cluster && c.Eligible {
				atLeast(c, c.Current-lent[c.Name])
			}
		}
	}
	due = max(min(due, in.Desired), here.Replicas)
	return amend(in, b.plan.Cluster, func(c *placement.Cluster) { c.Min, c.Max = due, due })
}

// due is what the cluster had, or, where that is not known, its share of a fresh division.
func (b *builder) due(app App, here Here) int {
	if here.Home > 0 {
		return here.Home
	}
	anew := b.open(b.fleet.input(app))
	anew.Rebalance = true
	return placement.Decide(anew).Replicas(b.plan.Cluster)
}

// give lets those shrink that the plan says, and nobody else, where the wanted total allows that:
// else what was moved would be taken from whoever has most.
func (s Steering) give(in placement.Input) {
	after := map[string]int{}
	for _, t := range placedBack(s.plan, in.App) {
		after[t.Cluster] = t.Replicas
	}
	for _, m := range s.plan.Moves {
		if m.App == in.App {
			after[m.From] -= m.Replicas
		}
	}
	least, sum := make([]int, len(in.Clusters)), 0
	for i, c := range in.Clusters {
		n, gives := after[c.Name]
		if !gives {
			n = c.Current
		}
		least[i] = max(c.Min, n)
		if c.Eligible || c.Hold && !c.Idle {
			sum += least[i]
		}
	}
	if sum > in.Desired {
		return
	}
	for i := range in.Clusters {
		if in.Clusters[i].Eligible {
			atLeast(&in.Clusters[i], least[i])
		}
	}
}
