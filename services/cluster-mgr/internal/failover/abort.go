package failover

import "slices"

// Abort takes back a plan of which so many steps are done. The step after those counts too: its
// effect may be there although a crash kept it from being noted, and taking back what was not done
// does no harm. Traffic returns in one step, because something is wrong with where it went, but not
// before what it needs is there again (rule C2).
func Abort(p Plan, done int) []Step {
	did := steps(p.Steps[:min(max(done, 0)+1, len(p.Steps))])
	if p.Kind == KindShiftTraffic {
		back := steps{}
		back.share(p.App, p.Former)
		return back
	}
	if did.has(StepAdmit) {
		return leaveAbort(p, did)
	}
	return comeBackAbort(p, did)
}

// comeBackAbort returns to the cluster that was to be left. While it is not closed its replicas are
// there still.
func comeBackAbort(p Plan, did steps) []Step {
	s := steps{}
	closed := did.has(StepEvacuate)
	if closed {
		s.add(StepAdmit, p.Cluster, "open %s to replicas again", p.Cluster)
	}
	grown := closed || did.has(StepPlace)
	if grown {
		s.place(of(p.Reverse, StepPlace).part(func(_, app string) bool { return !slices.Contains(p.fenced(), app) }))
	}
	s.restore(did)
	s.reshare(did)
	s.unfence(did)
	if grown {
		s.release(p.Cluster, of(p.Reverse, StepRelease).apps())
	}
	return s
}

// leaveAbort returns to the clusters that replicas were to be taken from.
func leaveAbort(p Plan, did steps) []Step {
	s := steps{}
	s.place(of(p.Reverse, StepPlace).part(func(_, app string) bool { return !slices.Contains(p.fenced(), app) }))
	s.restore(did)
	s.reshare(did)
	s.unfence(did)
	s.add(StepEvacuate, p.Cluster, "close %s again", p.Cluster)
	return s
}

// unfence brings the apps of class single back to where they were, again behind a fence where they
// may have started elsewhere (rule C5).
func (s *steps) unfence(did steps) {
	var home tally
	withdrawn := of(did, StepWithdraw)
	for _, from := range withdrawn {
		for _, app := range from.apps() {
			home.add(from.cluster, app, 1)
		}
	}
	apps := withdrawn.apps()
	s.refence(of(did, StepPlace).part(func(_, app string) bool { return slices.Contains(apps, app) }), home, false)
}

// fenced are the apps of class single that a plan moves.
func (p Plan) fenced() []string { return of(p.Steps, StepWithdraw).apps() }

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
