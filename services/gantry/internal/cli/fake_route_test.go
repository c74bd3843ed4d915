package cli

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"gantry.dev/pkg/fault"
	gantryv1 "gantry.dev/proto/gen/gantry/v1"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/timestamppb"
)

func (p *platform) GetRoute(_ context.Context, r *gantryv1.GetRouteRequest) (*gantryv1.Route, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if route, ok := p.routes[r.GetName()]; ok {
		return route, nil
	}
	return nil, fault.NotFound("ROUTE_NOT_FOUND", "there is no route %s", r.GetName())
}

func (p *platform) ListRoutes(_ context.Context, r *gantryv1.ListRoutesRequest) (*gantryv1.ListRoutesResponse, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	out := &gantryv1.ListRoutesResponse{}
	for _, name := range slices.Sorted(maps.Keys(p.routes)) {
		out.Routes = append(out.Routes, p.routes[name])
	}
	return out, nil
}

// UpdateRoute keeps a revision of each form, and says that lb-2 is behind.
func (p *platform) UpdateRoute(_ context.Context, r *gantryv1.UpdateRouteRequest) (*gantryv1.Route, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.put(r.GetRoute(), 0, r.GetValidateOnly()), nil
}

func (p *platform) put(want *gantryv1.Route, repeats int32, validateOnly bool) *gantryv1.Route {
	route := proto.CloneOf(want)
	before := p.routes[route.GetName()]
	route.Revision = before.GetRevision()
	route.Status = &gantryv1.RouteStatus{Problems: []string{"lb-2 serves generation 6, the newest is 7"}}
	if validateOnly || before != nil && proto.Equal(routeWish(route), routeWish(before)) {
		return route
	}
	route.Revision++
	route.CreateTime = timestamppb.New(time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC))
	p.routes[route.GetName()] = route
	p.revisions[route.GetName()] = append([]*gantryv1.RouteRevision{{
		Name: fmt.Sprintf("%s/revisions/%d", route.GetName(), route.GetRevision()), Number: route.GetRevision(),
		Route: route, CreatedBy: "ann", CreateTime: route.GetCreateTime(), RollbackOf: repeats,
	}}, p.revisions[route.GetName()]...)
	return route
}

func (p *platform) ListRouteRevisions(_ context.Context, r *gantryv1.ListRouteRevisionsRequest) (*gantryv1.ListRouteRevisionsResponse, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return &gantryv1.ListRouteRevisionsResponse{Revisions: p.revisions[r.GetParent()]}, nil
}

func (p *platform) RollbackRoute(_ context.Context, r *gantryv1.RollbackRouteRequest) (*gantryv1.Route, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	all := p.revisions[r.GetName()]
	i := slices.IndexFunc(all, func(v *gantryv1.RouteRevision) bool { return v.GetNumber() == r.GetRevision() })
	if i < 0 {
		return nil, fault.NotFound("ROUTE_REVISION_NOT_FOUND", "%s has no revision %d", r.GetName(), r.GetRevision())
	}
	return p.put(all[i].GetRoute(), r.GetRevision(), false), nil
}

func (p *platform) DeleteRoute(_ context.Context, r *gantryv1.DeleteRouteRequest) (*emptypb.Empty, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.routes, r.GetName())
	return &emptypb.Empty{}, nil
}

// streamAPI is the fake's part for stream routes.
type streamAPI struct {
	gantryv1.UnimplementedStreamRouteServiceServer
	*platform
}

func (s streamAPI) GetStreamRoute(_ context.Context, r *gantryv1.GetStreamRouteRequest) (*gantryv1.StreamRoute, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if route, ok := s.streams[r.GetName()]; ok {
		return route, nil
	}
	return nil, fault.NotFound("STREAM_ROUTE_NOT_FOUND", "there is no stream route %s", r.GetName())
}

func (s streamAPI) ListStreamRoutes(_ context.Context, r *gantryv1.ListStreamRoutesRequest) (*gantryv1.ListStreamRoutesResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := &gantryv1.ListStreamRoutesResponse{}
	for _, name := range slices.Sorted(maps.Keys(s.streams)) {
		out.StreamRoutes = append(out.StreamRoutes, s.streams[name])
	}
	return out, nil
}

func (s streamAPI) UpdateStreamRoute(_ context.Context, r *gantryv1.UpdateStreamRouteRequest) (*gantryv1.StreamRoute, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.streams[r.GetStreamRoute().GetName()] = r.GetStreamRoute()
	return r.GetStreamRoute(), nil
}

func (s streamAPI) DeleteStreamRoute(_ context.Context, r *gantryv1.DeleteStreamRouteRequest) (*emptypb.Empty, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.streams, r.GetName())
	return &emptypb.Empty{}, nil
}
