package failover

import (
	"cmp"
	"fmt"
	"slices"
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
	p.assignments = append(p.assignments, Assignment{app, replicas})
	slices.SortFunc(p.assignments, func(a, b Assignment) int { return cmp.Compare(a.App, b.App) })
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
