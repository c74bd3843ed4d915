package failover

import (
	"fmt"

	"gantry.dev/services/cluster-mgr/internal/placement"
)

const defaultStabilize = 300

// FailBack plans to bring replicas and traffic back to a cluster that has been healthy long enough.
// What was moved away comes back from where it went (Left), if that still holds; else an app gets back
// what the cluster had (Home) or, where that is not known, its share of a fresh division. Nothing else
// moves. Apps of class single stay where they are: a migration
// moves them, by name.
func FailBack(in FailBackInput) Plan {
	b := newBuilder(KindFailBack, in.Cluster, in.Clusters, in.Guard)
	c, ok := b.source(false)
	if !ok || !b.stable(in) {
		return b.plan
	}
	for _, app := range byPriority(replicated(in.Apps)) {
		b.bringBack(app, in.lent(app))
	}
	var s steps
	s.add(StepAdmit, c.Name, "open %s to replicas again", c.Name)
	s.place(b.home)
	s.traffic(c.Name, c.TrafficPercent, fullTraffic, in.StepPercent)
	s.release(c.Name, b.home.apps())
	b.plan.Steps = s
	b.plan.Reverse = b.leaveAgain(c, in.StepPercent)
	return b.plan
}

func (b *builder) stable(in FailBackInput) bool {
	wait := in.StabilizeSeconds
	if wait == 0 {
		wait = defaultStabilize
	}
	healthy := in.NowUnix - in.HealthySinceUnix
	switch {
	case in.HealthySinceUnix <= 0:
		b.problem("%s is not healthy", in.Cluster)
	case healthy < wait:
		b.problem("%s has been healthy for %d s only; it takes work back after %d s", in.Cluster, max(0, healthy), wait)
	default:
		return true
	}
	return false
}

func (b *builder) bringBack(app App, lent map[string]int) {
	here, listed := app.in(b.plan.Cluster)
	if !listed {
		return
	}
	for _, m := range here.Missing {
		b.problem("%s stays where it is: %s lacks %s", app.Name, b.plan.Cluster, m)
	}
	if len(app.Shares) > 0 && !app.ledTo(b.plan.Cluster) {
		b.problem("%s stays where it is: its requests are led elsewhere by shares (%s)", app.Name, division(app.Shares))
		return
	}
	if len(here.Missing) > 0 {
		return
	}
	p := placement.Decide(b.homecoming(app, here, lent))
	if p.Shortfall != nil {
		b.problem("%s stays where it is: %s", app.Name, p.Shortfall.Sentence)
		return
	}
	b.fleet.reserve(p, app.PerReplica)
	b.record(app, p, here)
}

// open makes the cluster one that takes replicas again, whatever it is now.
func (b *builder) open(in placement.Input) placement.Input {
	return amend(in, b.plan.Cluster, func(c *placement.Cluster) { c.Eligible, c.Hold = true, false })
}

// record notes a move per giving cluster, and what is to be where before and after.
func (b *builder) record(app App, p placement.Plan, here Here) {
	gain := p.Replicas(b.plan.Cluster) - here.Replicas
	if gain <= 0 {
		return
	}
	b.home.add(b.plan.Cluster, app.Name, p.Replicas(b.plan.Cluster))
	note := ""
	if want := here.Home - here.Replicas; want > gain {
		note = fmt.Sprintf("%d of the %d it had come back", gain, want)
	}
	var grown tally
	for _, s := range p.Shares {
		if s.Replicas >= s.From {
			continue
		}
		b.plan.Moves = append(b.plan.Moves, Move{
			App: app.Name, From: s.Cluster, Replicas: s.From - s.Replicas, To: []Target{{b.plan.Cluster, s.From - s.Replicas}}, Fits: true, Note: note,
		})
		grown.add(s.Cluster, app.Name, s.From)
	}
	b.grown = append(b.grown, grown)
}

// leaveAgain takes a finished FailBack back: the others grow to what they had, then traffic leaves,
// then the cluster is closed (rule C2).
func (b *builder) leaveAgain(c Cluster, step int) []Step {
	var s steps
	s.place(b.growth())
	s.traffic(c.Name, fullTraffic, c.TrafficPercent, step)
	s.add(StepDrain, c.Name, "let requests under way in %s finish", c.Name)
	s.add(StepEvacuate, c.Name, "close %s: its replicas are wanted elsewhere", c.Name)
	return s
}
