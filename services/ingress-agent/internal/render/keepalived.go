package render

import (
	"path"
	"strconv"
	"strings"

	"gantry.dev/services/ingress-agent/internal/conftext"
)

const (
	checkName = "local_proxy"
	// VRRP version 3 counts in hundredths: three missed adverts are 0.3 s.
	advertSeconds = "0.1"
)

// GiveFile is where, below the state directory, the agent writes a number that
// is added to the node's priority for a VIP: 0 as a rule; GiveNow makes
// Keepalived give the VIP to the others at once. A changed number needs no
// reload.
func GiveFile(vip string) string { return "run/give-" + vip }

// GiveNow is below what any priority can make up for.
const GiveNow = -254

// keepalivedOf is keepalived.conf. Every node starts as BACKUP and takes
// nothing from a living holder: a returning node would cut the connections
// that its peer serves.
func keepalivedOf(m Model, env Env) []conftext.Node {
	nodes := []conftext.Node{
		conftext.BlockOf("global_defs", nil, globalOf(m.VRRP.Node, env)...),
		conftext.BlockOf("vrrp_script", []conftext.Arg{conftext.Text(checkName)},
			conftext.Line("script", strings.Join(env.Check, " ")),
			conftext.Line("interval", "1"),
			conftext.Line("timeout", "2"),
			conftext.Line("fall", "2"),
			conftext.Line("rise", "1"),
		),
	}
	for _, i := range m.VRRP.Instances {
		nodes = append(nodes, conftext.BlockOf("track_file", []conftext.Arg{conftext.Text(giveName(i.VIP))},
			conftext.Line("file", path.Join(env.StateDir, GiveFile(i.VIP))),
			conftext.Line("weight", "1"),
			conftext.Line("init_file", "0"),
		))
	}
	for n, i := range m.VRRP.Instances {
		name := m.Gateway
		if n > 0 {
			name += "-" + strconv.Itoa(n+1)
		}
		nodes = append(nodes, conftext.BlockOf("vrrp_instance", []conftext.Arg{conftext.Text(name)}, instanceOf(m.VRRP, i, env)...))
	}
	return nodes
}

// globalOf is what all instances share. A busy machine must not delay adverts
// past the peers' patience.
func globalOf(node string, env Env) []conftext.Node {
	lines := []conftext.Node{
		conftext.Line("router_id", node),
		conftext.Line("script_user", "root"),
	}
	if env.Realtime {
		lines = append(lines,
			conftext.Line("vrrp_rt_priority", "50"),
			// Unit: µs. The default of 10 ms, and 1 s as well on a machine with many
			// more runnable threads than cores, was seen to SIGKILL the holder of a VIP
			// that was merely busy. It is there to end one that runs wild.
			conftext.Line("vrrp_rlimit_rttime", "10000000"),
		)
	} else {
		lines = append(lines, conftext.Line("vrrp_priority", "-20"))
	}
	return append(lines,
		conftext.Line("vrrp_no_swap"),
		// Gratuitous ARP is repeated: one frame may be lost.
		conftext.Line("vrrp_garp_master_delay", "1"),
	)
}

func giveName(vip string) string { return "give-" + vip }

func instanceOf(v VRRP, i Instance, env Env) []conftext.Node {
	lines := []conftext.Node{
		conftext.Line("version", "3"),
		conftext.Line("state", "BACKUP"),
		conftext.Line("nopreempt"),
		conftext.Line("interface", env.Interface),
		conftext.LineOf("virtual_router_id", conftext.Int(i.RouterID)),
		conftext.LineOf("priority", conftext.Int(i.Priority)),
		conftext.Line("advert_int", advertSeconds),
		conftext.Line("unicast_src_ip", v.Source),
	}
	if len(v.Peers) > 0 {
		var peers []conftext.Node
		for _, p := range v.Peers {
			peers = append(peers, conftext.Line(p))
		}
		lines = append(lines, conftext.BlockOf("unicast_peer", nil, peers...))
	}
	return append(lines,
		conftext.BlockOf("virtual_ipaddress", nil, conftext.Line(i.VIP+"/32", "dev", env.Interface)),
		conftext.BlockOf("track_script", nil, conftext.Line(checkName)),
		conftext.BlockOf("track_file", nil, conftext.Line(giveName(i.VIP))),
	)
}
