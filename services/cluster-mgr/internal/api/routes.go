package api

import (
	"cmp"
	"context"

	"gantry.dev/pkg/fault"
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

// routeWish is a route as it is wanted, and what it takes the place of.
type routeWish struct {
	route *gantryv1.Route
	old   store.Item[*gantryv1.Route]
	// Number of the revision that it repeats; 0: none.
	repeats      int32
	validateOnly bool
}

func (s *routeService) CreateRoute(ctx context.Context, r *gantryv1.CreateRouteRequest) (*gantryv1.Route, error) {
	if err := own(r.GetParent(), r.GetRoute().GetName()); err != nil {
		return nil, err
	}
	return once(ctx, s.Services, r, func() (*gantryv1.Route, error) {
		return s.put(ctx, r, routeWish{route: r.GetRoute(), validateOnly: r.GetValidateOnly()})
	})
}

func (s *routeService) GetRoute(ctx context.Context, r *gantryv1.GetRouteRequest) (*gantryv1.Route, error) {
	item, err := s.Store.Routes.Get(ctx, r.GetName())
	if err != nil {
		return nil, err
	}
	served, err := s.served(ctx)
	if err != nil {
		return nil, err
	}
	return served.route(item), nil
}

func (s *routeService) ListRoutes(ctx context.Context, r *gantryv1.ListRoutesRequest) (*gantryv1.ListRoutesResponse, error) {
	if err := s.inProject(ctx, r.GetParent()); err != nil {
		return nil, err
	}
	served, err := s.served(ctx)
	if err != nil {
		return nil, err
	}
	list, next, err := page(ctx, s.Store.Routes, r, below(r.GetParent()), false, func(item store.Item[*gantryv1.Route]) (*gantryv1.Route, bool) {
		return served.route(item), true
	})
	return &gantryv1.ListRoutesResponse{Routes: list, NextPageToken: next}, err
}

// UpdateRoute gives a route the form of the request, as a whole: rules that the
// request leaves out are gone.
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
	return s.put(ctx, r, routeWish{route: r.GetRoute(), old: item, validateOnly: r.GetValidateOnly()})
}

// put stores a route with its revision and moves the claim on its place, in one
// transaction (rule I7).
func (s *routeService) put(ctx context.Context, r mutation, wish routeWish) (*gantryv1.Route, error) {
	old, route := wish.old, form(wish)
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
	if err := s.claim(ctx, change, route, old.Value); err != nil || wish.validateOnly {
		return route, err
	}
	route.Revision++
	s.Store.Routes.Put(change, route.GetName(), route, old.ModRevision)
	s.revise(ctx, change, route, wish.repeats)
	etag, err := s.commit(ctx, change, r, route)
	route.Etag = etag
	return route, err
}

// form is a wish in the form that is stored, with the number of the revision
// that it takes the place of.
func form(wish routeWish) *gantryv1.Route {
	want, old := wish.route, wish.old.Value
	return &gantryv1.Route{
		Name: want.GetName(), Gateway: want.GetGateway(), Host: want.GetHost(), PathPrefix: cmp.Or(want.GetPathPrefix(), "/"),
		PathMatch: cmp.Or(want.GetPathMatch(), gantryv1.PathMatch_PATH_MATCH_PREFIX),
		App:       want.GetApp(), Port: want.GetPort(), Rules: rulesForm(want.GetRules()),
		CreateTime: cmp.Or(old.GetCreateTime(), timestamppb.Now()), Revision: old.GetRevision(),
	}
}

// rulesForm drops rules that say nothing.
func rulesForm(r *gantryv1.HttpRules) *gantryv1.HttpRules {
	if proto.Size(r) == 0 {
		return nil
	}
	return proto.CloneOf(r)
}

func shownRoute(item store.Item[*gantryv1.Route]) *gantryv1.Route {
	item.Value.Etag = item.ETag()
	return item.Value
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
	s.Store.RouteRevisions.DeleteAll(change, item.Name+"/")
	if err := s.unclaim(ctx, change, item.Value); err != nil {
		return err
	}
	_, err = s.Store.Commit(ctx, change)
	return err
}
