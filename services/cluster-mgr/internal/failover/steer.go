package failover

import (
	"slices"

	"gantry.dev/services/cluster-mgr/internal/placement"
)

// Steering is what a plan in progress makes of the placement of the apps that it touches, sorted by app
// once for all of them.
type Steering struct {
	plan Plan
	at   Progress
	// By app: what the steps that have been reached say about it. There is an empty list for an app
	// that only other steps name.
	steps map[string][]Step
}

// NewSteering sorts a plan.
func NewSteering(p Plan, at Progress) Steering {
	s := Steering{plan: p, at: at, steps: map[string][]Step{}}
	for _, step := range slices.Concat(p.Steps, p.Reverse) {
		for _, a := range step.Assignments {
			s.steps[a.App] = nil
		}
	}
	list, i := script(p, at)
	for _, step := range list[:min(i+1, len(list))] {
		for _, a := range step.Assignments {
			s.steps[a.App] = append(s.steps[a.App], Step{Kind: step.Kind, Cluster: step.Cluster, Assignments: []Assignment{a}})
		}
	}
	return s
}

// Steer bends the placement of one app to what the plan needs while it is carried out:
//
//   - What a PLACE step that has been reached puts into a cluster is the least there.
//   - Until a RELEASE step nothing is taken away anywhere for it: the wanted total grows by what
//     starts elsewhere, so capacity is there before traffic moves (rule C2).
//   - An app of class single is wanted nowhere between WITHDRAW and its next PLACE, and then in that
//     cluster only (rule C5).
//
// Clusters that placement excludes or holds for reasons of its own stay so. Apps that the plan does not
// touch are returned as they came.
func (s Steering) Steer(in placement.Input) placement.Input {
	if !s.touches(in) {
		return in
	}
	reached := s.steps[in.App]
	in.Clusters = slices.Clone(in.Clusters)
	in.Rebalance = false
	if withdrawn := last(reached, StepWithdraw); withdrawn >= 0 {
		return alone(in, reached, withdrawn)
	}
	least := map[string]int{}
	for _, step := range reached {
		if step.Kind == StepPlace {
			least[step.Cluster] = step.Assignments[0].Replicas
		}
	}
	if last(reached, StepRelease) < 0 {
		if !s.at.Reversing && !s.plan.Returning() && !steps(s.plan.Steps).has(StepAdmit) {
			hold(in.Clusters, s.plan.Cluster)
		}
		return keep(in, least)
	}
	for i := range in.Clusters {
		atLeast(&in.Clusters[i], least[in.Clusters[i].Name])
	}
	if s.plan.Kind == KindFailBack && !s.at.Reversing {
		s.give(in)
	}
	return in
}

// touches tells whether the plan is about an app: it names it, or takes traffic from its replicas.
func (s Steering) touches(in placement.Input) bool {
	for _, c := range in.Clusters {
		if c.Name == s.plan.Cluster && c.Current > 0 {
			return true
		}
	}
	_, named := s.steps[in.App]
	return named
}

// last is the index of the last step of a kind; -1: there is none.
func last(list []Step, kind StepKind) int {
	for i := len(list) - 1; i >= 0; i-- {
		if list[i].Kind == kind {
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
	if i := last(reached, StepPlace); i > withdrawn {
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
