package api

import (
	"cmp"
	"context"
	"maps"

	"gantry.dev/pkg/fault"
	"gantry.dev/pkg/names"
	gantryv1 "gantry.dev/proto/gen/gantry/v1"
	"gantry.dev/services/cluster-mgr/internal/store"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/timestamppb"
)

type routeService struct {
	gantryv1.UnimplementedRouteServiceServer
	*Services
}

func shownRoute(item store.Item[*gantryv1.Route]) *gantryv1.Route {
	item.Value.Etag = item.ETag()
	return item.Value
}

func (s *routeService) CreateRoute(ctx context.Context, r *gantryv1.CreateRouteRequest) (*gantryv1.Route, error) {
	if err := own(r.GetParent(), r.GetRoute().GetName()); err != nil {
		return nil, err
	}
	return once(ctx, s.Services, r, func() (*gantryv1.Route, error) {
		return s.put(ctx, r, r.GetRoute(), store.Item[*gantryv1.Route]{}, r.GetValidateOnly())
	})
}

func (s *routeService) GetRoute(ctx context.Context, r *gantryv1.GetRouteRequest) (*gantryv1.Route, error) {
	item, err := s.Store.Routes.Get(ctx, r.GetName())
	if err != nil {
		return nil, err
	}
	return shownRoute(item), nil
}

func (s *routeService) ListRoutes(ctx context.Context, r *gantryv1.ListRoutesRequest) (*gantryv1.ListRoutesResponse, error) {
	if err := s.inProject(ctx, r.GetParent()); err != nil {
		return nil, err
	}
	list, next, err := page(ctx, s.Store.Routes, r, below(r.GetParent()), false, func(item store.Item[*gantryv1.Route]) (*gantryv1.Route, bool) {
		return shownRoute(item), true
	})
	return &gantryv1.ListRoutesResponse{Routes: list, NextPageToken: next}, err
}

func (s *routeService) UpdateRoute(ctx context.Context, r *gantryv1.UpdateRouteRequest) (*gantryv1.Route, error) {
	return once(ctx, s.Services, r, func() (*gantryv1.Route, error) { return s.update(ctx, r) })
}

func (s *routeService) update(ctx context.Context, r *gantryv1.UpdateRouteRequest) (*gantryv1.Route, error) {
	item, err := s.Store.Routes.Get(ctx, r.GetRoute().GetName())
	if err != nil && (!r.GetAllowMissing() || !fault.Is(err, fault.KindNotFound)) {
		return nil, err
	}
	if err := current(item, r.GetRoute().GetEtag()); err != nil {
		return nil, err
	}
	return s.put(ctx, r, r.GetRoute(), item, r.GetValidateOnly())
}

// put stores a route in the place of old and moves the claim on its host, in
// one transaction (rule I7).
func (s *routeService) put(ctx context.Context, r mutation, want *gantryv1.Route, old store.Item[*gantryv1.Route], validateOnly bool) (*gantryv1.Route, error) {
	route := &gantryv1.Route{
		Name: want.GetName(), Gateway: want.GetGateway(), Host: want.GetHost(), PathPrefix: cmp.Or(want.GetPathPrefix(), "/"),
		App: want.GetApp(), Port: want.GetPort(), CreateTime: cmp.Or(old.Value.GetCreateTime(), timestamppb.Now()),
	}
	if old.ModRevision != 0 && proto.Equal(route, old.Value) {
		shown := shownRoute(old)
		return shown, s.unchanged(ctx, r, shown, func(ch *store.Change) { s.Store.Routes.Expect(ch, old.Name, old.ModRevision) })
	}
	if old.ModRevision == 0 {
		if _, err := s.Store.Routes.Get(ctx, route.GetName()); err == nil {
			return nil, fault.Exists("ROUTE_EXISTS", "%s exists already", route.GetName())
		}
	}
	change := store.NewChange()
	if err := s.check(ctx, change, route); err != nil {
		return nil, err
	}
	if err := s.claim(ctx, change, route, old.Value); err != nil || validateOnly {
		return route, err
	}
	s.Store.Routes.Put(change, route.GetName(), route, old.ModRevision)
	etag, err := s.commit(ctx, change, r, route)
	route.Etag = etag
	return route, err
}

