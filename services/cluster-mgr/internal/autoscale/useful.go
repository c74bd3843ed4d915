package autoscale

import (
	"fmt"
	"slices"
)

const (
	// uselessGrowths in a row, to uselessFactor times the replicas, that did not help stop growing for
	// retrySeconds.
	uselessGrowths = 3
	uselessFactor  = 4
	retrySeconds   = 120
	// leastEffect is the share of the fall to be expected that counts as help.
	leastEffect = 0.1
	// maxGrowths are kept.
	maxGrowths = 20
)

// useless judges the growths so far before another one, and notes the one to come. It is true when more
// replicas do not help.
func (t *turn) useless() bool {
	if !t.judging() {
		return false
	}
	best := t.survey.readings[t.survey.best]
	g := Growth{AtUnix: t.in.NowUnix, Replicas: t.view.observed, PerPod: best.sum / float64(max(1, best.pods)), Requests: t.in.Traffic.RequestsPerSecond}
	n := len(t.growths)
	switch {
	case n == 0 || t.growths[n-1].helped(g) || t.growths[0].busier(g):
		t.growths = []Growth{g}
	case n >= uselessGrowths && g.Replicas >= uselessFactor*t.growths[0].Replicas && g.AtUnix-t.growths[n-1].AtUnix < retrySeconds:
		return true
	case n < maxGrowths:
		t.growths = append(slices.Clone(t.growths), g)
	default:
		t.growths = append(slices.Clone(t.growths[:n-1]), g)
	}
	return false
}

// judging tells whether what is seen says something about the growths before: all their replicas are
// ready, and all are measured.
func (t *turn) judging() bool {
	return !t.survey.problem.isSet() && t.survey.usable() && t.view.unready == 0
}

// enough forgets the growths: the target is reached, so they helped.
func (t *turn) enough() {
	if t.judging() && t.wanted <= t.view.serving {
		t.growths = nil
	}
}

// helped tells whether the metric per pod has fallen by some of what so many more pods must have brought.
func (g Growth) helped(now Growth) bool {
	if now.Replicas <= g.Replicas {
		return true // it did not happen, or was taken back: nothing to judge
	}
	expected := g.PerPod * float64(g.Replicas) / float64(now.Replicas)
	return g.PerPod-now.PerPod >= leastEffect*(g.PerPod-expected)
}

// busier tells whether so many more requests come since then that more replicas were due anyway.
func (g Growth) busier(now Growth) bool {
	return g.Requests > 0 && 2*(now.Requests/g.Requests-1) >= float64(now.Replicas)/float64(g.Replicas)-1
}

func (t *turn) stopped() Decision {
	return t.hold(ReasonUseless, fmt.Sprintf("%s would be needed, but %s; tried again %d s after the last time", count(t.bounded), t.growth(), retrySeconds))
}

// growth says what the growths brought.
func (t *turn) growth() string {
	best, first := t.survey.readings[t.survey.best], t.growths[0]
	return fmt.Sprintf("from %d to %s %s per pod did not fall (%s, now %s), though no more requests came", first.Replicas, count(t.view.observed),
		best.name, decimal(first.PerPod), decimal(best.sum/float64(max(1, best.pods))))
}

// alarm is the sentence to raise while growths are known that did not help.
func (t *turn) alarm() string {
	n := len(t.growths)
	if n < uselessGrowths || !t.survey.usable() || t.view.observed < uselessFactor*t.growths[0].Replicas {
		return ""
	}
	return fmt.Sprintf("%s: %s; something else than the number of replicas limits it", t.in.App, t.growth())
}
