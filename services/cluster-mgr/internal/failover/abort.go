package failover

// Abort takes back a plan of which so many steps are done. The step after those counts too: its
// effect may be there although a crash kept it from being noted, and taking back what was not done
// does no harm. Traffic returns in one step, because something is wrong with where it went;
// replicas that were started meanwhile are left to placement.
func Abort(p Plan, done int) []Step {
	did := steps(p.Steps[:min(max(done, 0)+1, len(p.Steps))])
	s := steps{}
	switch {
	case did.has(StepEvacuate):
		s.add(StepAdmit, p.Cluster, "open %s to replicas again", p.Cluster)
		s.place(placedIn(p.Reverse, p.Cluster))
		s.restore(did)
	case did.has(StepAdmit):
		s.restore(did)
		s.add(StepEvacuate, p.Cluster, "close %s again", p.Cluster)
	default:
		s.restore(did)
	}
	return s
}

// restore sets the traffic back to what it was before the given steps.
func (s *steps) restore(did steps) {
	was, now, cluster := 0, 0, ""
	for _, step := range did {
		if step.Kind != StepSetTraffic {
			continue
		}
		if cluster == "" {
			was, cluster = step.FromPercent, step.Cluster
		}
		now = step.TrafficPercent
	}
	if cluster != "" {
		s.traffic(cluster, now, was, fullTraffic)
	}
}

func (s steps) has(kind StepKind) bool {
	for _, step := range s {
		if step.Kind == kind {
			return true
		}
	}
	return false
}

// placedIn reads back what the given steps place in a cluster.
func placedIn(list []Step, cluster string) tally {
	var t tally
	for _, step := range list {
		if step.Kind == StepPlace && step.Cluster == cluster {
			t = append(t, placed{cluster, step.Assignments})
		}
	}
	return t
}
