package operations

import (
	"context"
	"fmt"

	"gantry.dev/services/cluster-mgr/internal/failover"
	"gantry.dev/services/cluster-mgr/internal/store"
	"google.golang.org/protobuf/proto"
)

// do adds a step's effect to a change: every effect is a field of the cluster,
// which placement and the gateways follow. Steps that only wait never come
// here.
func (l *Loop) do(ctx context.Context, change *store.Change, step failover.Step) error {
	item, err := l.Store.Clusters.Get(ctx, "clusters/"+step.Cluster)
	if err != nil {
		return fmt.Errorf("%s: %w", step.Sentence, err)
	}
	cluster := proto.CloneOf(item.Value)
	switch step.Kind {
	case failover.StepSetTraffic:
		cluster.TrafficPercent = int32(step.TrafficPercent)
	case failover.StepEvacuate:
		cluster.Evacuated = true
	case failover.StepAdmit:
		cluster.Evacuated = false
	default:
		return fmt.Errorf("a step of kind %s has no effect to be done", step.Kind)
	}
	l.Store.Clusters.Put(change, item.Name, cluster, item.ModRevision)
	return nil
}
