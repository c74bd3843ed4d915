package render

import (
	"cmp"
	"fmt"
	"slices"

	ingressv1 "gantry.dev/proto/gen/gantry/ingress/v1"
)

// VRRP is this node's part in sharing the VIPs.
type VRRP struct {
	Node string
	// This node's own address and those of the others, in address order.
	Source string
	Peers  []string
	// The gateway's first VIP, then the others in their order.
	Instances []Instance
}

// An Instance is one VIP that the nodes share.
type Instance struct {
	VIP string
	// Priority of this node; the highest living node wins an election.
	RouterID, Priority int
}

// VIPs are all shared addresses.
func (v VRRP) VIPs() []string {
	var all []string
	for _, i := range v.Instances {
		all = append(all, i.VIP)
	}
	return all
}

// EqualVRRP tells whether two VRRP parts say the same.
func EqualVRRP(a, b VRRP) bool {
	return a.Node == b.Node && a.Source == b.Source && slices.Equal(a.Peers, b.Peers) && slices.Equal(a.Instances, b.Instances)
}

const (
	maxRouterID = 255
	maxPriority = 254
)

// vrrpOf checks what would split or block a VIP (rule I8).
func vrrpOf(c *ingressv1.GatewayConfig, node string) (VRRP, error) {
	v := VRRP{Node: node}
	if !fields.name.MatchString(c.GetGateway()) {
		return VRRP{}, fmt.Errorf("gateway %q is not a name", c.GetGateway())
	}
	if err := checkVIPs(c); err != nil {
		return VRRP{}, err
	}
	if err := checkNodes(c); err != nil {
		return VRRP{}, err
	}
	for _, n := range c.GetNodes() {
		if n.GetName() == node {
			v.Source = n.GetAddress()
		} else {
			v.Peers = append(v.Peers, n.GetAddress())
		}
	}
	if v.Source == "" {
		return VRRP{}, fmt.Errorf("gateway %s has no node %s; its nodes are set on the gateway", c.GetGateway(), node)
	}
	slices.Sort(v.Peers)
	for _, x := range vipsOf(c) {
		v.Instances = append(v.Instances, Instance{VIP: x.vip, RouterID: x.id, Priority: priorityOf(c.GetNodes(), node, x.preferred)})
	}
	return v, nil
}

type sharedVIP struct {
	vip       string
	id        int
	preferred string
}

func vipsOf(c *ingressv1.GatewayConfig) []sharedVIP {
	all := []sharedVIP{{vip: c.GetVip(), id: int(c.GetVirtualRouterId())}}
	for _, m := range c.GetMoreVips() {
		all = append(all, sharedVIP{vip: m.GetAddress(), id: int(m.GetVirtualRouterId()), preferred: m.GetPreferredNode()})
	}
	return all
}

// priorityOf is a node's priority for a VIP: as configured, but the preferred
// node, if there is one, is before all others.
func priorityOf(nodes []*ingressv1.Node, node, preferred string) int {
	order := slices.Clone(nodes) // worst first
	rank := func(n *ingressv1.Node) int {
		if n.GetName() == preferred {
			return maxPriority + 1
		}
		return int(n.GetPriority())
	}
	slices.SortFunc(order, func(a, b *ingressv1.Node) int { return cmp.Compare(rank(a), rank(b)) })
	at := slices.IndexFunc(order, func(n *ingressv1.Node) bool { return n.GetName() == node })
	if preferred == "" {
		return int(order[at].GetPriority())
	}
	return maxPriority - len(order) + 1 + at
}

func checkVIPs(c *ingressv1.GatewayConfig) error {
	names := map[string]bool{}
	for _, n := range c.GetNodes() {
		names[n.GetName()] = true
	}
	vips, ids := map[string]bool{}, map[int]string{}
	for _, x := range vipsOf(c) {
		if !isIPv4(x.vip) || vips[x.vip] {
			return fmt.Errorf("vip %q is not an IPv4 address, or is there twice", x.vip)
		}
		if x.id < 1 || x.id > maxRouterID {
			return fmt.Errorf("virtual_router_id %d of %s is not between 1 and %d", x.id, x.vip, maxRouterID)
		}
		if other, ok := ids[x.id]; ok {
			return fmt.Errorf("%s and %s have the same virtual_router_id %d; their adverts would be mixed up", other, x.vip, x.id)
		}
		if x.preferred != "" && !names[x.preferred] {
			return fmt.Errorf("the preferred_node %q of %s is no node of the gateway", x.preferred, x.vip)
		}
		vips[x.vip], ids[x.id] = true, x.vip
	}
	return nil
}

func checkNodes(c *ingressv1.GatewayConfig) error {
	priorities, addresses, names := map[int32]string{}, map[string]string{}, map[string]bool{}
	for _, x := range vipsOf(c) {
		addresses[x.vip] = "a VIP"
	}
	for _, n := range c.GetNodes() {
		if !fields.name.MatchString(n.GetName()) || names[n.GetName()] {
			return fmt.Errorf("node name %q is wrong or used twice", n.GetName())
		}
		if !isIPv4(n.GetAddress()) {
			return fmt.Errorf("node %s: address %q is not an IPv4 address", n.GetName(), n.GetAddress())
		}
		if other, ok := addresses[n.GetAddress()]; ok {
			return fmt.Errorf("node %s has the same address as %s", n.GetName(), other)
		}
		if n.GetPriority() < 1 || n.GetPriority() > maxPriority {
			return fmt.Errorf("node %s: priority %d is not between 1 and %d", n.GetName(), n.GetPriority(), maxPriority)
		}
		if other, ok := priorities[n.GetPriority()]; ok {
			return fmt.Errorf("nodes %s and %s have the same priority %d; both would take the VIP", other, n.GetName(), n.GetPriority())
		}
		names[n.GetName()], addresses[n.GetAddress()], priorities[n.GetPriority()] = true, n.GetName(), n.GetName()
	}
	return nil
}
