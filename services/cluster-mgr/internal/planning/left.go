package planning

import (
	"context"
	"fmt"

	gantryv1 "gantry.dev/proto/gen/gantry/v1"
	"gantry.dev/services/cluster-mgr/internal/failover"
	"gantry.dev/services/cluster-mgr/internal/fleet"
)

// left is the migration by which a cluster was left last; nil: none is known.
func (p *Planner) left(ctx context.Context, cluster string) (*failover.Plan, error) {
	items, _, err := p.Store.Operations.Fresh(ctx)
	if err != nil {
		return nil, fmt.Errorf("list operations: %w", err)
	}
	// Names are in the order of time.
	for i := len(items) - 1; i >= 0; i-- {
		o, err := fleet.Unpack(items[i])
		if err != nil {
			return nil, err
		}
		if o.Metadata.GetSubject() == cluster && o.Plan.Kind == failover.KindMigrateApps && o.Metadata.GetState() == gantryv1.OperationMetadata_STATE_SUCCEEDED {
			return &o.Plan, nil
		}
	}
	return nil, nil
}
