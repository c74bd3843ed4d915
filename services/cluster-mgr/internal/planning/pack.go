package planning

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"time"

	gantryv1 "gantry.dev/proto/gen/gantry/v1"
	"gantry.dev/services/cluster-mgr/internal/failover"
	"gantry.dev/services/cluster-mgr/internal/fleet"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// byItself is who creates operations when nobody asked for them.
const byItself = "gantry"

func newOperation(plan failover.Plan, cluster, user string, state gantryv1.OperationMetadata_State) fleet.Operation {
	now := time.Now()
	o := fleet.Operation{Metadata: &gantryv1.OperationMetadata{
		Kind:       kind(plan.Kind),
		State:      state,
		Subject:    cluster,
		CreatedBy:  user,
		CreateTime: timestamppb.New(now),
	}}
	o = adopt(o, plan)
	if n := len(plan.Steps); n > 0 {
		o.Metadata.Summary = plan.Steps[n-1].Sentence
	}
	var b [3]byte
	_, _ = rand.Read(b[:]) // never fails
	o.Name = fmt.Sprintf("operations/%013d-%s", now.UnixMilli(), hex.EncodeToString(b[:]))
	return o
}

// adopt gives an operation that has not begun another plan.
func adopt(o fleet.Operation, plan failover.Plan) fleet.Operation {
	o.Plan, o.Progress = plan, failover.Progress{}
	m := o.Metadata
	m.Problems, m.Steps, m.Moves = plan.Problems, nil, nil
	for _, s := range plan.Steps {
		m.Steps = append(m.Steps, &gantryv1.OperationStep{Sentence: s.Sentence, State: gantryv1.OperationStep_STATE_PENDING})
	}
	for _, move := range plan.Moves {
		m.Moves = append(m.Moves, planned(move)...)
	}
	return o
}

func planned(move failover.Move) []*gantryv1.PlannedMove {
	problem := ""
	if !move.Fits || move.Single {
		problem = move.Note
	}
	if len(move.To) == 0 {
		return []*gantryv1.PlannedMove{{App: move.App, FromCluster: "clusters/" + move.From, Problem: problem}}
	}
	var out []*gantryv1.PlannedMove
	for _, t := range move.To {
		out = append(out, &gantryv1.PlannedMove{
			App: move.App, FromCluster: "clusters/" + move.From, ToCluster: "clusters/" + t.Cluster,
			Replicas: int32(t.Replicas), Problem: problem,
		})
	}
	return out
}

func kind(k failover.Kind) gantryv1.OperationMetadata_Kind {
	return gantryv1.OperationMetadata_Kind(gantryv1.OperationMetadata_Kind_value["KIND_"+string(k)])
}
