package api

import (
	"cmp"
	"context"
	"net"
	"slices"
	"strconv"

	"gantry.dev/pkg/fault"
	"gantry.dev/pkg/names"
	gantryv1 "gantry.dev/proto/gen/gantry/v1"
	"gantry.dev/services/cluster-mgr/internal/store"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/timestamppb"
)

type streamRouteService struct {
	gantryv1.UnimplementedStreamRouteServiceServer
	*Services
}

func shownStreamRoute(item store.Item[*gantryv1.StreamRoute]) *gantryv1.StreamRoute {
	item.Value.Etag = item.ETag()
	return item.Value
}

func (s *streamRouteService) CreateStreamRoute(ctx context.Context, r *gantryv1.CreateStreamRouteRequest) (*gantryv1.StreamRoute, error) {
	if err := own(r.GetParent(), r.GetStreamRoute().GetName()); err != nil {
		return nil, err
	}
	return once(ctx, s.Services, r, func() (*gantryv1.StreamRoute, error) {
		return s.put(ctx, r, r.GetStreamRoute(), store.Item[*gantryv1.StreamRoute]{}, r.GetValidateOnly())
	})
}

func (s *streamRouteService) GetStreamRoute(ctx context.Context, r *gantryv1.GetStreamRouteRequest) (*gantryv1.StreamRoute, error) {
	item, err := s.Store.StreamRoutes.Get(ctx, r.GetName())
	if err != nil {
		return nil, err
	}
	served, err := s.served(ctx)
	if err != nil {
		return nil, err
	}
	return served.stream(item), nil
}

func (s *streamRouteService) ListStreamRoutes(ctx context.Context, r *gantryv1.ListStreamRoutesRequest) (*gantryv1.ListStreamRoutesResponse, error) {
	if err := s.inProject(ctx, r.GetParent()); err != nil {
		return nil, err
	}
	served, err := s.served(ctx)
	if err != nil {
		return nil, err
	}
	list, next, err := page(ctx, s.Store.StreamRoutes, r, below(r.GetParent()), false, func(item store.Item[*gantryv1.StreamRoute]) (*gantryv1.StreamRoute, bool) {
		return served.stream(item), true
	})
	return &gantryv1.ListStreamRoutesResponse{StreamRoutes: list, NextPageToken: next}, err
}

// UpdateStreamRoute gives a stream route the form of the request, as a whole.
func (s *streamRouteService) UpdateStreamRoute(ctx context.Context, r *gantryv1.UpdateStreamRouteRequest) (*gantryv1.StreamRoute, error) {
	return once(ctx, s.Services, r, func() (*gantryv1.StreamRoute, error) { return s.update(ctx, r) })
}

func (s *streamRouteService) update(ctx context.Context, r *gantryv1.UpdateStreamRouteRequest) (*gantryv1.StreamRoute, error) {
	item, err := s.Store.StreamRoutes.Get(ctx, r.GetStreamRoute().GetName())
	if err != nil && (!r.GetAllowMissing() || !fault.Is(err, fault.KindNotFound)) {
		return nil, err
	}
	if err := current(item, r.GetStreamRoute().GetEtag()); err != nil {
		return nil, err
	}
	return s.put(ctx, r, r.GetStreamRoute(), item, r.GetValidateOnly())
}

// put stores a stream route in the place of old and moves the claim on its
// port, in one transaction.
func (s *streamRouteService) put(ctx context.Context, r mutation, want *gantryv1.StreamRoute, old store.Item[*gantryv1.StreamRoute], validateOnly bool) (*gantryv1.StreamRoute, error) {
	route := proto.CloneOf(want)
	route.Etag, route.Status = "", nil
	route.Protocol = cmp.Or(want.GetProtocol(), gantryv1.StreamProtocol_STREAM_PROTOCOL_TCP)
	route.CreateTime = cmp.Or(old.Value.GetCreateTime(), timestamppb.Now())
	if old.ModRevision != 0 && proto.Equal(route, old.Value) {
		shown := shownStreamRoute(old)
		return shown, s.unchanged(ctx, r, shown, func(ch *store.Change) { s.Store.StreamRoutes.Expect(ch, old.Name, old.ModRevision) })
	}
	if old.ModRevision == 0 {
		if _, err := s.Store.StreamRoutes.Get(ctx, route.GetName()); err == nil {
			return nil, fault.Exists("STREAM_ROUTE_EXISTS", "%s exists already", route.GetName())
		}
	}
	change := store.NewChange()
	if err := s.check(ctx, change, route); err != nil {
		return nil, err
	}
	if err := s.claim(ctx, change, route, old.Value); err != nil || validateOnly {
		return route, err
	}
	s.Store.StreamRoutes.Put(change, route.GetName(), route, old.ModRevision)
	etag, err := s.commit(ctx, change, r, route)
	route.Etag = etag
	return route, err
}

