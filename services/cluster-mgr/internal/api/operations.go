package api

import (
	"context"
	"time"

	"cloud.google.com/go/longrunning/autogen/longrunningpb"
	"gantry.dev/pkg/fault"
	gantryv1 "gantry.dev/proto/gen/gantry/v1"
	"gantry.dev/services/cluster-mgr/internal/fleet"
	"gantry.dev/services/cluster-mgr/internal/store"
)

type operationService struct {
	gantryv1.UnimplementedOperationServiceServer
	*Services
}

func (s *operationService) GetOperation(ctx context.Context, r *gantryv1.GetOperationRequest) (*longrunningpb.Operation, error) {
	item, err := s.Store.Operations.Get(ctx, r.GetName())
	if err != nil {
		return nil, err
	}
	return item.Value, nil
}

func (s *operationService) ListOperations(ctx context.Context, r *gantryv1.ListOperationsRequest) (*gantryv1.ListOperationsResponse, error) {
	list, next, err := page(ctx, s.Store.Operations, r, "operations/", true, all)
	return &gantryv1.ListOperationsResponse{Operations: list, NextPageToken: next}, err
}

// ApproveOperation starts what a plan says, unless the world has changed since.
func (s *operationService) ApproveOperation(ctx context.Context, r *gantryv1.ApproveOperationRequest) (*longrunningpb.Operation, error) {
	return again(ctx, func() (*longrunningpb.Operation, error) { return s.Planner.Approve(ctx, r.GetName(), user(ctx).User) })
}

// ReverseOperation starts a new operation that takes a finished one back.
func (s *operationService) ReverseOperation(ctx context.Context, r *gantryv1.ReverseOperationRequest) (*longrunningpb.Operation, error) {
	return s.startOnce(ctx, r, func() (*longrunningpb.Operation, error) { return s.Planner.Reverse(ctx, r, user(ctx).User) })
}

func (s *operationService) CancelOperation(ctx context.Context, r *gantryv1.CancelOperationRequest) (*longrunningpb.Operation, error) {
	return again(ctx, func() (*longrunningpb.Operation, error) { return s.cancel(ctx, r.GetName()) })
}

// cancel races with the loop that works on the operation and writes each step.
func (s *operationService) cancel(ctx context.Context, name string) (*longrunningpb.Operation, error) {
	return s.turn(ctx, name, func(o fleet.Operation) error {
		if !o.Live() {
			return fault.Precondition("OPERATION_ENDED", "%s has ended already, its state is %s", o.Name, o.Metadata.GetState())
		}
		o.Metadata.State = gantryv1.OperationMetadata_STATE_CANCELLED
		o.Metadata.Summary = "cancelled by " + user(ctx).User + "; what was done stays"
		return nil
	})
}

// turn changes the state of an operation.
func (s *operationService) turn(ctx context.Context, name string, change func(fleet.Operation) error) (*longrunningpb.Operation, error) {
	o, err := fleet.GetOperation(ctx, s.Store, name)
	if err != nil {
		return nil, err
	}
	if err := change(o); err != nil {
		return nil, err
	}
	write := store.NewChange()
	if err := o.Put(s.Store, write, time.Now()); err != nil {
		return nil, err
	}
	if _, err := s.Store.Commit(ctx, write); err != nil {
		return nil, err
	}
	return s.GetOperation(ctx, &gantryv1.GetOperationRequest{Name: name})
}
