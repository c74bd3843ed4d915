package operations

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"gantry.dev/pkg/names"
	ingressv1 "gantry.dev/proto/gen/gantry/ingress/v1"
	"gantry.dev/services/cluster-mgr/internal/failover"
	"gantry.dev/services/cluster-mgr/internal/fleet"
)

// look gathers what failover.Next has to know.
func (l *Loop) look(ctx context.Context, s fleet.Snapshot, o fleet.Operation, now time.Time) (failover.Observation, error) {
	see := failover.Observation{NowUnix: now.Unix(), Ready: s.FailoverReady(), FrozenReason: l.Frozen()}
	if err := l.countAgents(ctx, s, &see); err != nil {
		return failover.Observation{}, err
	}
	l.watchErrors(s, o, &see)
	return see, nil
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
// operation was done, and the share of failures when it was first seen.
type errorWatch struct {
	last     counts
	done     int
	baseline float64
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

// watchErrors compares the failures since the last step with those since the
// balancers started.
func (l *Loop) watchErrors(s fleet.Snapshot, o fleet.Operation, see *failover.Observation) {
	now := taken(s, o.Plan.Cluster)
	w, ok := l.errors[o.Name]
	if !ok {
		_, baseline := now.since(counts{})
		w = errorWatch{last: now, done: o.Progress.Done, baseline: baseline}
	}
	if w.done != o.Progress.Done {
		w.done, w.last = o.Progress.Done, now
	}
	l.errors[o.Name] = w
	see.BaselinePercent = w.baseline
	see.Requests, see.ErrorPercent = now.since(w.last)
}

// forgetEnded drops what was kept for operations that do not run any more.
func (l *Loop) forgetEnded(s fleet.Snapshot) {
	maps.DeleteFunc(l.errors, func(name string, _ errorWatch) bool {
		return !slices.ContainsFunc(s.Operations, func(o fleet.Operation) bool { return o.Name == name })
	})
}

// taken sums over all nodes what went to the clusters other than the one that
// an operation is about.
func taken(s fleet.Snapshot, except string) counts {
	var sum counts
	for _, agent := range s.View.Agents {
		for _, c := range agent.Status.GetClusters() {
			if c.GetCluster() != except {
				sum.requests += c.GetRequests()
				sum.failed += c.GetFailed()
			}
		}
	}
	return sum
}
