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
		proxy_next_upstream_timeout proxy_read_timeout proxy_send_timeout proxy_max_temp_file_size proxy_headers_hash_bucket_size
		proxy_socket_keepalive lua_package_path lua_shared_dict init_by_lua_block access_by_lua_block
		header_filter_by_lua_block log_by_lua_block balancer_by_lua_block content_by_lua_block upstream server
		keepalive listen set location server_name return include limit_req_status gzip_types gzip_min_length
		gzip_proxied gzip_vary
		ssl_protocols ssl_ciphers ssl_session_cache ssl_session_timeout ssl_session_tickets ssl_reject_handshake
		grpc_set_header grpc_connect_timeout grpc_next_upstream grpc_next_upstream_timeout grpc_read_timeout
		grpc_send_timeout grpc_socket_keepalive`)
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
	if name := conftext.Unknown(nodes, hostDirectives()); name != "" {
		return Host{}, fmt.Errorf("unknown directive %q", name)
	}
	rates, err := readZones(nodes)
	if err != nil {
		return Host{}, err
	}
	servers := slices.DeleteFunc(nodes, func(n conftext.Node) bool { return n.Name == "limit_req_zone" })
	if len(servers) != 1 || servers[0].Name != "server" {
		return Host{}, errors.New("not one server block")
	}
	name, _ := servers[0].Find("server_name")
	h := Host{Name: name.Arg(0)}
	for _, n := range servers[0].Children {
		if n.Name != "location" || variable(n, routeVar) == "" {
			continue
		}
		if err := h.read(n, rates); err != nil {
			return Host{}, err
		}
	}
	return h, nil
}

func hostDirectives() map[string]bool {
	return known(`server listen server_name location set proxy_pass return limit_req_zone limit_req allow deny
		client_max_body_size proxy_connect_timeout proxy_read_timeout proxy_send_timeout proxy_set_header
		proxy_hide_header add_header gzip lua_check_client_abort if ssl_certificate ssl_certificate_key
		ssl_certificate_by_lua_block grpc_pass grpc_connect_timeout grpc_read_timeout grpc_send_timeout grpc_set_header
		grpc_hide_header client_body_timeout access_by_lua_block header_filter_by_lua_block`)
}

// read takes one block in. The second block of a route is the prefix whose
// own path came before.
func (h *Host) read(n conftext.Node, rates map[string]Rate) error {
	l := Location{Path: n.Arg(0), Route: variable(n, routeVar), Upstream: variable(n, upstreamVar)}
	if l.Path == "=" {
		l.Path, l.Exact = n.Arg(1), true
	} else if l.Path != "/" {
		l.Path = strings.TrimSuffix(l.Path, "/")
	}
	rules, err := readRules(n, rates)
	if err != nil {
		return fmt.Errorf("location %s: %w", l.Path, err)
	}
	l.Rules = rules
	_, l.Holds = n.Find("lua_check_client_abort")
	h.Locations = slices.DeleteFunc(h.Locations, func(other Location) bool { return other.Route == l.Route })
	h.Locations = append(h.Locations, l)
	return nil
}
