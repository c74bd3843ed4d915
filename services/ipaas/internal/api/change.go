package api

import (
	"context"
	"time"

	ipaasv1 "gantry.dev/proto/gen/gantry/ipaas/v1"
	"gantry.dev/services/ipaas/internal/fence"
	"gantry.dev/services/ipaas/internal/kube"
	"gantry.dev/services/ipaas/internal/labels"
	"gantry.dev/services/ipaas/internal/render"
	"gantry.dev/services/ipaas/internal/state"
)

// changeTimeout bounds one change. It ends before the ten seconds that callers
// wait, so that they hear what went wrong.
const changeTimeout = 8 * time.Second

func (s *Service) ApplyWorkload(ctx context.Context, req *ipaasv1.ApplyWorkloadRequest) (*ipaasv1.ApplyWorkloadResponse, error) {
	w := req.GetWorkload()
	id, err := labels.Parse(w.GetApp())
	if err != nil {
		return nil, err
	}
	objects, err := render.Render(s.Cluster, w)
	if err != nil {
		return nil, err
	}
	ctx, cancel, err := s.begin(ctx)
	if err != nil {
		return nil, err
	}
	defer cancel()
	starts := w.GetReplicas() > 0
	if objects.Single && starts {
		if err := s.Writer.Pin(ctx, id, objects); err != nil {
			return nil, err
		}
	}
	var applied kube.Deployment
	change := s.changeOf(req, id)
	change.Starts = starts
	err = s.Fence.Do(ctx, change, func(ctx context.Context) error {
		applied, err = s.Writer.Apply(ctx, id, objects)
		return err
	})
	if err != nil {
		return nil, err
	}
	return &ipaasv1.ApplyWorkloadResponse{State: state.Workload(applied, nil)}, nil
}

func (s *Service) ApplyConfig(ctx context.Context, req *ipaasv1.ApplyConfigRequest) (*ipaasv1.ApplyConfigResponse, error) {
	id, err := labels.Parse(req.GetApp())
	if err != nil {
		return nil, err
	}
	brought, err := render.Bring(req)
	if err != nil {
		return nil, err
	}
	var object string
	err = s.change(ctx, s.changeOf(req, id), func(ctx context.Context) error {
		object, err = s.Writer.ApplyConfig(ctx, id, req.GetRelease(), brought)
		return err
	})
	if err != nil {
		return nil, err
	}
	return &ipaasv1.ApplyConfigResponse{Object: object}, nil
}

// FenceApp keeps the fence first: from then on a start by an older leader is
// refused, also after a crash before the rest (rules C5, K5).
func (s *Service) FenceApp(ctx context.Context, req *ipaasv1.FenceAppRequest) (*ipaasv1.FenceAppResponse, error) {
	id, err := labels.Parse(req.GetApp())
	if err != nil {
		return nil, err
	}
	var pods int32
	change := s.changeOf(req, id)
	change.Fences = true
	err = s.change(ctx, change, func(ctx context.Context) error {
		pods, err = s.Writer.Stop(ctx, id, req.GetEpoch())
		return err
	})
	if err != nil {
		return nil, err
	}
	return &ipaasv1.FenceAppResponse{Pods: pods}, nil
}

func (s *Service) DeleteWorkload(ctx context.Context, req *ipaasv1.DeleteWorkloadRequest) (*ipaasv1.DeleteWorkloadResponse, error) {
	id, err := labels.Parse(req.GetApp())
	if err != nil {
		return nil, err
	}
	err = s.change(ctx, s.changeOf(req, id), func(ctx context.Context) error {
		if err := s.Writer.Delete(ctx, id); err != nil {
			return err
		}
		return s.Fence.Forget(ctx, id)
	})
	if err != nil {
		return nil, err
	}
	return &ipaasv1.DeleteWorkloadResponse{}, nil
}

// change makes a change in its time, if the fence lets it.
func (s *Service) change(ctx context.Context, c fence.Change, do func(context.Context) error) error {
	ctx, cancel, err := s.begin(ctx)
	if err != nil {
		return err
	}
	defer cancel()
	return s.Fence.Do(ctx, c, do)
}

// begin refuses changes before everything has been read once, and gives a
// change its time.
func (s *Service) begin(ctx context.Context) (context.Context, context.CancelFunc, error) {
	if _, err := s.ready(); err != nil {
		return nil, nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, changeTimeout)
	return ctx, cancel, nil
}

// leaders is what every request of a leader carries.
type leaders interface {
	GetEpoch() int64
	GetIdentity() string
}

// changeOf lets the newest leader change the cluster that it means.
func (s *Service) changeOf(req leaders, id labels.ID) fence.Change {
	return fence.Change{
		Epoch: req.GetEpoch(), App: id, Identity: req.GetIdentity(),
		Verify: func(ctx context.Context) error { return s.Writer.Check(ctx, req.GetIdentity()) },
	}
}
