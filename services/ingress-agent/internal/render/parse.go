package render

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"gantry.dev/services/ingress-agent/internal/conftext"
)

// Parse reads the model back from a generation's files and refuses a
// directive that the renderer does not write (rule I2).
func Parse(files map[string][]byte) (Model, error) {
	var m Model
	if err := parseMain(&m, files[NginxConf]); err != nil {
		return Model{}, fmt.Errorf("%s: %w", NginxConf, err)
	}
	for name, text := range files {
		if !strings.HasPrefix(name, hostsDir+"/") {
			continue
		}
		h, err := parseHost(text)
		if err != nil {
			return Model{}, fmt.Errorf("%s: %w", name, err)
		}
		m.Hosts = append(m.Hosts, h)
	}
	newPlacer(&m).sort()
	if text, ok := files[KeepalivedConf]; ok {
		vrrp, err := parseVRRP(text)
		if err != nil {
			return Model{}, fmt.Errorf("%s: %w", KeepalivedConf, err)
		}
		m.VRRP = vrrp
	}
	return m, nil
}

func known(names string) map[string]bool {
	set := map[string]bool{}
	for _, n := range strings.Fields(names) {
		set[n] = true
	}
	return set
}

func nginxDirectives() map[string]bool {
	return known(`daemon pid error_log load_module worker_processes worker_rlimit_nofile worker_shutdown_timeout user
		events worker_connections http access_log server_tokens default_type keepalive_timeout keepalive_requests
		client_max_body_size client_body_buffer_size client_body_temp_path proxy_temp_path fastcgi_temp_path
		uwsgi_temp_path scgi_temp_path server_names_hash_max_size server_names_hash_bucket_size
		variables_hash_max_size map proxy_http_version proxy_set_header proxy_connect_timeout proxy_next_upstream
		proxy_next_upstream_timeout proxy_read_timeout proxy_send_timeout proxy_max_temp_file_size
		proxy_socket_keepalive lua_package_path lua_shared_dict init_by_lua_block access_by_lua_block
		header_filter_by_lua_block log_by_lua_block balancer_by_lua_block content_by_lua_block upstream server
		keepalive listen set location server_name return include`)
}

func parseMain(m *Model, text []byte) error {
	nodes, err := conftext.ReadNginx(text)
	if err != nil {
		return err
	}
	if name := conftext.Unknown(nodes, nginxDirectives()); name != "" {
		return fmt.Errorf("unknown directive %q", name)
	}
	http, ok := conftext.Node{Children: nodes}.Find("http")
	if !ok {
		return errors.New("no http block")
	}
	control, ok := http.Find("server")
	if !ok {
		return errors.New("no server block")
	}
	m.Gateway = variable(control, "$gantry_gateway")
	return nil
}

// Layout reads from nginx.conf what Nginx will tell when it serves it.
func Layout(nginxConf []byte) (string, error) {
	nodes, err := conftext.ReadNginx(nginxConf)
	if err != nil {
		return "", err
	}
	http, _ := conftext.Node{Children: nodes}.Find("http")
	control, _ := http.Find("server")
	layout := variable(control, layoutVar)
	if layout == "" {
		return "", fmt.Errorf("%s names no layout", NginxConf)
	}
	return layout, nil
}

// variable is the value of `set name value` in a block.
func variable(block conftext.Node, name string) string {
	for _, n := range block.Children {
		if n.Name == "set" && n.Arg(0) == name {
			return n.Arg(1)
		}
	}
	return ""
}

func parseHost(text []byte) (Host, error) {
	nodes, err := conftext.ReadNginx(text)
	if err != nil {
		return Host{}, err
	}
	if name := conftext.Unknown(nodes, known("server listen server_name location set proxy_pass return")); name != "" {
		return Host{}, fmt.Errorf("unknown directive %q", name)
	}
	if len(nodes) != 1 || nodes[0].Name != "server" {
		return Host{}, errors.New("not one server block")
	}
	name, _ := nodes[0].Find("server_name")
	h := Host{Name: name.Arg(0)}
	for _, n := range nodes[0].Children {
		if n.Name != "location" || variable(n, routeVar) == "" {
			continue
		}
		h.Locations = append(h.Locations, Location{Path: n.Arg(0), Route: variable(n, routeVar), Upstream: variable(n, upstreamVar)})
	}
	return h, nil
}

func parseVRRP(text []byte) (VRRP, error) {
	nodes, err := conftext.ReadKeepalived(text)
	if err != nil {
		return VRRP{}, err
	}
	root := conftext.Node{Children: nodes}
	global, _ := root.Find("global_defs")
	instance, ok := root.Find("vrrp_instance")
	if !ok {
		return VRRP{}, errors.New("no vrrp_instance")
	}
	if name := conftext.Unknown(slices.Concat(global.Children, withoutLists(instance)), known(`router_id script_user vrrp_rt_priority vrrp_rlimit_rttime
		vrrp_no_swap vrrp_garp_master_delay version state nopreempt interface virtual_router_id priority advert_int
		unicast_src_ip`)); name != "" {
		return VRRP{}, fmt.Errorf("unknown directive %q", name)
	}
	var v VRRP
	v.Node = line(global, "router_id")
	v.Source = line(instance, "unicast_src_ip")
	v.RouterID, err = intOf(line(instance, "virtual_router_id"), 1, 255)
	if err != nil {
		return VRRP{}, err
	}
	if v.Priority, err = intOf(line(instance, "priority"), 1, 254); err != nil {
		return VRRP{}, err
	}
	peers, _ := instance.Find("unicast_peer")
	for _, p := range peers.Children {
		v.Peers = append(v.Peers, p.Name)
	}
	vips, _ := instance.Find("virtual_ipaddress")
	if len(vips.Children) != 1 {
		return VRRP{}, errors.New("not one virtual address")
	}
	v.VIP = strings.TrimSuffix(vips.Children[0].Name, "/32")
	return v, nil
}

func line(block conftext.Node, name string) string {
	n, _ := block.Find(name)
	return n.Arg(0)
}

// withoutLists leaves out the blocks whose entries are values.
func withoutLists(block conftext.Node) []conftext.Node {
	var plain []conftext.Node
	for _, n := range block.Children {
		if !n.Block {
			plain = append(plain, n)
		}
	}
	return plain
}
