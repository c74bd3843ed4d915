package failover

import (
	"fmt"

	"gantry.dev/services/cluster-mgr/internal/placement"
)

// builder is a plan under construction.
type builder struct {
	plan  Plan
	fleet *fleet
	// grown and home are the counts after and before the plan, in the clusters that gain and in
	// the cluster itself.
	grown, home tally
	incomplete  bool
}

func newBuilder(kind Kind, cluster string, clusters []Cluster, guard Guard) *builder {
	f := newFleet(clusters)
	return &builder{fleet: f, plan: Plan{
		Kind: kind, Cluster: cluster, Targets: f.targets(cluster), Guard: guard,
		Moves: []Move{}, Steps: []Step{}, Problems: []string{}, Reverse: []Step{},
	}}
}

func (b *builder) problem(format string, args ...any) {
	b.plan.Problems = append(b.plan.Problems, fmt.Sprintf(format, args...))
}

// source finds the plan's cluster and checks what every plan needs.
func (b *builder) source(needTargets bool) (Cluster, bool) {
	c, ok := b.fleet.find(b.plan.Cluster)
	switch {
	case !ok:
		b.problem("there is no cluster %s", b.plan.Cluster)
	case needTargets && len(b.plan.Targets) == 0:
		b.problem("no other cluster can take over from %s", b.plan.Cluster)
		ok = false
	}
	return c, ok
}

// Switch plans to change the share of its normal traffic that a cluster gets.
func Switch(in SwitchInput) Plan {
	b := newBuilder(KindSwitchTraffic, in.Cluster, in.Clusters, in.Guard)
	to := percent(in.ToPercent)
	c, ok := b.fleet.find(in.Cluster)
	leaving := ok && to < c.TrafficPercent
	if c, ok = b.source(leaving); !ok {
		return b.plan
	}
	switch {
	case to == c.TrafficPercent:
		b.problem("%s gets %d %% of its traffic already", c.Name, to)
		return b.plan
	case !leaving && !c.Eligible:
		b.problem("%s %s and can take no traffic", c.Name, orElse(c.Reason, "is not eligible"))
		return b.plan
	case leaving && in.Grow:
		b.replaceAll(in.Apps, func(n int) int { return divideUp(n*(c.TrafficPercent-to), fullTraffic) }, false)
	}
	if b.incomplete {
		return b.plan
	}
	var s steps
	s.place(b.grown)
	s.traffic(c.Name, c.TrafficPercent, to, in.StepPercent)
	if to == 0 {
		s.add(StepDrain, c.Name, "let requests under way in %s finish", c.Name)
	}
	b.plan.Steps = s
	b.plan.Reverse = b.back(c.TrafficPercent, to, in.StepPercent)
	return b.plan
}

// back gives traffic from now to was.
func (b *builder) back(was, now, step int) []Step {
	s := steps{}
	s.traffic(b.plan.Cluster, now, was, step)
	return s
}

// Migrate plans to move all apps of a cluster to the others.
func Migrate(in MigrateInput) Plan {
	b := newBuilder(KindMigrateApps, in.Cluster, in.Clusters, in.Guard)
	b.plan.SourceDown = in.Down
	c, ok := b.source(true)
	if !ok {
		return b.plan
	}
	b.replaceAll(in.Apps, func(n int) int { return n }, in.Down)
	if b.incomplete && !in.Down {
		return b.plan
	}
	b.plan.Steps = b.leave(c, in)
	b.plan.Reverse = b.comeBack(c.TrafficPercent, in.StepPercent)
	return b.plan
}

// leave closes a cluster that is down first, so that its replicas are wanted elsewhere at once;
// one that serves is closed last, when nobody is served there any more (rule C2).
func (b *builder) leave(c Cluster, in MigrateInput) []Step {
	var s steps
	step := in.StepPercent
	if in.Down {
		s.add(StepEvacuate, c.Name, "close %s: its replicas are wanted elsewhere; nothing in it is removed while it is not reached", c.Name)
		step = fullTraffic
	}
	s.place(b.grown)
	s.traffic(c.Name, c.TrafficPercent, 0, step)
	s.add(StepDrain, c.Name, "let requests under way in %s finish", c.Name)
	if !in.Down {
		s.add(StepEvacuate, c.Name, "close %s: what still runs there for these apps ends", c.Name)
	}
	return s
}

// comeBack opens the cluster, waits for what it had, and gives it its traffic.
func (b *builder) comeBack(percent, step int) []Step {
	var s steps
	name := b.plan.Cluster
	s.add(StepAdmit, name, "open %s to replicas again", name)
	s.place(b.home)
	s.traffic(name, 0, percent, step)
	return s
}

// replaceAll finds a place elsewhere for the replicas that apps have in the plan's cluster.
func (b *builder) replaceAll(apps []App, need func(int) int, partly bool) {
	for _, app := range byPriority(apps) {
		here, _ := app.in(b.plan.Cluster)
		if here.Replicas <= 0 {
			continue
		}
		for _, m := range app.missing() {
			b.problem("%s", m)
		}
		b.home.add(b.plan.Cluster, app.Name, here.Replicas)
		if app.Single {
			b.single(app)
			continue
		}
		b.replace(app, need(here.Replicas), partly)
	}
}

func (b *builder) single(app App) {
	note := "class single: it starts elsewhere only after a fence, which this plan does not do"
	b.problem("%s stays: %s", app.Name, note)
	b.plan.Moves = append(b.plan.Moves, Move{App: app.Name, From: b.plan.Cluster, To: []Target{}, Note: note})
	b.incomplete = true
}

// replace asks placement for more replicas of an app while all that it has stays where it is.
func (b *builder) replace(app App, more int, partly bool) {
	in := amend(only(b.fleet.input(app)), b.plan.Cluster, func(c *placement.Cluster) { c.Hold = true })
	in.Desired += more
	in.Partly = partly
	p := placement.Decide(in)
	move := Move{App: app.Name, From: b.plan.Cluster, To: []Target{}, Fits: p.Shortfall == nil}
	if short := p.Shortfall; short != nil {
		move.Note = fmt.Sprintf("%d of %s do not fit: %s", short.Replicas, count(more, "replica"), short.Sentence)
		b.problem("%s: %s", app.Name, move.Note)
		b.incomplete = true
	}
	b.fleet.reserve(p, app.PerReplica)
	for _, s := range p.Shares {
		if s.Replicas > s.From {
			move.To = append(move.To, Target{s.Cluster, s.Replicas - s.From})
			b.grown.add(s.Cluster, app.Name, s.Replicas)
		}
	}
	b.plan.Moves = append(b.plan.Moves, move)
}

func divideUp(a, b int) int { return (a + b - 1) / b }

func orElse(s, fallback string) string {
	if s == "" {
		return fallback
	}
	return s
}
