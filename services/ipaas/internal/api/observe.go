package api

import (
	"context"
	"time"

	ipaasv1 "gantry.dev/proto/gen/gantry/ipaas/v1"
	"gantry.dev/services/ipaas/internal/state"
	"google.golang.org/protobuf/types/known/timestamppb"
)

func (s *Service) GetClusterState(context.Context, *ipaasv1.GetClusterStateRequest) (*ipaasv1.GetClusterStateResponse, error) {
	health, err := s.ready()
	if err != nil {
		return nil, err
	}
	now := time.Now()
	epoch, _ := s.Fence.Largest()
	return &ipaasv1.GetClusterStateResponse{
		Identity:          health.Identity,
		ApiServerReady:    health.Ready,
		ApiServerDetail:   health.Detail,
		Nodes:             state.Nodes(s.Cache.EachNode, s.Cache.EachPod, func(node string) state.Usage { return s.Meter.Usage(node, now) }),
		KubernetesVersion: health.Version,
		ObserveTime:       timestamppb.New(health.Answered),
		Epoch:             epoch,
		Dns:               s.Canary.Last(),
	}, nil
}

func (s *Service) ListWorkloads(context.Context, *ipaasv1.ListWorkloadsRequest) (*ipaasv1.ListWorkloadsResponse, error) {
	health, err := s.ready()
	if err != nil {
		return nil, err
	}
	return &ipaasv1.ListWorkloadsResponse{Workloads: state.Workloads(s.Cache.EachDeployment, s.Cache.EachPod), Identity: health.Identity}, nil
}

func (s *Service) ListPods(_ context.Context, req *ipaasv1.ListPodsRequest) (*ipaasv1.ListPodsResponse, error) {
	if _, err := s.ready(); err != nil {
		return nil, err
	}
	return &ipaasv1.ListPodsResponse{Pods: state.Pods(s.Cache.EachPod, req.GetApp())}, nil
}
