package failover

import (
	"fmt"
	"strings"

	"gantry.dev/services/cluster-mgr/internal/placement"
)

var small = placement.Resources{MilliCPU: 500, MemoryBytes: 128 << 20}

// site is an eligible cluster with full traffic and room for so many more replicas of small.
func site(name string, room int) Cluster {
	return Cluster{Name: name, Eligible: true, TrafficPercent: 100, Nodes: []placement.Node{{
		Name: "n1", Allocatable: placement.Resources{MilliCPU: int64(room) * 500, MemoryBytes: 64 << 30},
	}}}
}

func lost(name string) Cluster {
	return Cluster{Name: name, Reason: "is DOWN", TrafficPercent: 100}
}

// app has the given replicas in site-a, site-b, ...
func app(name string, replicas ...int) App {
	a := App{Name: name, PerReplica: small}
	for i, n := range replicas {
		a.Clusters = append(a.Clusters, Here{Cluster: fmt.Sprintf("site-%c", 'a'+i), Replicas: n})
	}
	return a
}

// text is one line per step: "SET_TRAFFIC site-b 75", "PLACE site-a web=4".
func text(list []Step) []string {
	out := []string{}
	for _, s := range list {
		line := string(s.Kind) + " " + s.Cluster
		if s.Kind == StepSetShares {
			line = string(s.Kind) + " " + division(s.Shares)
		}
		if s.Kind == StepSetTraffic {
			line += fmt.Sprintf(" %d", s.TrafficPercent)
		}
		for _, a := range s.Assignments {
			line += " " + a.App
			if a.Replicas > 0 {
				line += fmt.Sprintf("=%d", a.Replicas)
			}
		}
		out = append(out, line)
	}
	return out
}

func lines(s string) []string {
	out := []string{}
	for l := range strings.SplitSeq(strings.TrimSpace(s), "\n") {
		if l = strings.TrimSpace(l); l != "" {
			out = append(out, l)
		}
	}
	return out
}

// world is the simplest executor: it does at once what a step says.
type world struct {
	plan     Plan
	at       Progress
	now      int64
	traffic  map[string]int
	closed   map[string]bool
	shares   []Share
	serving  []Serving
	assigned map[spot]int
	ready    map[spot]int
	singles  map[string]bool
	log      []Step
	observe  func(*Observation)
	outcome  Decision
	reversed string
	// An app of class single that ran in two clusters at a time.
	doubled string
}

// spot is an app in a cluster.
type spot struct{ cluster, app string }

func newWorld(p Plan) *world {
	w := &world{
		plan: p, now: 1_790_000_000, traffic: map[string]int{}, closed: map[string]bool{},
		assigned: map[spot]int{}, ready: map[spot]int{}, singles: map[string]bool{}, shares: p.Former,
	}
	for _, m := range p.Moves {
		if m.Single {
			w.singles[m.App] = true
			w.assigned[spot{m.From, m.App}] = m.Replicas
			w.ready[spot{m.From, m.App}] = choose(p.SourceDown, 0, m.Replicas)
		}
	}
	return w
}

func (w *world) see() Observation {
	o := Observation{NowUnix: w.now, Agents: 2, AgentsServing: 2}
	for at, n := range w.assigned {
		o.Ready = append(o.Ready, Ready{Cluster: at.cluster, App: at.app, Assigned: n, Ready: w.ready[at]})
	}
	if s, asking := Asking(w.plan, w.at); asking {
		for _, a := range s.Assignments {
			o.Fences = append(o.Fences, Fence{Cluster: s.Cluster, App: a.App, Pods: w.ready[spot{s.Cluster, a.App}]})
		}
	}
	if w.plan.Kind == KindShiftTraffic {
		o.Shift = &Shifting{Shares: w.shares, Clusters: w.serving}
	}
	if w.observe != nil {
		w.observe(&o)
	}
	return o
}

// turn asks once and does what is answered; false: the plan has ended.
func (w *world) turn() bool {
	d := Next(w.plan, w.at, w.see())
	w.at, w.outcome = d.Progress, d
	switch d.Action {
	case Run:
		w.do(d.Step)
		w.at = w.at.Advance()
	case Wait:
		w.now++
		w.react(d.Step)
	case Reverse:
		w.reversed = d.Reason
	default:
		return false
	}
	return true
}

func (w *world) do(s Step) {
	w.log = append(w.log, s)
	switch s.Kind {
	case StepSetTraffic:
		w.traffic[s.Cluster] = s.TrafficPercent
	case StepSetShares:
		w.shares = s.Shares
	case StepEvacuate:
		w.closed[s.Cluster] = true
	case StepAdmit:
		w.closed[s.Cluster] = false
	}
}

// react assigns what is to be placed, makes one replica of each app ready per second where a step
// waits for it, and ends one of those that were withdrawn.
func (w *world) react(s Step) {
	for _, a := range s.Assignments {
		at := spot{s.Cluster, a.App}
		switch s.Kind {
		case StepPlace:
			w.assigned[at] = max(w.assigned[at], a.Replicas)
		case StepWithdraw:
			w.assigned[at] = 0
		case StepFence:
			w.ready[at] = max(0, w.ready[at]-1)
		case StepWaitReady:
			w.ready[at] += choose(w.ready[at] < a.Replicas, 1, 0)
		}
	}
	for at, n := range w.ready {
		for other, m := range w.ready {
			if n > 0 && m > 0 && w.singles[at.app] && at.app == other.app && at.cluster != other.cluster {
				w.doubled = at.app
			}
		}
	}
}

func (w *world) run() *world {
	for range 10_000 {
		if !w.turn() {
			return w
		}
	}
	panic("the plan does not end")
}
