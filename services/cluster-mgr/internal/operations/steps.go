package operations

import (
	"context"
	"fmt"

	"gantry.dev/pkg/fault"
	"gantry.dev/services/cluster-mgr/internal/failover"
	"gantry.dev/services/cluster-mgr/internal/fleet"
	"gantry.dev/services/cluster-mgr/internal/store"
	"google.golang.org/protobuf/proto"
)

// do adds a step's effect to a change: every effect is a field of the cluster,
// which placement and the gateways follow, or the shares of an app. Steps that
// only wait never come here.
func (l *Loop) do(ctx context.Context, change *store.Change, step failover.Step) error {
	if step.Kind == failover.StepSetShares {
		return l.divide(ctx, change, step)
	}
	item, err := l.Store.Clusters.Get(ctx, "clusters/"+step.Cluster)
	if err != nil {
		return fmt.Errorf("%s: %w", step.Sentence, err)
	}
	cluster := proto.CloneOf(item.Value)
	switch step.Kind {
	case failover.StepSetTraffic:
		cluster.TrafficPercent = int32(step.TrafficPercent)
	case failover.StepEvacuate:
		apps, err := l.Store.EndShares(ctx, step.Cluster, l.term.Guard())
		if err != nil {
			return fmt.Errorf("end the shares that lead to %s: %w", step.Cluster, err)
		}
		l.Logger.Info("shares end", "cluster", step.Cluster, "apps", apps)
		cluster.Evacuated = true
	case failover.StepAdmit:
		cluster.Evacuated = false
	default:
		return fmt.Errorf("a step of kind %s has no effect to be done", step.Kind)
	}
	l.Store.Clusters.Put(change, item.Name, cluster, item.ModRevision)
	return nil
}

// divide sets the shares of an app's requests. An app that is gone has none.
func (l *Loop) divide(ctx context.Context, change *store.Change, step failover.Step) error {
	app, err := l.Store.Apps.Get(ctx, step.App)
	if fault.Is(err, fault.KindNotFound) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("%s: %w", step.Sentence, err)
	}
	l.Store.Apps.Expect(change, app.Name, app.ModRevision) // one that is deleted now leaves nothing behind
	if len(step.Shares) == 0 {
		l.Store.Shares.Delete(change, step.App, store.Any)
		return nil
	}
	l.Store.Shares.Put(change, step.App, fleet.Recorded(step.App, step.Shares), store.Any)
	return nil
}
