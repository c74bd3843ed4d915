package cli

import (
	"cloud.google.com/go/longrunning/autogen/longrunningpb"
	"context"
	"gantry.dev/pkg/fault"
	gantryv1 "gantry.dev/proto/gen/gantry/v1"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/timestamppb"
)

func (o operationAPI) GetOperation(_ context.Context, r *gantryv1.GetOperationRequest) (*longrunningpb.Operation, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	meta, ok := o.ops[r.GetName()]
	if !ok {
		return nil, fault.NotFound("OPERATION_NOT_FOUND", "there is no operation %s", r.GetName())
	}
	if meta.GetState() == gantryv1.OperationMetadata_STATE_RUNNING && !o.stuck {
		advance(meta)
	}
	return operation(r.GetName(), meta)
}

func (o operationAPI) ApproveOperation(ctx context.Context, r *gantryv1.ApproveOperationRequest) (*longrunningpb.Operation, error) {
	o.mu.Lock()
	if meta := o.ops[r.GetName()]; meta.GetState() == gantryv1.OperationMetadata_STATE_AWAITING_APPROVAL {
		meta.State = gantryv1.OperationMetadata_STATE_RUNNING
	}
	o.mu.Unlock()
	return o.GetOperation(ctx, &gantryv1.GetOperationRequest{Name: r.GetName()})
}

func (o operationAPI) CancelOperation(ctx context.Context, r *gantryv1.CancelOperationRequest) (*longrunningpb.Operation, error) {
	o.mu.Lock()
	if meta := o.ops[r.GetName()]; meta != nil {
		meta.State = gantryv1.OperationMetadata_STATE_CANCELLED
	}
	o.mu.Unlock()
	return o.GetOperation(ctx, &gantryv1.GetOperationRequest{Name: r.GetName()})
}

// advance finishes the next step.
func advance(meta *gantryv1.OperationMetadata) {
	for _, step := range meta.GetSteps() {
		if step.GetState() != gantryv1.OperationStep_STATE_DONE {
			step.State = gantryv1.OperationStep_STATE_DONE
			return
		}
	}
	meta.State = gantryv1.OperationMetadata_STATE_SUCCEEDED
}

func operation(name string, meta *gantryv1.OperationMetadata) (*longrunningpb.Operation, error) {
	packed, err := anypb.New(meta)
	return &longrunningpb.Operation{Name: name, Metadata: packed, Done: meta.GetState() > gantryv1.OperationMetadata_STATE_RUNNING}, err
}

func (decisionAPI) ListDecisions(_ context.Context, r *gantryv1.ListDecisionsRequest) (*gantryv1.ListDecisionsResponse, error) {
	d := fakeDecision()
	d.InputJson = ""
	if r.GetSubject() != "" && r.GetSubject() != d.GetSubject() {
		return &gantryv1.ListDecisionsResponse{}, nil
	}
	return &gantryv1.ListDecisionsResponse{Decisions: []*gantryv1.Decision{d}}, nil
}

func (decisionAPI) GetDecision(_ context.Context, r *gantryv1.GetDecisionRequest) (*gantryv1.Decision, error) {
	if d := fakeDecision(); d.GetName() == r.GetName() {
		return d, nil
	}
	return nil, fault.NotFound("DECISION_NOT_FOUND", "there is no decision %s", r.GetName())
}

func fakeDecision() *gantryv1.Decision {
	return &gantryv1.Decision{
		Name: "decisions/d1", Kind: gantryv1.Decision_KIND_AUTOSCALE, Subject: "projects/hello/apps/web", Time: timestamppb.New(epoch),
		Summary: "4 pods work at 80 % of their CPU: 6 are needed.", Formula: "4 pods, sum 320 %, target 50 % → 6.4 → 6", From: "4", To: "6",
		Reasons: []string{"all 4 pods were measured", "6 is within 2..12"}, InputJson: `{"pods":4}`,
	}
}