// check refuses what cannot be served. The change then depends on what the
// stream route leads from and to (rule S1).
func (s *streamRouteService) check(ctx context.Context, change *store.Change, r *gantryv1.StreamRoute) error {
	if r.GetProxyProtocol() && r.GetProtocol() == gantryv1.StreamProtocol_STREAM_PROTOCOL_UDP {
		return invalid("stream_route.proxy_protocol", "the PROXY protocol is for TCP only; leave it out")
	}
	if err := checkCIDRs("stream_route.allow_cidrs", r.GetAllowCidrs()); err != nil {
		return err
	}
	gateway, err := s.Store.Gateways.Get(ctx, r.GetGateway())
	if err != nil {
		return err
	}
	s.Store.Gateways.Expect(change, gateway.Name, gateway.ModRevision)
	if by := ownPort(gateway.Value, r.GetListenPort()); by != "" {
		return invalid("stream_route.listen_port", "%d is the port of %s; choose another", r.GetListenPort(), by)
	}
	return newLeads(s.Services, change, "stream_route").check(ctx, lead{from: r.GetName(), app: r.GetApp(), port: r.GetPort()})
}

// ownPort is what a gateway's nodes need a port for themselves, whatever the
// protocol; empty: nothing.
func ownPort(g *gantryv1.Gateway, port int32) string {
	switch port {
	case 22:
		return "the nodes' SSH"
	case 80:
		return "HTTP routes"
	case 443:
		return "HTTPS routes"
	}
	i := slices.IndexFunc(g.GetNodes(), func(n *gantryv1.GatewayNode) bool {
		_, text, err := net.SplitHostPort(n.GetAgentAddress())
		return err == nil && text == strconv.Itoa(int(port))
	})
	if i < 0 {
		return ""
	}
	return "the agent of " + g.GetNodes()[i].GetName()
}

// claim takes the port for a stream route, and gives up what old had.
func (s *streamRouteService) claim(ctx context.Context, change *store.Change, route, old *gantryv1.StreamRoute) error {
	port := store.PortName(route)
	if old != nil && store.PortName(old) != port {
		s.Store.Ports.Delete(change, store.PortName(old), store.Any)
	}
	item, err := s.Store.Ports.Get(ctx, port)
	if err != nil && !fault.Is(err, fault.KindNotFound) {
		return err
	}
	switch by := item.Value.StreamRoute; {
	case by == route.GetName():
		s.Store.Ports.Expect(change, port, item.ModRevision)
		return nil
	case by != "" && names.Project(by) != names.Project(route.GetName()):
		return taken("PORT_TAKEN", "stream_route.listen_port", "port %d of %s belongs to another project; choose another, or ask an operator", route.GetListenPort(), route.GetGateway())
	case by != "":
		return taken("PORT_TAKEN", "stream_route.listen_port", "%s listens on port %d of %s already", by, route.GetListenPort(), route.GetGateway())
	}
	s.Store.Ports.Put(change, port, store.PortClaim{StreamRoute: route.GetName()}, item.ModRevision)
	return nil
}

func (s *streamRouteService) DeleteStreamRoute(ctx context.Context, r *gantryv1.DeleteStreamRouteRequest) (*emptypb.Empty, error) {
	return again(ctx, func() (*emptypb.Empty, error) { return &emptypb.Empty{}, s.delete(ctx, r) })
}

func (s *streamRouteService) delete(ctx context.Context, r *gantryv1.DeleteStreamRouteRequest) error {
	item, err := s.Store.StreamRoutes.Get(ctx, r.GetName())
	if err != nil {
		return err
	}
	if err := current(item, r.GetEtag()); err != nil {
		return err
	}
	change := store.NewChange()
	s.Store.StreamRoutes.Delete(change, item.Name, item.ModRevision)
	s.Store.Ports.Delete(change, store.PortName(item.Value), store.Any)
	_, err = s.Store.Commit(ctx, change)
	return err
}
