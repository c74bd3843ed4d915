package operations

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"gantry.dev/pkg/names"
	ingressv1 "gantry.dev/proto/gen/gantry/ingress/v1"
	ipaasv1 "gantry.dev/proto/gen/gantry/ipaas/v1"
	gantryv1 "gantry.dev/proto/gen/gantry/v1"
	"gantry.dev/services/cluster-mgr/internal/failover"
	"gantry.dev/services/cluster-mgr/internal/fleet"
)

// fenceTime bounds one question to a cluster.
const fenceTime = 2 * time.Second

// look gathers what failover.Next has to know.
func (l *Loop) look(ctx context.Context, s fleet.Snapshot, o fleet.Operation, now time.Time) (failover.Observation, error) {
	see := failover.Observation{NowUnix: now.Unix(), Ready: s.FailoverReady(), Wanted: s.FailoverWanted(), FrozenReason: l.Frozen()}
	if err := l.countAgents(ctx, s, &see); err != nil {
		return failover.Observation{}, err
	}
	if step, asking := failover.Asking(o.Plan, o.Progress); asking && see.FrozenReason == "" {
		see.Fences = l.fence(ctx, s, step)
	}
	l.watchErrors(s, o, &see)
	return see, nil
}

// fence asks a cluster, with this term's epoch, to let nothing of the step's
// apps run (rule C5). Asking again is the same as asking once.
func (l *Loop) fence(ctx context.Context, s fleet.Snapshot, step failover.Step) []failover.Fence {
	var out []failover.Fence
	for _, a := range step.Assignments {
		answer := failover.Fence{Cluster: step.Cluster, App: a.App}
		pods, err := l.fenceApp(ctx, s.Cluster("clusters/"+step.Cluster), a.App)
		if err != nil {
			answer.Unknown = err.Error()
		}
		answer.Pods = pods
		out = append(out, answer)
	}
	return out
}

func (l *Loop) fenceApp(ctx context.Context, cluster *gantryv1.Cluster, app string) (int, error) {
	if cluster == nil {
		return 0, errors.New("it is registered no more")
	}
	client, err := l.Pool.Ipaas(cluster)
	if err != nil {
		return 0, err
	}
	ctx, cancel := context.WithTimeout(ctx, fenceTime)
	defer cancel()
	answer, err := client.FenceApp(ctx, &ipaasv1.FenceAppRequest{Epoch: l.term.Epoch, Identity: cluster.GetIdentity(), App: app})
	if err != nil {
		return 0, err
	}
	l.Logger.Info("fenced", "app", app, "cluster", names.ID(cluster.GetName()), "pods", answer.GetPods())
	return int(answer.GetPods()), nil
}

// countAgents counts the load balancer nodes that answer, and those of them
// that serve the newest generation of their gateway. While a gateway's
// published configuration does not show the clusters as they are stored, none
// of its nodes does.
func (l *Loop) countAgents(ctx context.Context, s fleet.Snapshot, see *failover.Observation) error {
	gateways, _, err := l.Store.Gateways.List(ctx, "")
	if err != nil {
		return fmt.Errorf("list gateways: %w", err)
	}
	see.NoGateways = len(gateways) == 0
	for _, g := range gateways {
		config, err := l.Store.Configs.Get(ctx, names.ID(g.Name))
		if err != nil {
			return fmt.Errorf("read the configuration of %s: %w", g.Name, err)
		}
		shows := !slices.ContainsFunc(config.Value.GetClusters(), func(c *ingressv1.Cluster) bool {
			return c.GetTrafficPercent() != s.Cluster("clusters/"+c.GetName()).GetTrafficPercent()
		})
		for _, n := range g.Value.GetNodes() {
			agent, ok := s.View.Agents[names.ID(g.Name)+"/"+n.GetName()]
			if !ok || agent.Err != nil {
				continue
			}
			see.Agents++
			if shows && agent.Status.GetGeneration() >= config.Value.GetGeneration() {
				see.AgentsServing++
			}
		}
	}
	return nil
}

// errorWatch is what the load balancers had counted when the last step of an
// operation was done.
type errorWatch struct {
	last counts
	done int
}

// counts are requests to, and failures of, the clusters that take over.
type counts struct{ requests, failed int64 }

func (c counts) since(b counts) (requests int64, percent float64) {
	requests = c.requests - b.requests
	if requests <= 0 {
		return 0, 0
	}
	return requests, 100 * float64(c.failed-b.failed) / float64(requests)
}

// measured is an operation with its baseline: the share of failures since the
// balancers started. It is kept with the operation, so that errors which a
// change of leader falls into are not taken for what was before.
func measured(s fleet.Snapshot, o fleet.Operation) fleet.Operation {
	if o.BaselinePercent == nil {
		_, percent := taken(s, o.Plan).since(counts{})
		o.BaselinePercent = &percent
	}
	return o
}

// watchErrors compares the failures since the last step with the baseline.
func (l *Loop) watchErrors(s fleet.Snapshot, o fleet.Operation, see *failover.Observation) {
	now := taken(s, o.Plan)
	w, ok := l.errors[o.Name]
	// Counters that fell belong to a balancer that has started anew.
	if !ok || w.done != o.Progress.Done || now.requests < w.last.requests || now.failed < w.last.failed {
		w = errorWatch{last: now, done: o.Progress.Done}
	}
	l.errors[o.Name] = w
	see.BaselinePercent = *o.BaselinePercent
	see.Requests, see.ErrorPercent = now.since(w.last)
}

// forgetEnded drops what was kept for operations that do not run any more.
func (l *Loop) forgetEnded(live []fleet.Operation) {
	maps.DeleteFunc(l.errors, func(name string, _ errorWatch) bool {
		return !slices.ContainsFunc(live, func(o fleet.Operation) bool { return o.Name == name })
	})
}

// taken sums over all nodes what went to the clusters that take over: the
// plan's own when it gets traffic, the others when it loses some.
func taken(s fleet.Snapshot, p failover.Plan) counts {
	returning := p.Returning()
	var sum counts
	for _, agent := range s.View.Agents {
		for _, c := range agent.Status.GetClusters() {
			if (c.GetCluster() == p.Cluster) == returning {
				sum.requests += c.GetRequests()
				sum.failed += c.GetFailed()
			}
		}
	}
	return sum
}
