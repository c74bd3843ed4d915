package render

import (
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"

	ingressv1 "gantry.dev/proto/gen/gantry/ingress/v1"
)

// The grammar of each field (rule I1). They repeat the proto's rules on
// purpose: what reaches a node may have been written past the API.
const (
	label     = `[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?`
	identName = `[a-z]([-a-z0-9]{0,38}[a-z0-9])?`
)

type grammar struct {
	name, route, app, host, path *regexp.Regexp
}

func grammars() grammar {
	return grammar{
		name:  regexp.MustCompile(`^` + identName + `$`),
		route: regexp.MustCompile(`^projects/` + identName + `/routes/` + identName + `$`),
		app:   regexp.MustCompile(`^projects/` + identName + `/apps/` + identName + `$`),
		host:  regexp.MustCompile(`^(` + label + `\.)*` + label + `$`),
		path:  regexp.MustCompile(`^/[-A-Za-z0-9_.~/]{0,200}$`),
	}
}

const (
	maxHost = 253
	maxPort = 65535
)

func checkRoute(r *ingressv1.Route) error {
	g := fields
	path := r.GetPathPrefix()
	switch {
	case !g.route.MatchString(r.GetName()):
		return fmt.Errorf("name %q is not \"projects/{project}/routes/{route}\"", r.GetName())
	case len(r.GetHost()) > maxHost || !g.host.MatchString(r.GetHost()):
		return fmt.Errorf("host %q is not a lower-case DNS name without wildcards", r.GetHost())
	case path != "" && !g.path.MatchString(path):
		return fmt.Errorf("path_prefix %q must begin with \"/\" and hold only letters, digits and -_.~/", path)
	case strings.Contains(path, "//") || strings.Contains(path+"/", "/../") || strings.Contains(path+"/", "/./"):
		return fmt.Errorf("path_prefix %q holds an empty, \".\" or \"..\" part, which no request matches", path)
	case !g.app.MatchString(r.GetApp()):
		return fmt.Errorf("app %q is not \"projects/{project}/apps/{app}\"", r.GetApp())
	case projectOf(r.GetApp()) != projectOf(r.GetName()):
		return fmt.Errorf("app %q is of another project than the route", r.GetApp())
	case r.GetPort() < 1 || r.GetPort() > maxPort:
		return fmt.Errorf("port %d is not between 1 and %d", r.GetPort(), maxPort)
	}
	return nil
}

// fields is compiled once and never written again.
var fields = grammars() //nolint:gochecknoglobals // constant in all but name

func projectOf(name string) string { return strings.Split(name+"//", "/")[1] }

func appOf(name string) (project, app string, err error) {
	if !fields.app.MatchString(name) {
		return "", "", fmt.Errorf("app %q is not \"projects/{project}/apps/{app}\"", name)
	}
	parts := strings.Split(name, "/")
	return parts[1], parts[3], nil
}

// AppOf is the inverse of Upstream: the app's full name and the port.
func AppOf(upstream string) (app string, port int, err error) {
	var project, short string
	at := strings.LastIndexByte(upstream, ':')
	if slash := strings.IndexByte(upstream, '/'); slash > 0 && at > slash {
		project, short = upstream[:slash], upstream[slash+1:at]
	}
	app = "projects/" + project + "/apps/" + short
	if !fields.app.MatchString(app) {
		return "", 0, fmt.Errorf("%q is not \"{project}/{app}:{port}\"", upstream)
	}
	port, err = intOf(upstream[at+1:], 1, maxPort)
	return app, port, err
}

// vrrpOf is the linter of what would split or block the VIP (rule I8).
func vrrpOf(c *ingressv1.GatewayConfig, node string) (VRRP, error) {
	v := VRRP{Node: node, RouterID: int(c.GetVirtualRouterId()), VIP: c.GetVip()}
	if !fields.name.MatchString(c.GetGateway()) {
		return VRRP{}, fmt.Errorf("gateway %q is not a name", c.GetGateway())
	}
	if v.RouterID < 1 || v.RouterID > 255 {
		return VRRP{}, fmt.Errorf("virtual_router_id %d is not between 1 and 255", v.RouterID)
	}
	if !isIPv4(v.VIP) {
		return VRRP{}, fmt.Errorf("vip %q is not an IPv4 address", v.VIP)
	}
	if err := checkNodes(c); err != nil {
		return VRRP{}, err
	}
	for _, n := range c.GetNodes() {
		if n.GetName() == node {
			v.Source, v.Priority = n.GetAddress(), int(n.GetPriority())
		} else {
			v.Peers = append(v.Peers, n.GetAddress())
		}
	}
	if v.Source == "" {
		return VRRP{}, fmt.Errorf("gateway %s has no node %s; its nodes are set on the gateway", c.GetGateway(), node)
	}
	slices.Sort(v.Peers)
	return v, nil
}

func checkNodes(c *ingressv1.GatewayConfig) error {
	priorities, addresses, names := map[int32]string{}, map[string]string{c.GetVip(): "the VIP"}, map[string]bool{}
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
		if n.GetPriority() < 1 || n.GetPriority() > 254 {
			return fmt.Errorf("node %s: priority %d is not between 1 and 254", n.GetName(), n.GetPriority())
		}
		if other, ok := priorities[n.GetPriority()]; ok {
			return fmt.Errorf("nodes %s and %s have the same priority %d; both would take the VIP", other, n.GetName(), n.GetPriority())
		}
		names[n.GetName()], addresses[n.GetAddress()], priorities[n.GetPriority()] = true, n.GetName(), n.GetName()
	}
	return nil
}

func isIPv4(s string) bool {
	a, err := netip.ParseAddr(s)
	return err == nil && a.Is4() && !a.IsUnspecified() && !a.IsMulticast() && a.String() == s
}
