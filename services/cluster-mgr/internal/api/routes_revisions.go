package api

import (
	"context"
	"fmt"

	"gantry.dev/pkg/fault"
	gantryv1 "gantry.dev/proto/gen/gantry/v1"
	"gantry.dev/services/cluster-mgr/internal/store"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// keptRevisions is how many of a route's forms are kept.
const keptRevisions = 50

// revise adds a route's form to its history and drops the oldest.
func (s *routeService) revise(ctx context.Context, change *store.Change, route *gantryv1.Route, repeats int32) {
	s.Store.RouteRevisions.Put(change, store.RevisionName(route.GetName(), route.GetRevision()), &gantryv1.RouteRevision{
		Name:   fmt.Sprintf("%s/revisions/%d", route.GetName(), route.GetRevision()),
		Number: route.GetRevision(), Route: proto.CloneOf(route), CreatedBy: user(ctx).User, CreateTime: timestamppb.Now(), RollbackOf: repeats,
	}, 0)
	if oldest := route.GetRevision() - keptRevisions; oldest > 0 {
		s.Store.RouteRevisions.Delete(change, store.RevisionName(route.GetName(), oldest), store.Any)
	}
}

func (s *routeService) ListRouteRevisions(ctx context.Context, r *gantryv1.ListRouteRevisionsRequest) (*gantryv1.ListRouteRevisionsResponse, error) {
	if _, err := s.Store.Routes.Get(ctx, r.GetParent()); err != nil {
		return nil, err
	}
	list, next, err := page(ctx, s.Store.RouteRevisions, r, r.GetParent()+"/revisions/", true, all)
	return &gantryv1.ListRouteRevisionsResponse{Revisions: list, NextPageToken: next}, err
}

// RollbackRoute checks the earlier form as if it were new: what it leads to may
// have gone since.
func (s *routeService) RollbackRoute(ctx context.Context, r *gantryv1.RollbackRouteRequest) (*gantryv1.Route, error) {
	return once(ctx, s.Services, r, func() (*gantryv1.Route, error) {
		item, err := s.Store.Routes.Get(ctx, r.GetName())
		if err != nil {
			return nil, err
		}
		earlier, err := s.Store.RouteRevisions.Get(ctx, store.RevisionName(r.GetName(), r.GetRevision()))
		if fault.Is(err, fault.KindNotFound) {
			return nil, fault.NotFound("ROUTE_REVISION_NOT_FOUND", "%s has no revision %d; the last %d are kept, `gantry route history` lists them", r.GetName(), r.GetRevision(), keptRevisions)
		}
		if err != nil {
			return nil, err
		}
		return s.put(ctx, r, routeWish{route: earlier.Value.GetRoute(), old: item, repeats: r.GetRevision()})
	})
}
