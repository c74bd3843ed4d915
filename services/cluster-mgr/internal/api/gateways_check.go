package api

import (
	"context"
	"fmt"

	"gantry.dev/pkg/fault"
	gantryv1 "gantry.dev/proto/gen/gantry/v1"
	"gantry.dev/services/cluster-mgr/internal/store"
)

// check refuses what would make two nodes or gateways fight. old is the name
// of the gateway that g takes the place of; empty: g is new.
func (s *gatewayService) check(ctx context.Context, change *store.Change, g *gantryv1.Gateway, old string) error {
	if err := distinct(g.GetNodes()); err != nil {
		return err
	}
	if err := sharedVips(g); err != nil {
		return err
	}
	others, othersAt, err := s.Store.Gateways.List(ctx, "")
	if err != nil {
		return err
	}
	s.Store.Gateways.ExpectNoneSince(change, "", othersAt)
	for _, o := range others {
		if o.Name == old {
			continue
		}
		if o.Name == g.GetName() {
			return fault.Exists("GATEWAY_EXISTS", "%s exists already", g.GetName())
		}
		if err := unshared(g, o.Value); err != nil {
			return err
		}
	}
	return nil
}

// distinct refuses two nodes of one name, address or priority.
func distinct(nodes []*gantryv1.GatewayNode) error {
	taken := map[any]string{}
	for _, n := range nodes {
		for _, key := range []any{n.GetName(), n.GetAddress(), n.GetAgentAddress(), n.GetPriority()} {
			if other, ok := taken[key]; ok {
				return fault.Invalid("GATEWAY_NODES_ALIKE", "nodes %s and %s share %v; each needs its own name, address, agent and priority", other, n.GetName(), key)
			}
			taken[key] = n.GetName()
		}
	}
	return nil
}

// vipsOf are all VIPs of a gateway, the first one first.
func vipsOf(g *gantryv1.Gateway) []*gantryv1.Vip {
	return append([]*gantryv1.Vip{{Address: g.GetVip(), VirtualRouterId: g.GetVirtualRouterId()}}, g.GetMoreVips()...)
}

// vipField names a VIP by its place in vipsOf.
func vipField(i int, field string) string {
	if i == 0 {
		return "gateway." + map[string]string{"address": "vip"}[field]
	}
	return fmt.Sprintf("gateway.more_vips[%d].%s", i-1, field)
}

// sharedVips refuses VIPs of one gateway that are alike, a node's own, or
// preferred by a node that there is not.
func sharedVips(g *gantryv1.Gateway) error {
	nodes, addresses := map[string]bool{"": true}, map[string]string{}
	for _, n := range g.GetNodes() {
		nodes[n.GetName()], addresses[n.GetAddress()] = true, "node "+n.GetName()
	}
	ids := map[int32]string{}
	for i, v := range vipsOf(g) {
		if other, ok := addresses[v.GetAddress()]; ok {
			return invalid(vipField(i, "address"), "%s is the address of %s; give the VIP one of its own", v.GetAddress(), other)
		}
		if other, ok := ids[v.GetVirtualRouterId()]; ok {
			return fault.Invalid("VIRTUAL_ROUTER_IDS_ALIKE", "%s and %s share the virtual router id %d; their adverts would be mixed up", other, v.GetAddress(), v.GetVirtualRouterId())
		}
		if !nodes[v.GetPreferredNode()] {
			return invalid(vipField(i, "preferred_node"), "%q is no node of the gateway", v.GetPreferredNode())
		}
		addresses[v.GetAddress()], ids[v.GetVirtualRouterId()] = "another VIP", v.GetAddress()
	}
	return nil
}

// unshared refuses what two gateways must not share.
func unshared(g, other *gantryv1.Gateway) error {
	for _, mine := range vipsOf(g) {
		for _, theirs := range vipsOf(other) {
			switch {
			case mine.GetAddress() == theirs.GetAddress():
				return fault.Exists("VIP_TAKEN", "%s is the VIP of %s", mine.GetAddress(), other.GetName())
			case mine.GetVirtualRouterId() == theirs.GetVirtualRouterId():
				return fault.Exists("VIRTUAL_ROUTER_ID_TAKEN", "virtual router id %d is that of %s", mine.GetVirtualRouterId(), other.GetName())
			}
		}
	}
	return nil
}
