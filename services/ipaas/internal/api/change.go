package api

import (
	"context"
	"time"

	ipaasv1 "gantry.dev/proto/gen/gantry/ipaas/v1"
	"gantry.dev/services/ipaas/internal/kube"
	"gantry.dev/services/ipaas/internal/labels"
	"gantry.dev/services/ipaas/internal/render"
	"gantry.dev/services/ipaas/internal/state"
)

// changeTimeout bounds one change. It ends before the ten seconds that callers
// wait, so that they hear what went wrong.
const changeTimeout = 8 * time.Second

func (s *Service) ApplyWorkload(ctx context.Context, req *ipaasv1.ApplyWorkloadRequest) (*ipaasv1.ApplyWorkloadResponse, error) {
	objects, err := render.Render(s.Cluster, req.GetWorkload())
	if err != nil {
		return nil, err
	}
	var applied kube.Deployment
	err = s.change(ctx, req.GetEpoch(), req.GetIdentity(), func(ctx context.Context) error {
		applied, err = s.Writer.Apply(ctx, objects)
		return err
	})
	if err != nil {
		return nil, err
	}
	return &ipaasv1.ApplyWorkloadResponse{State: state.Workload(applied, nil)}, nil
}

func (s *Service) DeleteWorkload(ctx context.Context, req *ipaasv1.DeleteWorkloadRequest) (*ipaasv1.DeleteWorkloadResponse, error) {
	id, err := labels.Parse(req.GetApp())
	if err != nil {
		return nil, err
	}
	err = s.change(ctx, req.GetEpoch(), req.GetIdentity(), func(ctx context.Context) error { return s.Writer.Delete(ctx, id) })
	if err != nil {
		return nil, err
	}
	return &ipaasv1.DeleteWorkloadResponse{}, nil
}

// change lets the newest leader change the cluster that it means. Whether it
// is that cluster is asked first: the epoch of another platform says nothing
// here.
func (s *Service) change(ctx context.Context, epoch int64, identity string, f func(context.Context) error) error {
	if _, err := s.ready(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, changeTimeout)
	defer cancel()
	if err := s.Writer.Check(ctx, identity); err != nil {
		return err
	}
	return s.Fence.Do(ctx, epoch, f)
}
