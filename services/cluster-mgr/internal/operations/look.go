package operations

import (
	"cmp"
	"context"
	"errors"
	"time"

	"gantry.dev/pkg/names"
	ipaasv1 "gantry.dev/proto/gen/gantry/ipaas/v1"
	gantryv1 "gantry.dev/proto/gen/gantry/v1"
	"gantry.dev/services/cluster-mgr/internal/failover"
	"gantry.dev/services/cluster-mgr/internal/fleet"
)

// fenceTime bounds one question to a cluster.
const fenceTime = 2 * time.Second

// look gathers what failover.Next has to know.
func (l *Loop) look(ctx context.Context, s fleet.Snapshot, o fleet.Operation, now time.Time) (failover.Observation, error) {
	see := failover.Observation{NowUnix: now.Unix(), FrozenReason: l.Frozen()}
	if o.Shifting() {
		see.FrozenReason, see.Shift = cmp.Or(see.FrozenReason, overruled(s)), shifting(s, o.Plan.App)
	} else {
		see.Ready, see.Wanted = s.FailoverReady(), s.FailoverWanted()
	}
	if err := l.confirm(ctx, s, o, &see); err != nil {
		return failover.Observation{}, err
	}
	if o.Shifting() && !see.NoGateways && !answered(s) {
		see.FrozenReason = cmp.Or(see.FrozenReason, "no load balancer node has said yet how the app is served")
	}
	if step, asking := failover.Asking(o.Plan, o.Progress); asking && see.FrozenReason == "" {
		see.Fences = l.fence(ctx, s, step)
	}
	l.measure(s, o, &see)
	return see, nil
}

// overruled says why shifts of apps have to wait: an operation that moves
// clusters goes first; empty: there is none.
func overruled(s fleet.Snapshot) string {
	if by := s.Moving(); by != "" {
		return by + " and goes first"
	}
	return ""
}

// shifting is what a shift has to know of its app; nil: there is no such app.
func shifting(s fleet.Snapshot, app string) *failover.Shifting {
	if !s.App(app) {
		return nil
	}
	return &failover.Shifting{Shares: s.Shares(app), Clusters: s.Serving(app)}
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
