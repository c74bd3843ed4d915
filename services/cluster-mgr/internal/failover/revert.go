package failover

import (
	"slices"

	"gantry.dev/services/cluster-mgr/internal/placement"
)

// RevertInput is everything that taking a finished plan back depends on.
type RevertInput struct {
	// Of is the plan that has been carried out to its end.
	Of Plan `json:"of"`
	// Evacuated tells whether its cluster is closed to replicas now.
	Evacuated bool  `json:"evacuated,omitempty"`
	NowUnix   int64 `json:"now_unix"`
	// HealthySinceUnix of its cluster; 0 = it is not healthy.
	HealthySinceUnix int64 `json:"healthy_since_unix"`
	// StabilizeSeconds it must have been healthy to take work back; 0 = 300, negative = none.
	StabilizeSeconds int64     `json:"stabilize_seconds,omitempty"`
	Clusters         []Cluster `json:"clusters"`
	Apps             []App     `json:"apps"`
	Guard            Guard     `json:"guard"`
}

// Revert plans to take a finished plan back by the steps that were kept for that. The plan has no
// steps when the world is not any more as the finished one left it; its problems say what changed.
func Revert(in RevertInput) Plan {
	b := newBuilder(opposite(in.Of.Kind), in.Of.Cluster, in.Clusters, in.Guard)
	c, ok := b.source(false)
	if !ok {
		return b.plan
	}
	b.unchanged(in, c)
	for _, app := range byPriority(in.Apps) {
		b.room(in.Of, app)
	}
	b.known(in)
	if len(b.plan.Problems) > 0 {
		return b.plan
	}
	b.plan.Steps = slices.Clone(in.Of.Reverse)
	b.plan.Reverse = forwards(in.Of)
	b.plan.Moves = turned(in.Of.Moves)
	return b.plan
}

func opposite(k Kind) Kind {
	switch k {
	case KindMigrateApps:
		return KindFailBack
	case KindFailBack:
		return KindMigrateApps
	}
	return k
}

// unchanged compares the cluster with what the finished plan made of it.
func (b *builder) unchanged(in RevertInput, c Cluster) {
	closed := in.Of.Kind == KindMigrateApps
	switch traffic := endTraffic(in.Of.Steps, c.TrafficPercent); {
	case len(in.Of.Reverse) == 0:
		b.problem("there is no way back that was kept")
	case closed && !in.Evacuated:
		b.problem("%s is open to replicas again, so the migration has been taken back already", c.Name)
	case !closed && in.Evacuated:
		b.problem("%s has been evacuated since", c.Name)
	case c.TrafficPercent != traffic:
		b.problem("%s gets %d %% of its traffic now, and was left with %d %%", c.Name, c.TrafficPercent, traffic)
	case closed:
		b.stable(FailBackInput{Cluster: c.Name, NowUnix: in.NowUnix, HealthySinceUnix: in.HealthySinceUnix, StabilizeSeconds: in.StabilizeSeconds})
	case in.Of.Kind == KindSwitchTraffic && endTraffic(in.Of.Reverse, 0) > c.TrafficPercent && !c.Eligible:
		b.problem("%s %s and can take no traffic", c.Name, orElse(c.Reason, "is not eligible"))
	case in.Of.Kind == KindFailBack && len(b.plan.Targets) == 0:
		b.problem("no other cluster can take over from %s", c.Name)
	}
}

// endTraffic is the percentage after the last weight step.
func endTraffic(list []Step, without int) int {
	for _, s := range list {
		if s.Kind == StepSetTraffic {
			without = s.TrafficPercent
		}
	}
	return without
}

// room checks that what the way back places of an app is still wanted and has a place.
func (b *builder) room(of Plan, app App) {
	for _, back := range placedBack(of, app.Name) {
		here, listed := app.in(back.Cluster)
		in := b.fleet.input(app)
		total := in.Desired
		if back.Cluster == b.plan.Cluster {
			in = b.open(in)
		}
		more := back.Replicas - here.Replicas
		in.Desired += max(0, more)
		in = amend(only(in), back.Cluster, func(c *placement.Cluster) {
			c.Min, c.Max = max(back.Replicas, c.Current), max(back.Replicas, c.Current)
		})
		p := placement.Decide(in)
		switch {
		case !listed:
			b.problem("%s may not run in %s any more", app.Name, back.Cluster)
		case len(here.Missing) > 0:
			b.problem("%s cannot go back to %s: it lacks %s", app.Name, back.Cluster, here.Missing[0])
		case total < back.Replicas:
			b.problem("%s has %s in all now, and had %d in %s", app.Name, count(total, "replica"), back.Replicas, back.Cluster)
		case p.Replicas(back.Cluster) < back.Replicas:
			b.problem("%s has no room for %s of %s", back.Cluster, count(max(0, more), "more replica"), app.Name)
		}
		b.fleet.reserve(p, app.PerReplica)
	}
}

// placedBack is what the way back of a plan places of an app.
func placedBack(p Plan, app string) []Target {
	var out []Target
	for _, placed := range of(p.Reverse, StepPlace) {
		for _, a := range placed.assignments {
			if a.App == app {
				out = append(out, Target{placed.cluster, a.Replicas})
			}
		}
	}
	return out
}

// known names apps that are gone.
func (b *builder) known(in RevertInput) {
	for _, name := range of(in.Of.Reverse, StepPlace).apps() {
		if !slices.ContainsFunc(in.Apps, func(a App) bool { return a.Name == name }) {
			b.problem("%s does not exist any more", name)
		}
	}
}

// forwards are the steps of a plan for a cluster that serves: it is closed last, and asked itself
// whether pods are left.
func forwards(p Plan) []Step {
	var list, closing []Step
	for _, s := range p.Steps {
		s.Confirmed = false
		if s.Kind == StepEvacuate {
			closing = append(closing, s)
			continue
		}
		list = append(list, s)
	}
	return append(list, closing...)
}

// turned are the moves the other way round.
func turned(moves []Move) []Move {
	out := []Move{}
	for _, m := range moves {
		for _, to := range m.To {
			out = append(out, Move{
				App: m.App, From: to.Cluster, Replicas: to.Replicas, To: []Target{{m.From, to.Replicas}}, Fits: true, Single: m.Single,
			})
		}
	}
	return out
}