// check refuses a route to nowhere. The change then depends on what the route
// leads from and to (rule S1).
func (s *routeService) check(ctx context.Context, change *store.Change, r *gantryv1.Route) error {
	gateway, err := s.Store.Gateways.Get(ctx, r.GetGateway())
	if err != nil {
		return err
	}
	s.Store.Gateways.Expect(change, gateway.Name, gateway.ModRevision)
	if names.Project(r.GetApp()) != names.Project(r.GetName()) {
		return invalid("route.app", "%s is in another project than the route", r.GetApp())
	}
	app, err := s.Store.Apps.Get(ctx, r.GetApp())
	if err != nil {
		return err
	}
	s.Store.Apps.Expect(change, app.Name, app.ModRevision)
	for _, p := range app.Value.GetSpec().GetPorts() {
		if p.GetPort() == r.GetPort() {
			return nil
		}
	}
	return invalid("route.port", "%d is none of the ports of %s", r.GetPort(), r.GetApp())
}

// claim takes the host and path for a route, and gives up what old had.
func (s *routeService) claim(ctx context.Context, change *store.Change, route, old *gantryv1.Route) error {
	if old != nil && old.GetHost() != route.GetHost() {
		if err := s.unclaim(ctx, change, old); err != nil {
			return err
		}
	}
	item, err := s.Store.Hosts.Get(ctx, route.GetHost())
	if err != nil && !fault.Is(err, fault.KindNotFound) {
		return err
	}
	project := names.Parent(route.GetName())
	owner, paths := item.Value.Project, maps.Clone(item.Value.Paths)
	if owner != "" && owner != project {
		return fault.Exists("HOST_TAKEN", "the host %s belongs to another project; choose another, or ask an operator", route.GetHost())
	}
	if paths == nil {
		paths = map[string]string{}
	}
	if old != nil && old.GetHost() == route.GetHost() {
		delete(paths, old.GetPathPrefix())
	}
	if other := paths[route.GetPathPrefix()]; other != "" {
		return fault.Exists("PATH_TAKEN", "%s leads %s%s elsewhere already", other, route.GetHost(), route.GetPathPrefix())
	}
	paths[route.GetPathPrefix()] = route.GetName()
	s.Store.Hosts.Put(change, route.GetHost(), store.HostClaim{Project: project, Paths: paths}, item.ModRevision)
	return nil
}

// unclaim gives up a route's path, and its host with the last path.
func (s *routeService) unclaim(ctx context.Context, change *store.Change, route *gantryv1.Route) error {
	item, err := s.Store.Hosts.Get(ctx, route.GetHost())
	if fault.Is(err, fault.KindNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	paths := maps.Clone(item.Value.Paths)
	delete(paths, route.GetPathPrefix())
	if len(paths) == 0 {
		s.Store.Hosts.Delete(change, item.Name, item.ModRevision)
		return nil
	}
	s.Store.Hosts.Put(change, item.Name, store.HostClaim{Project: item.Value.Project, Paths: paths}, item.ModRevision)
	return nil
}

func (s *routeService) DeleteRoute(ctx context.Context, r *gantryv1.DeleteRouteRequest) (*emptypb.Empty, error) {
	return again(ctx, func() (*emptypb.Empty, error) { return &emptypb.Empty{}, s.delete(ctx, r) })
}

func (s *routeService) delete(ctx context.Context, r *gantryv1.DeleteRouteRequest) error {
	item, err := s.Store.Routes.Get(ctx, r.GetName())
	if err != nil {
		return err
	}
	if err := current(item, r.GetEtag()); err != nil {
		return err
	}
	change := store.NewChange()
	s.Store.Routes.Delete(change, item.Name, item.ModRevision)
	if err := s.unclaim(ctx, change, item.Value); err != nil {
		return err
	}
	_, err = s.Store.Commit(ctx, change)
	return err
}
