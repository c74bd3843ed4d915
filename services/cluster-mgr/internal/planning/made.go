package planning

import (
	"fmt"

	gantryv1 "gantry.dev/proto/gen/gantry/v1"
	"gantry.dev/services/cluster-mgr/internal/decision"
	"gantry.dev/services/cluster-mgr/internal/failover"
	"gantry.dev/services/cluster-mgr/internal/fleet"
)

// Made is a plan with everything that it was made from.
type Made struct {
	Plan  failover.Plan
	Input any
}

// made plans.
func made[T any](in T, plan func(T) failover.Plan) Made { return Made{plan(in), in} }

// Decision records how the plan of an operation was made, so that it can be
// made again (rule S5).
func (m Made) Decision(o fleet.Operation) decision.Record {
	summary := fmt.Sprintf("%s is planned: %d moves in %d steps", o.Name, len(m.Plan.Moves), len(m.Plan.Steps))
	return decision.New(gantryv1.Decision_KIND_FAILOVER, o.Metadata.GetSubject(), summary, m.Input, m.Plan).
		Because(m.Plan.Problems...)
}
