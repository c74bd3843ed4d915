package api

import (
	"context"
	"slices"

	"gantry.dev/pkg/fault"
	"gantry.dev/pkg/names"
	gantryv1 "gantry.dev/proto/gen/gantry/v1"
	"gantry.dev/services/cluster-mgr/internal/store"
	"google.golang.org/protobuf/proto"
)

// UpdateGateway changes a gateway's nodes and VIPs. Which nodes are drained is
// not for it to say.
func (s *gatewayService) UpdateGateway(ctx context.Context, r *gantryv1.UpdateGatewayRequest) (*gantryv1.Gateway, error) {
	return once(ctx, s.Services, r, func() (*gantryv1.Gateway, error) { return s.update(ctx, r) })
}

func (s *gatewayService) update(ctx context.Context, r *gantryv1.UpdateGatewayRequest) (*gantryv1.Gateway, error) {
	item, err := s.Store.Gateways.Get(ctx, r.GetGateway().GetName())
	if fault.Is(err, fault.KindNotFound) && r.GetAllowMissing() {
		return s.add(ctx, r, r.GetGateway(), r.GetValidateOnly())
	}
	if err != nil {
		return nil, err
	}
	if err := current(item, r.GetGateway().GetEtag()); err != nil {
		return nil, err
	}
	next := proto.CloneOf(item.Value)
	if err := applyMask(next, r.GetGateway(), r.GetUpdateMask(), "vip", "virtual_router_id", "nodes", "more_vips"); err != nil {
		return nil, err
	}
	next.Nodes = keepDrained(next.GetNodes(), item.Value.GetNodes())
	if err := wellFormedAs("gateway", next); err != nil {
		return nil, err
	}
	if !slices.ContainsFunc(next.GetNodes(), func(n *gantryv1.GatewayNode) bool { return !n.GetDrained() }) {
		return nil, fault.Precondition("GATEWAY_LAST_NODE", "every node that would be left of %s is drained; undo the drain of one first", next.GetName())
	}
	return s.replace(ctx, r, item, next, r.GetValidateOnly())
}

// keepDrained gives the nodes with the drain that those of the same name have
// now.
func keepDrained(wanted, present []*gantryv1.GatewayNode) []*gantryv1.GatewayNode {
	drained := map[string]bool{}
	for _, n := range present {
		drained[n.GetName()] = n.GetDrained()
	}
	var nodes []*gantryv1.GatewayNode
	for _, n := range wanted {
		n = proto.CloneOf(n)
		n.Drained = drained[n.GetName()]
		nodes = append(nodes, n)
	}
	return nodes
}

// replace stores next in the place of item.
func (s *gatewayService) replace(ctx context.Context, r mutation, item store.Item[*gantryv1.Gateway], next *gantryv1.Gateway, validateOnly bool) (*gantryv1.Gateway, error) {
	if proto.Equal(next, item.Value) {
		shown := s.shown(item)
		return shown, s.unchanged(ctx, r, shown, func(ch *store.Change) { s.Store.Gateways.Expect(ch, item.Name, item.ModRevision) })
	}
	change := store.NewChange()
	if err := s.check(ctx, change, next, item.Name); err != nil || validateOnly {
		return next, err
	}
	s.Store.Gateways.Put(change, next.GetName(), next, item.ModRevision)
	etag, err := s.commit(ctx, change, r, next)
	if err != nil {
		return nil, err
	}
	shown := s.shown(store.Item[*gantryv1.Gateway]{Name: next.GetName(), Value: next})
	shown.Etag = etag
	return shown, nil
}

// DrainGatewayNode lets a node give its VIPs to the others, or take part again.
func (s *gatewayService) DrainGatewayNode(ctx context.Context, r *gantryv1.DrainGatewayNodeRequest) (*gantryv1.Gateway, error) {
	return once(ctx, s.Services, r, func() (*gantryv1.Gateway, error) { return s.drain(ctx, r) })
}

func (s *gatewayService) drain(ctx context.Context, r *gantryv1.DrainGatewayNodeRequest) (*gantryv1.Gateway, error) {
	item, err := s.Store.Gateways.Get(ctx, r.GetName())
	if err != nil {
		return nil, err
	}
	next := proto.CloneOf(item.Value)
	i := slices.IndexFunc(next.GetNodes(), func(n *gantryv1.GatewayNode) bool { return n.GetName() == r.GetNode() })
	if i < 0 {
		return nil, fault.NotFound("GATEWAY_NODE_NOT_FOUND", "%s has no node %s", r.GetName(), r.GetNode())
	}
	node := next.GetNodes()[i]
	if !r.GetUndo() && !node.GetDrained() {
		if err := s.anotherServes(next, r.GetNode()); err != nil {
			return nil, err
		}
	}
	node.Drained = !r.GetUndo()
	return s.replace(ctx, r, item, next, false)
}

// anotherServes refuses to drain a node when no other would take its VIPs.
func (s *gatewayService) anotherServes(g *gantryv1.Gateway, node string) error {
	agents := s.Observer.View().Agents
	reason := "it has no other node that is not drained"
	for _, n := range g.GetNodes() {
		if n.GetName() == node || n.GetDrained() {
			continue
		}
		seen := agents[names.ID(g.GetName())+"/"+n.GetName()]
		switch {
		case seen.Err != nil || seen.Status == nil:
			reason = n.GetName() + " does not answer"
		case !seen.Status.GetNginxOk():
			reason = "Nginx of " + n.GetName() + " does not serve"
		case !seen.Status.GetKeepalivedOk():
			reason = "Keepalived of " + n.GetName() + " does not run"
		default:
			return nil
		}
	}
	return fault.Precondition("GATEWAY_LAST_NODE", "%s is the last node of %s that serves (%s); bring another up first", node, g.GetName(), reason)
}
