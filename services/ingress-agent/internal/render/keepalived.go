package render

import (
	"strings"

	"gantry.dev/services/ingress-agent/internal/conftext"
)

const (
	checkName = "local_proxy"
	// VRRP version 3 counts in hundredths: three missed adverts are 0.3 s.
	advertSeconds = "0.1"
)

// keepalivedOf is keepalived.conf. Every node starts as BACKUP and takes
// nothing from a living holder: a returning node would cut the connections
// that its peer serves.
func keepalivedOf(m Model, env Env) []conftext.Node {
	v := m.VRRP
	instance := []conftext.Node{
		conftext.Line("version", "3"),
		conftext.Line("state", "BACKUP"),
		conftext.Line("nopreempt"),
		conftext.Line("interface", env.Interface),
		conftext.LineOf("virtual_router_id", conftext.Int(v.RouterID)),
		conftext.LineOf("priority", conftext.Int(v.Priority)),
		conftext.Line("advert_int", advertSeconds),
		conftext.Line("unicast_src_ip", v.Source),
	}
	if len(v.Peers) > 0 {
		var peers []conftext.Node
		for _, p := range v.Peers {
			peers = append(peers, conftext.Line(p))
		}
		instance = append(instance, conftext.BlockOf("unicast_peer", nil, peers...))
	}
	instance = append(instance,
		conftext.BlockOf("virtual_ipaddress", nil, conftext.Line(v.VIP+"/32", "dev", env.Interface)),
		conftext.BlockOf("track_script", nil, conftext.Line(checkName)),
	)
	return []conftext.Node{
		conftext.BlockOf("global_defs", nil,
			conftext.Line("router_id", v.Node),
			conftext.Line("script_user", "root"),
			// A busy machine must not delay adverts past the peers' patience.
			conftext.Line("vrrp_rt_priority", "50"),
			// Unit: µs. The default of 10 ms, and 1 s as well on a machine with many
			// more runnable threads than cores, was seen to SIGKILL the holder of a VIP
			// that was merely busy. It is there to end one that runs wild.
			conftext.Line("vrrp_rlimit_rttime", "10000000"),
			conftext.Line("vrrp_no_swap"),
			// Gratuitous ARP is repeated: one frame may be lost.
			conftext.Line("vrrp_garp_master_delay", "1"),
		),
		conftext.BlockOf("vrrp_script", []conftext.Arg{conftext.Text(checkName)},
			conftext.Line("script", strings.Join(env.Check, " ")),
			conftext.Line("interval", "1"),
			conftext.Line("timeout", "2"),
			conftext.Line("fall", "2"),
			conftext.Line("rise", "1"),
		),
		conftext.BlockOf("vrrp_instance", []conftext.Arg{conftext.Text(m.Gateway)}, instance...),
	}
}
