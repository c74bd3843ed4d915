package failover

import (
	"fmt"
	"slices"

	"gantry.dev/services/cluster-mgr/internal/placement"
)

// builder is a plan under construction.
type builder struct {
	plan  Plan
	fleet *fleet
	// grown is what each app has after the plan in the clusters that gain, app by app in the order
	// of their priority; home is what they all have before it in the cluster itself.
	grown []tally
	home  tally
	// The same of the apps of class single.
	singles, singleHome tally
	incomplete          bool
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
		b.replaceAll(replicated(in.Apps), func(n int) int { return divideUp(n*(c.TrafficPercent-to), fullTraffic) }, in.Partly)
	}
	if b.incomplete && !in.Partly {
		return b.plan
	}
	var s steps
	s.place(b.growth())
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
	s.release(b.plan.Cluster, b.growth().apps())
	return s
}

// replicated are the apps of which any number may run. A switch leaves those of class single where
// they are: it moves no replicas.
func replicated(apps []App) []App {
	return slices.DeleteFunc(slices.Clone(apps), func(a App) bool { return a.Single })
}

// growth is what all apps have after the plan in the clusters that gain.
func (b *builder) growth() tally {
	var sum tally
	for _, t := range b.grown {
		sum.join(t)
	}
	return sum
}

// Migrate plans to move all apps of a cluster to the others.
func Migrate(in MigrateInput) Plan {
	b := newBuilder(KindMigrateApps, in.Cluster, in.Clusters, in.Guard)
	b.plan.SourceDown, b.plan.StepPercent, b.plan.Concurrency = in.Down, in.StepPercent, in.Concurrency
	c, ok := b.source(true)
	if !ok {
		return b.plan
	}
	// A cluster without traffic serves nobody: the others have what is wanted already.
	serves := c.TrafficPercent > 0
	b.replaceAll(in.Apps, func(n int) int { return choose(serves, n, 0) }, in.Down)
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
	step, led := in.StepPercent, b.ledTo(in.Apps)
	if in.Down {
		s.add(StepEvacuate, c.Name, "close %s: its replicas are wanted elsewhere; nothing in it is removed while it is not reached", c.Name)
		s.place(b.growth())
		step = fullTraffic
	} else {
		b.batches(&s, in.Concurrency)
		s.unshare(led)
	}
	s.traffic(c.Name, c.TrafficPercent, 0, step)
	s.add(StepDrain, c.Name, "let requests under way in %s finish", c.Name)
	s.refence(b.singleHome, b.singles, in.Down)
	if !in.Down {
		s.add(StepEvacuate, c.Name, "close %s: what still runs there for these apps ends", c.Name)
	}
	return s
}

// batches starts so many apps at a time elsewhere; 0 = all.
func (b *builder) batches(s *steps, size int) {
	if size <= 0 {
		size = max(1, len(b.grown))
	}
	for batch := range slices.Chunk(b.grown, size) {
		var sum tally
		for _, t := range batch {
			sum.join(t)
		}
		s.place(sum)
	}
}

// comeBack opens the cluster, waits for what it had, and gives it its traffic; what was started
// elsewhere meanwhile is given up last.
func (b *builder) comeBack(percent, step int) []Step {
	var s steps
	name := b.plan.Cluster
	s.add(StepAdmit, name, "open %s to replicas again", name)
	s.place(b.home)
	s.traffic(name, 0, percent, step)
	s.reshare(b.plan.Steps)
	s.refence(b.singles, b.singleHome, false)
	s.release(name, b.home.apps())
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
		more := choose(app.Single, here.Replicas, need(here.Replicas))
		grown := b.replace(app, here.Replicas, more, partly)
		switch {
		case !app.Single:
			b.home.add(b.plan.Cluster, app.Name, here.Replicas)
			b.grown = append(b.grown, grown)
		case len(grown) > 0:
			b.singleHome.add(b.plan.Cluster, app.Name, here.Replicas)
			b.singles.join(grown)
		}
	}
}

// replace asks placement for more replicas of an app while all that it has stays where it is, and
// gives what the gaining clusters have of it then.
func (b *builder) replace(app App, has, more int, partly bool) tally {
	in := amend(only(b.fleet.input(app)), b.plan.Cluster, func(c *placement.Cluster) { c.Hold = true })
	in.Desired += more
	in.Partly = partly
	p := placement.Decide(in)
	move := Move{App: app.Name, From: b.plan.Cluster, Replicas: has, To: []Target{}, Fits: p.Shortfall == nil, Single: app.Single}
	if short := p.Shortfall; short != nil {
		move.Note = fmt.Sprintf("%d of %s do not fit: %s", short.Replicas, count(more, "replica"), short.Sentence)
		b.problem("%s: %s", app.Name, move.Note)
		b.incomplete = true
	}
	b.fleet.reserve(p, app.PerReplica)
	var grown tally
	for _, s := range p.Shares {
		if s.Replicas > s.From {
			move.To = append(move.To, Target{s.Cluster, s.Replicas - s.From})
			grown.add(s.Cluster, app.Name, s.Replicas)
		}
	}
	if app.Single && len(grown) > 0 {
		b.explain(&move)
	}
	b.plan.Moves = append(b.plan.Moves, move)
	return grown
}

// explain says how an app of class single moves, and what the approval of the plan stands for.
func (b *builder) explain(m *Move) {
	m.Note = "class single: it stops in " + m.From + " before it starts elsewhere"
	if b.plan.SourceDown {
		m.Note = fmt.Sprintf("class single: %s cannot be asked whether it still runs there; whoever approves this plan confirms that it does not", m.From)
		b.problem("%s: %s", m.App, m.Note)
	}
}

func divideUp(a, b int) int { return (a + b - 1) / b }

func choose(condition bool, yes, no int) int {
	if condition {
		return yes
	}
	return no
}

func orElse(s, fallback string) string {
	if s == "" {
		return fallback
	}
	return s
}
