package failover

import (
	"slices"

	"gantry.dev/services/cluster-mgr/internal/placement"
)

// Steer bends the placement of one app to what a plan needs while it is carried out:
//
//   - What a PLACE step that has been reached puts into a cluster is the least there.
//   - Until a RELEASE step nothing is taken away anywhere for it: the wanted total grows by what
//     starts elsewhere, so capacity is there before traffic moves (rule C2).
//   - An app of class single is wanted nowhere between WITHDRAW and its next PLACE, and then in that
//     cluster only (rule C5).
//
// Clusters that placement excludes or holds for reasons of its own stay so. Apps that the plan does not
// touch are returned as they came.
func Steer(p Plan, at Progress, in placement.Input) placement.Input {
	if !p.touches(in) {
		return in
	}
	list, i := script(p, at)
	reached := list[:min(i+1, len(list))]
	in.Clusters = slices.Clone(in.Clusters)
	in.Rebalance = false
	if withdrawn := last(reached, StepWithdraw, in.App); withdrawn >= 0 {
		return alone(in, reached, withdrawn)
	}
	least := map[string]int{}
	for _, placed := range of(reached, StepPlace).part(func(_, app string) bool { return app == in.App }) {
		least[placed.cluster] = placed.assignments[0].Replicas
	}
	if last(reached, StepRelease, in.App) < 0 {
		if !at.Reversing && !p.Returning() && !steps(p.Steps).has(StepAdmit) {
			hold(in.Clusters, p.Cluster)
		}
		return keep(in, least)
	}
	for i := range in.Clusters {
		atLeast(&in.Clusters[i], least[in.Clusters[i].Name])
	}
	return in
}

// touches tells whether a plan is about an app: it names it, or takes traffic from its replicas.
func (p Plan) touches(in placement.Input) bool {
	for _, c := range in.Clusters {
		if c.Name == p.Cluster && c.Current > 0 {
			return true
		}
	}
	return slices.ContainsFunc(slices.Concat(p.Steps, p.Reverse), func(s Step) bool { return s.names(in.App) })
}

func (s Step) names(app string) bool {
	return slices.ContainsFunc(s.Assignments, func(a Assignment) bool { return a.App == app })
}

// last is the index of the last step of a kind that names an app; -1: there is none.
func last(list []Step, kind StepKind, app string) int {
	for i := len(list) - 1; i >= 0; i-- {
		if list[i].Kind == kind && list[i].names(app) {
			return i
		}
	}
	return -1
}

// hold lets a cluster that is being left gain nothing.
func hold(clusters []placement.Cluster, name string) {
	for i := range clusters {
		if c := &clusters[i]; c.Name == name && c.Eligible {
			c.Eligible, c.Hold, c.Reason = false, true, "is being left"
		}
	}
}

// keep raises the total so that nothing shrinks while something grows.
func keep(in placement.Input, least map[string]int) placement.Input {
	sum := 0
	for i := range in.Clusters {
		c := &in.Clusters[i]
		switch {
		case c.Eligible && !c.Hold:
			n := max(c.Current, least[c.Name])
			atLeast(c, n)
			sum += n
		case c.Hold && !c.Idle:
			sum += c.Current
		}
	}
	if in.Desired > sum {
		in.Partly = true // what did not fit before is no obstacle for what is kept and moved now
	}
	in.Desired = max(in.Desired, sum)
	return in
}

func atLeast(c *placement.Cluster, n int) {
	c.Min = max(c.Min, n)
	if c.Max > 0 {
		c.Max = max(c.Max, n)
	}
}

// alone places an app of class single that has been withdrawn: nowhere, or where the step after says.
func alone(in placement.Input, reached []Step, withdrawn int) placement.Input {
	to := ""
	if i := last(reached, StepPlace, in.App); i > withdrawn {
		to = reached[i].Cluster
	}
	in.Desired = choose(to == "", 0, min(in.Desired, 1))
	for i := range in.Clusters {
		c := &in.Clusters[i]
		if c.Name == to {
			continue
		}
		c.Eligible, c.Hold, c.Idle, c.Reason = false, false, false, "is behind a fence for this app"
	}
	return in
}
