package fleet

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"cloud.google.com/go/longrunning/autogen/longrunningpb"
	gantryv1 "gantry.dev/proto/gen/gantry/v1"
	"gantry.dev/services/cluster-mgr/internal/failover"
	"gantry.dev/services/cluster-mgr/internal/placement"
	"gantry.dev/services/cluster-mgr/internal/store"
	"google.golang.org/protobuf/proto"
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
	// VerdictUnixMilli is since when its cluster had been down when the
	// operation was prepared and automation was allowed to switch because of
	// that (rule C4); 0: it was not, or somebody asked for the operation.
	VerdictUnixMilli int64
	// BaselinePercent is the share of requests that failed before it began,
	// where its traffic goes; nil: nobody has looked yet. BaselineMillis is
	// their mean latency; 0: not known.
	BaselinePercent *float64
	BaselineMillis  float64
}

// stored is what OperationMetadata.plan_json holds.
type stored struct {
	Plan     failover.Plan     `json:"plan"`
	Progress failover.Progress `json:"progress"`
	Verdict  int64             `json:"verdict_unix_milli,omitempty"`
	Baseline *float64          `json:"baseline_percent,omitempty"`
	Millis   float64           `json:"baseline_millis,omitempty"`
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
	o.Plan, o.Progress, o.VerdictUnixMilli, o.BaselinePercent = s.Plan, s.Progress, s.Verdict, s.Baseline
	o.BaselineMillis = s.Millis
	return o, nil
}

// GetOperation reads one operation. Reasons are those of the store.
func GetOperation(ctx context.Context, s *store.Store, name string) (Operation, error) {
	item, err := s.Operations.Get(ctx, name)
	if err != nil {
		return Operation{}, err
	}
	return Unpack(item)
}

// Put adds the operation, packed, to a change.
func (o Operation) Put(s *store.Store, change *store.Change, now time.Time) error {
	plan, err := json.Marshal(stored{o.Plan, o.Progress, o.VerdictUnixMilli, o.BaselinePercent, o.BaselineMillis})
	if err != nil {
		return fmt.Errorf("encode the plan of %s: %w", o.Name, err)
	}
	o.Metadata.PlanJson = string(plan)
	o.Metadata.UpdateTime = timestamppb.New(now)
	packed, err := o.Pack()
	if err != nil {
		return err
	}
	s.Operations.Put(change, o.Name, packed, o.ModRevision)
	return nil
}

// Pack is the operation as the API shows it.
func (o Operation) Pack() (*longrunningpb.Operation, error) {
	metadata, err := anypb.New(o.Metadata)
	if err != nil {
		return nil, fmt.Errorf("encode %s: %w", o.Name, err)
	}
	packed := &longrunningpb.Operation{Name: o.Name, Metadata: metadata, Done: !o.Live()}
	if !packed.GetDone() {
		return packed, nil
	}
	// The metadata says how it ended, whichever way; the plan is not kept twice.
	outcome := proto.CloneOf(o.Metadata)
	outcome.PlanJson = ""
	response, err := anypb.New(outcome)
	if err != nil {
		return nil, fmt.Errorf("encode the outcome of %s: %w", o.Name, err)
	}
	packed.Result = &longrunningpb.Operation_Response{Response: response}
	return packed, nil
}

// Running tells whether the operation is being worked on.
func (o Operation) Running() bool {
	return o.Metadata.GetState() == gantryv1.OperationMetadata_STATE_RUNNING
}

// Moving tells whether the operation moves traffic or work of clusters now, so
// that nothing else may: plans count on the clusters that they do not touch.
// Shifts of apps are something else; they wait for it.
func (o Operation) Moving() bool { return o.Running() && !o.Shifting() }

// Shifting operations divide the requests of one app, their subject.
func (o Operation) Shifting() bool { return o.Plan.Kind == failover.KindShiftTraffic }

// Live operations run or wait for approval.
func (o Operation) Live() bool {
	return o.Running() || o.Metadata.GetState() == gantryv1.OperationMetadata_STATE_AWAITING_APPROVAL
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
		if o.Moving() {
			return o.Name + " is running"
		}
	}
	return ""
}

// steer bends an app's placement to what the operations that run now need.
func (s Snapshot) steer(in placement.Input) placement.Input {
	for _, steering := range s.steerings() {
		in = steering.Steer(in)
	}
	return in
}

// steerings are made once for all apps.
func (s Snapshot) steerings() []failover.Steering {
	l := s.ledger
	if l == nil {
		l = &ledger{}
	}
	l.steer.Do(func() {
		for _, o := range s.Operations {
			if o.Moving() {
				l.steerings = append(l.steerings, failover.NewSteering(o.Plan, o.Progress))
			}
		}
	})
	return l.steerings
}
