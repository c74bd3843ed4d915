package failover

import (
	"fmt"
	"strings"
)

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
	case StepWithdraw:
		return t.withdrawn(s)
	case StepFence:
		return t.fenced(s)
	case StepRelease:
		return t.released(s)
	case StepWaitGeneration:
		return t.serving()
	case StepDrain:
		return t.pause(g.DrainSeconds)
	}
	return waiting{run: true}
}

// serving: every node that matters has read the newest generation back, and the pause is over.
func (t *turn) serving() waiting {
	g := t.plan.Guard
	if t.see.NoGateways {
		return waiting{over: true}
	}
	if t.see.Agents <= 0 || t.see.AgentsServing < t.see.Agents {
		missing := fmt.Sprintf("%d of %s serve it", t.see.AgentsServing, count(t.see.Agents, "load balancer node"))
		if len(t.see.Behind) > 0 {
			missing += "; " + strings.Join(t.see.Behind, "; ")
		}
		return waiting{limit: g.GenerationTimeoutSeconds, missing: missing}
	}
	return t.pause(g.PauseSeconds)
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

// withdrawn: nothing of the apps is assigned to the cluster any more.
func (t *turn) withdrawn(s Step) waiting {
	for _, a := range s.Assignments {
		for _, r := range t.see.Ready {
			if r.App == a.App && r.Cluster == s.Cluster && r.Assigned > 0 {
				return waiting{limit: t.plan.Guard.ReadyTimeoutSeconds, missing: fmt.Sprintf("%s is still assigned to %s", a.App, s.Cluster)}
			}
		}
	}
	return waiting{over: true}
}

// fenced: the cluster has answered for each app that no pod is left (rule C5).
func (t *turn) fenced(s Step) waiting {
	for _, a := range s.Assignments {
		f, asked := t.fence(s.Cluster, a.App)
		missing := ""
		switch {
		case !asked:
			missing = s.Cluster + " has not been asked about " + a.App
		case f.Unknown != "" && !s.Confirmed:
			missing = fmt.Sprintf("%s cannot be asked about %s (%s)", s.Cluster, a.App, f.Unknown)
		case f.Unknown == "" && f.Pods > 0:
			missing = fmt.Sprintf("%s of %s left in %s", count(f.Pods, "pod"), a.App, s.Cluster)
		default:
			continue
		}
		return waiting{limit: t.plan.Guard.ReadyTimeoutSeconds, missing: missing}
	}
	return waiting{over: true}
}

func (t *turn) fence(cluster, app string) (Fence, bool) {
	for _, f := range t.see.Fences {
		if f.Cluster == cluster && f.App == app {
			return f, true
		}
	}
	return Fence{}, false
}

// released: no more is assigned in all than wanted. It is the last step, and no more than tidiness:
// what is not taken back in time is left to placement.
func (t *turn) released(s Step) waiting {
	if t.elapsed() >= t.plan.Guard.ReadyTimeoutSeconds {
		return waiting{over: true}
	}
	for _, a := range s.Assignments {
		assigned := 0
		for _, r := range t.see.Ready {
			if r.App == a.App && !r.Idle {
				assigned += r.Assigned
			}
		}
		for _, w := range t.see.Wanted {
			if w.App == a.App && assigned > w.Replicas {
				return waiting{missing: fmt.Sprintf("%s has %d of %d replicas assigned", a.App, assigned, w.Replicas)}
			}
		}
	}
	return waiting{over: true}
}

func (g Guard) withDefaults() Guard {
	g.MarginPercent = orDefault(g.MarginPercent, 1)
	g.LatencyPercent = orDefault(g.LatencyPercent, 50)
	g.LatencyMillis = orDefault(g.LatencyMillis, 20)
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
