package keepalived

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"gantry.dev/services/ingress-agent/internal/conftext"
)

// Lint refuses a keepalived.conf that Keepalived would accept and that would
// split a VIP or block it (rule I8). own are the addresses of the interface
// that carries the VIPs.
func Lint(text []byte, own []netip.Prefix) error {
	nodes, err := conftext.ReadKeepalived(text)
	if err != nil {
		return err
	}
	ids, vips := map[string]string{}, map[string]string{}
	count := 0
	for _, n := range nodes {
		if n.Name != "vrrp_instance" {
			continue
		}
		count++
		if err := lintInstance(n, own); err != nil {
			return fmt.Errorf("vrrp_instance %s: %w", n.Arg(0), err)
		}
		id := value(n, "virtual_router_id")
		if other, ok := ids[id]; ok {
			return fmt.Errorf("vrrp_instances %s and %s have the same virtual_router_id %s; give one of the VIPs another", other, n.Arg(0), id)
		}
		vip := addressOf(n).String()
		if other, ok := vips[vip]; ok {
			return fmt.Errorf("vrrp_instances %s and %s have the same address %s", other, n.Arg(0), vip)
		}
		ids[id], vips[vip] = n.Arg(0), n.Arg(0)
	}
	if count == 0 {
		return errors.New("there is no vrrp_instance")
	}
	return nil
}

func lintInstance(n conftext.Node, own []netip.Prefix) error {
	source := value(n, "unicast_src_ip")
	if !slices.ContainsFunc(own, func(p netip.Prefix) bool { return p.Addr().String() == source }) {
		return fmt.Errorf("the node's address %s is not on the interface, which has %v; correct the node's address or --interface", source, own)
	}
	if _, ok := n.Find("nopreempt"); !ok || value(n, "state") != "BACKUP" {
		return errors.New("a node must begin as BACKUP with nopreempt, or its return would cut connections")
	}
	if p := value(n, "priority"); p == "255" || p == "0" || p == "" {
		return fmt.Errorf("priority %q stands for an owner of the address, or for none", p)
	}
	vip := addressOf(n)
	if !slices.ContainsFunc(own, func(p netip.Prefix) bool { return p.Bits() < 32 && p.Contains(vip) }) {
		return fmt.Errorf("the VIP %s is in no network of the interface, which has %v; nobody would ask it for the address", vip, own)
	}
	return lintPeers(n, source, vip.String())
}

func lintPeers(n conftext.Node, source, vip string) error {
	peers, _ := n.Find("unicast_peer")
	seen := map[string]bool{source: true, vip: true}
	for _, p := range peers.Children {
		if seen[p.Name] {
			return fmt.Errorf("peer %s is this node, the VIP, or there twice", p.Name)
		}
		seen[p.Name] = true
	}
	return nil
}

func value(n conftext.Node, name string) string {
	child, _ := n.Find(name)
	return child.Arg(0)
}

// addressOf an instance; not valid when it has not exactly one.
func addressOf(n conftext.Node) netip.Addr {
	list, _ := n.Find("virtual_ipaddress")
	if len(list.Children) != 1 {
		return netip.Addr{}
	}
	p, err := netip.ParsePrefix(list.Children[0].Name)
	if err != nil {
		return netip.Addr{}
	}
	return p.Addr()
}
