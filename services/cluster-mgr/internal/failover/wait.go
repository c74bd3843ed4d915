package failover

import "fmt"

// waiting is the state of a step: to be run, over, or missing something for at most limit seconds.
type waiting struct {
	run, over bool
	missing   string
	limit     int64
}

func (t *turn) wait(s Step) waiting {
	g := t.plan.Guard
	switch s.Kind {
	case StepPlace:
		return t.replicas(s, "placed", func(r Ready) int { return r.Assigned })
	case StepWaitReady:
		return t.replicas(s, "ready", func(r Ready) int { return r.Ready })
	case StepWaitGeneration:
		if t.see.Agents <= 0 || t.see.AgentsServing < t.see.Agents {
			return waiting{limit: g.GenerationTimeoutSeconds, missing: fmt.Sprintf("%d of %s serve it", t.see.AgentsServing, count(t.see.Agents, "load balancer node"))}
		}
		return t.pause(g.PauseSeconds)
	case StepDrain:
		return t.pause(g.DrainSeconds)
	}
	return waiting{run: true}
}

func (t *turn) pause(seconds int64) waiting {
	left := seconds - t.elapsed()
	return waiting{over: left <= 0, missing: fmt.Sprintf("%d s left", left)}
}

// replicas compares what a step asks for with what is seen of it.
func (t *turn) replicas(s Step, word string, has func(Ready) int) waiting {
	for _, want := range s.Assignments {
		n := 0
		for _, r := range t.see.Ready {
			if r.App == want.App && r.Cluster == s.Cluster {
				n = has(r)
			}
		}
		if n < want.Replicas {
			return waiting{
				limit:   t.plan.Guard.ReadyTimeoutSeconds,
				missing: fmt.Sprintf("%s has %d of %s %s in %s", want.App, n, count(want.Replicas, "replica"), word, s.Cluster),
			}
		}
	}
	return waiting{over: true}
}

func (g Guard) withDefaults() Guard {
	g.MarginPercent = orDefault(g.MarginPercent, 1)
	g.MinRequests = orDefault(g.MinRequests, 50)
	g.PauseSeconds = orNone(g.PauseSeconds, 2)
	g.DrainSeconds = orNone(g.DrainSeconds, 5)
	g.ReadyTimeoutSeconds = orDefault(g.ReadyTimeoutSeconds, 300)
	g.GenerationTimeoutSeconds = orDefault(g.GenerationTimeoutSeconds, 60)
	return g
}

func orDefault[T int64 | float64](v, def T) T {
	if v > 0 {
		return v
	}
	return def
}

func orNone(v, def int64) int64 {
	if v == 0 {
		return def
	}
	return max(0, v)
}
