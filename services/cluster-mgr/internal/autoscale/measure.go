package autoscale

import (
	"fmt"
	"math"
)

const (
	defaultScrapeSeconds = 15
	// maxReplicas keeps absurd samples from overflowing.
	maxReplicas = 1_000_000
)

// problem is a reason not to trust data; the zero problem is none.
type problem struct{ code, text string }

func (p problem) isSet() bool { return p.code != "" }

// reading is what one metric asks for.
type reading struct {
	name    string
	target  float64
	pods    int // ready pods
	covered int // those with a fresh sample
	sum     float64
	raw     float64 // replicas before rounding
	desired int     // of the observed clusters
	problem problem // set: the metric says nothing
	// plain numbers have no unit; total is one number for all pods.
	plain, total bool
}

func (r reading) partial() bool { return r.covered < r.pods }

func measure(m Metric, v view, staleAfter float64, rounding string) reading {
	r := reading{name: m.Name, target: m.TargetPercent, pods: len(v.ready), plain: m.Plain, total: len(m.Totals) > 0}
	byPod, p := index(m, v)
	if p.isSet() {
		r.problem = p
		return r
	}
	if r.total {
		return r.ofTotals(m, v, rounding)
	}
	for _, key := range v.ready {
		s, ok := byPod[key]
		switch {
		case !ok || s.Missing:
		case !(s.Percent >= 0) || math.IsInf(s.Percent, 0): // also NaN
			r.problem = problem{ReasonInvalidSample, fmt.Sprintf("pod %s has %v%s of %s", key.pod, s.Percent, r.unit(), m.Name)}
			return r
		case fresh(s.AgeSeconds, staleAfter):
			r.covered++
			r.sum += s.Percent
		}
	}
	if r.covered == 0 {
		r.problem = problem{ReasonNoSamples, fmt.Sprintf("none of %d ready pods has a fresh %s sample", r.pods, m.Name)}
		return r
	}
	return r.divided(rounding)
}

func (r reading) divided(rounding string) reading {
	r.raw = tidy(r.sum / r.target)
	r.desired = round(r.raw, rounding)
	return r
}

// ofTotals adds up one number per cluster, which stands for all its pods: one that is missing leaves as
// many pods without a sample (rule A3).
func (r reading) ofTotals(m Metric, v view, rounding string) reading {
	byCluster := make(map[string]float64, len(m.Totals))
	for _, total := range m.Totals {
		value := float64(total.Value)
		_, twice := byCluster[total.Cluster]
		switch {
		case twice:
			r.problem = problem{ReasonDuplicateSeries, fmt.Sprintf("%s has several numbers of %s", total.Cluster, m.Name)}
			return r
		case !(value >= 0) || math.IsInf(value, 0):
			r.problem = problem{ReasonInvalidSample, fmt.Sprintf("%s has %v of %s", total.Cluster, value, m.Name)}
			return r
		}
		byCluster[total.Cluster] = value
	}
	summed := map[string]bool{}
	for _, key := range v.ready {
		value, known := byCluster[key.cluster]
		if !known {
			continue
		}
		r.covered++
		if !summed[key.cluster] {
			summed[key.cluster] = true
			r.sum += value
		}
	}
	if r.covered == 0 {
		r.problem = problem{ReasonNoSamples, fmt.Sprintf("no cluster with a ready pod has a number of %s", m.Name)}
		return r
	}
	return r.divided(rounding)
}

func (r reading) unit() string {
	if r.plain {
		return ""
	}
	return " %"
}

// index checks the answer as a whole (rule A1) and arranges it by pod.
func index(m Metric, v view) (map[podKey]Sample, problem) {
	switch {
	case !(m.TargetPercent > 0) || math.IsInf(m.TargetPercent, 0):
		return nil, problem{ReasonBadTarget, fmt.Sprintf("the target of %s is %v %%", m.Name, m.TargetPercent)}
	case len(m.Warnings) > 0:
		return nil, problem{ReasonWarnings, fmt.Sprintf("the answer for %s carries a warning: %s", m.Name, m.Warnings[0])}
	case len(v.ready) == 0:
		return nil, problem{ReasonNoReadyPods, "no ready pod can be observed"}
	}
	byPod := make(map[podKey]Sample, len(m.Samples))
	for _, s := range m.Samples {
		key := podKey{s.Cluster, s.Pod}
		if _, twice := byPod[key]; twice {
			return nil, problem{ReasonDuplicateSeries, fmt.Sprintf("a pod of %s has several series of %s", s.Cluster, m.Name)}
		}
		byPod[key] = s
	}
	return byPod, problem{}
}

// fresh is rule A2's age. A sample from the future by as much is as little trusted: a clock is off.
func fresh(age, staleAfter float64) bool {
	return math.Abs(age) < staleAfter // false for NaN
}

// tidy takes the noise of binary floats off, so that 6.000000000000001 does not round UP to 7.
func tidy(f float64) float64 {
	if f > maxReplicas {
		return maxReplicas
	}
	return math.Round(f*1e6) / 1e6
}

func round(f float64, rounding string) int {
	switch rounding {
	case RoundUp:
		return int(math.Ceil(f))
	case RoundDown:
		return int(math.Floor(f))
	}
	return int(math.Round(f))
}

// survey is all metrics together.
type survey struct {
	readings []reading
	// best is the index of the usable reading that asks for the most; -1 without one.
	best int
	// problem is the first reason why data is not complete.
	problem problem
}

func (s survey) usable() bool { return s.best >= 0 }

func surveyAll(in Input, v view, rounding string) survey {
	scrape := in.ScrapeIntervalSeconds
	if !(scrape > 0) {
		scrape = defaultScrapeSeconds
	}
	s := survey{best: -1}
	for _, m := range in.Metrics {
		s.add(measure(m, v, 2*scrape, rounding))
	}
	if len(in.Metrics) == 0 {
		s.problem = problem{ReasonNoMetrics, "the policy names no metric"}
	}
	if !s.problem.isSet() {
		s.problem = v.blind()
	}
	return s
}

func (s *survey) add(r reading) {
	s.readings = append(s.readings, r)
	p := r.problem
	if !p.isSet() {
		if s.best < 0 || r.raw > s.readings[s.best].raw {
			s.best = len(s.readings) - 1
		}
		if r.partial() {
			p = problem{ReasonPartialData, fmt.Sprintf("%d of %d ready pods have no fresh %s sample", r.pods-r.covered, r.pods, r.name)}
		}
	}
	if !s.problem.isSet() {
		s.problem = p
	}
}
