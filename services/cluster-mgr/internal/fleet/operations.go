package fleet

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"cloud.google.com/go/longrunning/autogen/longrunningpb"
	"gantry.dev/pkg/names"
	gantryv1 "gantry.dev/proto/gen/gantry/v1"
	"gantry.dev/services/cluster-mgr/internal/failover"
	"gantry.dev/services/cluster-mgr/internal/store"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// Operation is a stored operation, unpacked.
type Operation struct {
	Name        string
	ModRevision int64
	Metadata    *gantryv1.OperationMetadata
	Plan        failover.Plan
	Progress    failover.Progress
}

// stored is what OperationMetadata.plan_json holds.
type stored struct {
	Plan     failover.Plan     `json:"plan"`
	Progress failover.Progress `json:"progress"`
}

// Unpack reads a stored operation.
func Unpack(item store.Item[*longrunningpb.Operation]) (Operation, error) {
	o := Operation{Name: item.Name, ModRevision: item.ModRevision, Metadata: &gantryv1.OperationMetadata{}}
	if err := item.Value.GetMetadata().UnmarshalTo(o.Metadata); err != nil {
		return Operation{}, fmt.Errorf("read the metadata of %s: %w", item.Name, err)
	}
	var s stored
	if err := json.Unmarshal([]byte(o.Metadata.GetPlanJson()), &s); err != nil {
		return Operation{}, fmt.Errorf("read the plan of %s: %w", item.Name, err)
	}
	o.Plan, o.Progress = s.Plan, s.Progress
	return o, nil
}

// Put adds the operation, packed, to a change.
func (o Operation) Put(s *store.Store, change *store.Change, now time.Time) error {
	plan, err := json.Marshal(stored{o.Plan, o.Progress})
	if err != nil {
		return fmt.Errorf("encode the plan of %s: %w", o.Name, err)
	}
	o.Metadata.PlanJson = string(plan)
	o.Metadata.UpdateTime = timestamppb.New(now)
	metadata, err := anypb.New(o.Metadata)
	if err != nil {
		return fmt.Errorf("encode %s: %w", o.Name, err)
	}
	packed := &longrunningpb.Operation{Name: o.Name, Metadata: metadata, Done: !o.Live()}
	if packed.GetDone() {
		// The metadata says how it ended, whichever way.
		packed.Result = &longrunningpb.Operation_Response{Response: metadata}
	}
	s.Operations.Put(change, o.Name, packed, o.ModRevision)
	return nil
}

// Running tells whether the operation is being worked on.
func (o Operation) Running() bool {
	return o.Metadata.GetState() == gantryv1.OperationMetadata_STATE_RUNNING
}

// Live operations run or wait for approval.
func (o Operation) Live() bool {
	return o.Running() || o.Metadata.GetState() == gantryv1.OperationMetadata_STATE_AWAITING_APPROVAL
}

func liveOperations(ctx context.Context, s *store.Store) ([]Operation, error) {
	items, _, err := s.Operations.List(ctx, "")
	if err != nil {
		return nil, fmt.Errorf("list operations: %w", err)
	}
	var live []Operation
	for _, item := range items {
		if item.Value.GetDone() {
			continue
		}
		o, err := Unpack(item)
		if err != nil {
			return nil, err
		}
		live = append(live, o)
	}
	return live, nil
}

// failBack is the operation that brings work back to a cluster now; nil: none.
func (s Snapshot) failBack(cluster string) *Operation {
	for _, o := range s.Operations {
		if o.Running() && o.Plan.Kind == failover.KindFailBack && o.Metadata.GetSubject() == cluster && !o.Progress.Reversing {
			return &o
		}
	}
	return nil
}

// Moving describes the operation that moves traffic or work now, as part of a
// sentence; empty: none.
func (s Snapshot) Moving() string {
	for _, o := range s.Operations {
		if o.Running() {
			return o.Name + " is running"
		}
	}
	return ""
}

// returning is how many replicas of an app an operation brings back to a
// cluster in all; 0: it does not bring any.
func (s Snapshot) returning(app, cluster string) int {
	o := s.failBack(cluster)
	if o == nil {
		return 0
	}
	return o.Plan.Wanted(names.ID(cluster), app)
}
