package stream

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"gantry.dev/services/ingress-agent/internal/conftext"
)

// parse reads the model and the layout back from a generation's files and
// refuses a directive that is never written (rule I2).
func parse(files map[string][]byte) (m Model, layout string, err error) {
	m.Gateway, layout, err = parseMain(files[mainConf])
	if err != nil {
		return Model{}, "", fmt.Errorf("%s: %w", mainConf, err)
	}
	for name, text := range files {
		if !strings.HasPrefix(name, routesDir+"/") {
			continue
		}
		r, err := parseRoute(text)
		if err != nil {
			return Model{}, "", fmt.Errorf("%s: %w", name, err)
		}
		m.Routes = append(m.Routes, r)
	}
	slices.SortFunc(m.Routes, func(x, y Route) int { return strings.Compare(x.Name, y.Name) })
	return m, layout, nil
}

func known(names string) map[string]bool {
	set := map[string]bool{}
	for _, n := range strings.Fields(names) {
		set[n] = true
	}
	return set
}

func parseMain(text []byte) (gateway, layout string, err error) {
	nodes, err := conftext.ReadNginx(text)
	if err != nil {
		return "", "", err
	}
	if name := conftext.Unknown(nodes, known(`daemon pid error_log load_module worker_processes worker_rlimit_nofile user events
		worker_connections stream proxy_connect_timeout proxy_next_upstream proxy_next_upstream_timeout proxy_half_close
		proxy_socket_keepalive server listen set return include`)); name != "" {
		return "", "", fmt.Errorf("unknown directive %q", name)
	}
	stream, _ := conftext.Node{Children: nodes}.Find("stream")
	control, _ := stream.Find("server")
	layout = variable(control, layoutVar)
	if layout == "" {
		return "", "", errors.New("it names no layout")
	}
	return variable(control, gatewayVar), layout, nil
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

func parseRoute(text []byte) (Route, error) {
	nodes, err := conftext.ReadNginx(text)
	if err != nil {
		return Route{}, err
	}
	if name := conftext.Unknown(nodes, known("upstream zone hash server listen set allow deny proxy_protocol proxy_timeout proxy_pass")); name != "" {
		return Route{}, fmt.Errorf("unknown directive %q", name)
	}
	if len(nodes) != 2 || nodes[0].Name != "upstream" || nodes[1].Name != "server" {
		return Route{}, errors.New("not one upstream and one server block")
	}
	r := Route{}
	if r.Form, err = parseForm(nodes[1]); err != nil {
		return Route{}, err
	}
	r.Servers, err = parseServers(nodes[0])
	return r, err
}

func parseForm(server conftext.Node) (Form, error) {
	f := Form{Name: variable(server, routeVar), Upstream: variable(server, upstreamVar)}
	var err error
	for _, n := range server.Children {
		switch n.Name {
		case "listen":
			f.Listen.UDP = n.Arg(1) == "udp"
			f.Listen.Port, err = strconv.Atoi(n.Arg(0))
		case "allow":
			f.Allow = append(f.Allow, n.Arg(0))
		case "proxy_protocol":
			f.ProxyProtocol = true
		case "proxy_timeout":
			f.Idle, err = strconv.Atoi(strings.TrimSuffix(n.Arg(0), "s"))
		}
		if err != nil {
			return Form{}, fmt.Errorf("%s: %w", n.Name, err)
		}
	}
	return f, nil
}

func parseServers(upstream conftext.Node) ([]Server, error) {
	var servers []Server
	for _, n := range upstream.Children {
		if n.Name != "server" || n.Arg(0) == nobody {
			continue
		}
		weight, err := strconv.Atoi(strings.TrimPrefix(n.Arg(1), "weight="))
		if err != nil {
			return nil, fmt.Errorf("weight of %s: %w", n.Arg(0), err)
		}
		servers = append(servers, Server{Address: n.Arg(0), Weight: weight, Last: n.Arg(len(n.Args)-1) == "backup"})
	}
	return servers, nil
}
