package render

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"gantry.dev/services/ingress-agent/internal/conftext"
)

// parseVRRP reads keepalived.conf back; it refuses a directive that is never
// written (rule I2).
func parseVRRP(text []byte) (VRRP, error) {
	nodes, err := conftext.ReadKeepalived(text)
	if err != nil {
		return VRRP{}, err
	}
	root := conftext.Node{Children: nodes}
	global, _ := root.Find("global_defs")
	if name := unknownVRRP(nodes); name != "" {
		return VRRP{}, fmt.Errorf("unknown directive %q", name)
	}
	v := VRRP{Node: line(global, "router_id")}
	for _, n := range nodes {
		if n.Name != "vrrp_instance" {
			continue
		}
		i, err := parseInstance(n)
		if err != nil {
			return VRRP{}, fmt.Errorf("vrrp_instance %s: %w", n.Arg(0), err)
		}
		v.Instances = append(v.Instances, i)
		v.Source = line(n, "unicast_src_ip")
		peers, _ := n.Find("unicast_peer")
		v.Peers = nil
		for _, p := range peers.Children {
			v.Peers = append(v.Peers, p.Name)
		}
	}
	if len(v.Instances) == 0 {
		return VRRP{}, errors.New("no vrrp_instance")
	}
	return v, nil
}

// unknownVRRP names the first directive that is never written.
func unknownVRRP(nodes []conftext.Node) string {
	blocks := known("global_defs vrrp_script track_file vrrp_instance")
	lines := known(`router_id script_user vrrp_priority vrrp_rt_priority vrrp_rlimit_rttime vrrp_no_swap vrrp_garp_master_delay
		script interval timeout fall rise file weight init_file
		version state nopreempt interface virtual_router_id priority advert_int unicast_src_ip`)
	lists := known("unicast_peer virtual_ipaddress track_script track_file")
	for _, n := range nodes {
		if !blocks[n.Name] {
			return n.Name
		}
		at := slices.IndexFunc(n.Children, func(c conftext.Node) bool {
			return c.Block && !lists[c.Name] || !c.Block && !lines[c.Name]
		})
		if at >= 0 {
			return n.Children[at].Name
		}
	}
	return ""
}

func parseInstance(n conftext.Node) (i Instance, err error) {
	if i.RouterID, err = intOf(line(n, "virtual_router_id"), 1, maxRouterID); err != nil {
		return i, err
	}
	if i.Priority, err = intOf(line(n, "priority"), 1, maxPriority); err != nil {
		return i, err
	}
	vips, _ := n.Find("virtual_ipaddress")
	if len(vips.Children) != 1 {
		return i, errors.New("not one virtual address")
	}
	i.VIP = strings.TrimSuffix(vips.Children[0].Name, "/32")
	return i, nil
}

func line(block conftext.Node, name string) string {
	n, _ := block.Find(name)
	return n.Arg(0)
}
