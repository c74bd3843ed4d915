package failover

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

const (
	defaultStep = 25
	fullTraffic = 100
)

// steps is a list under construction.
type steps []Step

func (s *steps) add(kind StepKind, cluster, format string, args ...any) {
	*s = append(*s, Step{Kind: kind, Cluster: cluster, Sentence: fmt.Sprintf(format, args...)})
}

// traffic goes from one percentage to another in steps, each of which must be served everywhere
// before the next.
func (s *steps) traffic(cluster string, from, to, step int) {
	if step <= 0 {
		step = defaultStep
	}
	from, to = percent(from), percent(to)
	for from != to {
		next := min(from+step, to)
		if to < from {
			next = max(from-step, to)
		}
		*s = append(*s, Step{
			Kind: StepSetTraffic, Cluster: cluster, TrafficPercent: next, FromPercent: from,
			Sentence: fmt.Sprintf("set the traffic of %s to %d %%", cluster, next),
		})
		s.add(StepWaitGeneration, cluster, "wait until all load balancer nodes serve %s with %d %%", cluster, next)
		from = next
	}
}

// place starts replicas in several clusters, then waits for all of them.
func (s *steps) place(counts []placed) {
	for _, kind := range []StepKind{StepPlace, StepWaitReady} {
		for _, p := range counts {
			sentence := fmt.Sprintf("place %s in %s", count(total(p.assignments), "replica"), p.cluster)
			if kind == StepWaitReady {
				sentence = fmt.Sprintf("wait until they are ready in %s", p.cluster)
			}
			*s = append(*s, Step{Kind: kind, Cluster: p.cluster, Assignments: p.assignments, Sentence: sentence})
		}
	}
}

// release gives up what was kept or started beyond the wanted total.
func (s *steps) release(cluster string, apps []string) {
	if len(apps) > 0 {
		*s = append(*s, Step{
			Kind: StepRelease, Cluster: cluster, Assignments: naming(apps),
			Sentence: fmt.Sprintf("give up what runs beyond the wanted replicas of %s", count(len(apps), "app")),
		})
	}
}

// refence moves apps of class single from one set of clusters to another: first none of them is wanted,
// then none of them is left, and only then they start (rule C5).
func (s *steps) refence(from, to []placed, confirmed bool) {
	for _, p := range from {
		*s = append(*s, Step{
			Kind: StepWithdraw, Cluster: p.cluster, Assignments: naming(p.apps()),
			Sentence: fmt.Sprintf("stop %s in %s", strings.Join(p.apps(), ", "), p.cluster),
		})
	}
	for _, p := range from {
		sentence := fmt.Sprintf("wait until %s answers that no pod of %s is left", p.cluster, strings.Join(p.apps(), ", "))
		if confirmed {
			sentence = fmt.Sprintf("ask %s whether a pod of %s is left; when it cannot be asked, the approval of this plan counts as no", p.cluster, strings.Join(p.apps(), ", "))
		}
		*s = append(*s, Step{Kind: StepFence, Cluster: p.cluster, Assignments: naming(p.apps()), Confirmed: confirmed, Sentence: sentence})
	}
	s.place(to)
}

// placed is what a cluster has in all once a plan is done, of the apps that the plan touches.
type placed struct {
	cluster     string
	assignments []Assignment
}

// tally collects assignments per cluster.
type tally []placed

func (t *tally) add(cluster, app string, replicas int) {
	i, found := slices.BinarySearchFunc(*t, cluster, func(p placed, name string) int { return cmp.Compare(p.cluster, name) })
	if !found {
		*t = slices.Insert(*t, i, placed{cluster: cluster})
	}
	p := &(*t)[i]
	j, found := slices.BinarySearchFunc(p.assignments, app, func(a Assignment, name string) int { return cmp.Compare(a.App, name) })
	if !found {
		p.assignments = slices.Insert(p.assignments, j, Assignment{App: app})
	}
	p.assignments[j].Replicas = replicas
}

// join adds all of another tally.
func (t *tally) join(o tally) {
	for _, p := range o {
		for _, a := range p.assignments {
			t.add(p.cluster, a.App, a.Replicas)
		}
	}
}

// part is what of a tally is kept.
func (t tally) part(keep func(cluster, app string) bool) tally {
	var out tally
	for _, p := range t {
		for _, a := range p.assignments {
			if keep(p.cluster, a.App) {
				out.add(p.cluster, a.App, a.Replicas)
			}
		}
	}
	return out
}

// apps are the names of all apps in name order.
func (t tally) apps() []string {
	var names []string
	for _, p := range t {
		names = append(names, p.apps()...)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

func (p placed) apps() []string {
	names := make([]string, 0, len(p.assignments))
	for _, a := range p.assignments {
		names = append(names, a.App)
	}
	return names
}

// naming are assignments that only name apps.
func naming(apps []string) []Assignment {
	out := make([]Assignment, 0, len(apps))
	for _, a := range apps {
		out = append(out, Assignment{App: a})
	}
	return out
}

// of are the assignments in the steps of a kind, as a tally; later ones win.
func of(list []Step, kind StepKind) tally {
	var t tally
	for _, s := range list {
		if s.Kind == kind {
			for _, a := range s.Assignments {
				t.add(s.Cluster, a.App, a.Replicas)
			}
		}
	}
	return t
}

func percent(n int) int { return max(0, min(n, fullTraffic)) }

func total(as []Assignment) int {
	sum := 0
	for _, a := range as {
		sum += a.Replicas
	}
	return sum
}

func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
