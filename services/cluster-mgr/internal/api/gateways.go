package api

import (
	"context"

	"gantry.dev/pkg/fault"
	"gantry.dev/pkg/names"
	gantryv1 "gantry.dev/proto/gen/gantry/v1"
	"gantry.dev/services/cluster-mgr/internal/store"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/timestamppb"
)

type gatewayService struct {
	gantryv1.UnimplementedGatewayServiceServer
	*Services
}

// shown adds what each node said last.
func (s *gatewayService) shown(item store.Item[*gantryv1.Gateway]) *gantryv1.Gateway {
	g := item.Value
	g.Etag = item.ETag()
	agents := s.Observer.View().Agents
	for _, n := range g.GetNodes() {
		seen := agents[names.ID(item.Name)+"/"+n.GetName()]
		status := &gantryv1.GatewayNodeStatus{Node: n.GetName(), Reachable: seen.Err == nil && seen.Status != nil}
		if status.GetReachable() {
			status.HoldsVip, status.Vips = seen.Status.GetHoldsVip(), seen.Status.GetVips()
			status.Generation, status.Message = seen.Status.GetGeneration(), seen.Status.GetMessage()
		} else if seen.Err != nil {
			status.Message = seen.Err.Error()
		}
		g.Status = append(g.Status, status)
	}
	return g
}

func (s *gatewayService) CreateGateway(ctx context.Context, r *gantryv1.CreateGatewayRequest) (*gantryv1.Gateway, error) {
	return once(ctx, s.Services, r, func() (*gantryv1.Gateway, error) { return s.create(ctx, r) })
}

func (s *gatewayService) create(ctx context.Context, r *gantryv1.CreateGatewayRequest) (*gantryv1.Gateway, error) {
	return s.add(ctx, r, r.GetGateway(), r.GetValidateOnly())
}

// add stores a new gateway.
func (s *gatewayService) add(ctx context.Context, r mutation, wanted *gantryv1.Gateway, validateOnly bool) (*gantryv1.Gateway, error) {
	g := &gantryv1.Gateway{
		Name: wanted.GetName(), Vip: wanted.GetVip(), VirtualRouterId: wanted.GetVirtualRouterId(), MoreVips: wanted.GetMoreVips(),
		Nodes: keepDrained(wanted.GetNodes(), nil), CreateTime: timestamppb.Now(),
	}
	change := store.NewChange()
	if err := s.check(ctx, change, g, ""); err != nil || validateOnly {
		return g, err
	}
	s.Store.Gateways.Put(change, g.GetName(), g, 0)
	etag, err := s.commit(ctx, change, r, g)
	g.Etag = etag
	return g, err
}

func (s *gatewayService) GetGateway(ctx context.Context, r *gantryv1.GetGatewayRequest) (*gantryv1.Gateway, error) {
	item, err := s.Store.Gateways.Get(ctx, r.GetName())
	if err != nil {
		return nil, err
	}
	return s.shown(item), nil
}

func (s *gatewayService) ListGateways(ctx context.Context, r *gantryv1.ListGatewaysRequest) (*gantryv1.ListGatewaysResponse, error) {
	list, next, err := page(ctx, s.Store.Gateways, r, "", false, func(item store.Item[*gantryv1.Gateway]) (*gantryv1.Gateway, bool) {
		return s.shown(item), true
	})
	return &gantryv1.ListGatewaysResponse{Gateways: list, NextPageToken: next}, err
}

func (s *gatewayService) DeleteGateway(ctx context.Context, r *gantryv1.DeleteGatewayRequest) (*emptypb.Empty, error) {
	return again(ctx, func() (*emptypb.Empty, error) { return &emptypb.Empty{}, s.delete(ctx, r) })
}

func (s *gatewayService) delete(ctx context.Context, r *gantryv1.DeleteGatewayRequest) error {
	item, err := s.Store.Gateways.Get(ctx, r.GetName())
	if err != nil {
		return err
	}
	if err := current(item, r.GetEtag()); err != nil {
		return err
	}
	routes, routesAt, err := s.Store.Routes.List(ctx, "")
	if err != nil {
		return err
	}
	for _, route := range routes {
		if route.Value.GetGateway() == r.GetName() {
			return fault.Precondition("GATEWAY_IN_USE", "%s uses %s; delete it first", route.Name, r.GetName())
		}
	}
	streams, streamsAt, err := s.Store.StreamRoutes.List(ctx, "")
	if err != nil {
		return err
	}
	for _, route := range streams {
		if route.Value.GetGateway() == r.GetName() {
			return fault.Precondition("GATEWAY_IN_USE", "%s uses %s; delete it first", route.Name, r.GetName())
		}
	}
	change := store.NewChange()
	s.Store.Routes.ExpectNoneSince(change, "", routesAt)
	s.Store.StreamRoutes.ExpectNoneSince(change, "", streamsAt)
	s.Store.Gateways.Delete(change, item.Name, item.ModRevision)
	_, err = s.Store.Commit(ctx, change)
	return err
}
