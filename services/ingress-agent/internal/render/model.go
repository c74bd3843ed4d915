// Package render turns a gateway's desired state into the files of one
// generation: nginx.conf, a file per host and keepalived.conf. It is pure and
// reads its own files back: Parse(Files(m)) == m (rule I2).
package render

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	ingressv1 "gantry.dev/proto/gen/gantry/ingress/v1"
	gantryv1 "gantry.dev/proto/gen/gantry/v1"
)

// A Model is everything the files of a generation say.
type Model struct {
	Gateway string
	// In name order, each with at least one location.
	Hosts []Host
	VRRP  VRRP
}

// A Host is one server block. Routes that share a host are its locations.
type Host struct {
	Name string
	// In path order, an exact one before its prefix; they differ.
	Locations []Location
}

// A Location leads a path to an upstream.
type Location struct {
	// A prefix of whole segments: "/", or without a slash at its end.
	Path string
	// Path is the whole path instead.
	Exact bool
	// "projects/{project}/routes/{route}".
	Route string
	// "{project}/{app}:{port}", see Upstream; empty where the rules redirect.
	Upstream string
	// Requests may wait for a first pod; the wait ends when the client goes.
	Holds bool
	Rules Rules
}

// Rejected is a route whose wanted form cannot be served.
type Rejected struct {
	Route, Reason string
}

// A Build is what a configuration asks for, and what in it cannot be done.
type Build struct {
	Model    Model
	Rejected []Rejected
	// Why Model.VRRP is empty; empty when it is good.
	VRRPProblem string
}

// Upstream names the pods of an app's port: "shop/web:8080".
func Upstream(project, app string, port int) string {
	return fmt.Sprintf("%s/%s:%d", project, app, port)
}

// FromConfig checks each field by its grammar and arranges the routes for this
// node. A route that breaks a rule is rejected alone (rule I4); of two with
// the same host and path the first by name is kept.
func FromConfig(c *ingressv1.GatewayConfig, node string) Build {
	b, listed := Build{Model: Model{Gateway: c.GetGateway()}}, map[string]bool{}
	vrrp, err := vrrpOf(c, node)
	if err != nil {
		b.VRRPProblem = err.Error()
	}
	b.Model.VRRP = vrrp
	routes := slices.Clone(c.GetRoutes())
	slices.SortStableFunc(routes, func(x, y *ingressv1.Route) int { return cmp.Compare(x.GetName(), y.GetName()) })
	place := newPlacer(&b.Model)
	for _, r := range routes {
		location, err := locationOf(r)
		if err == nil && listed[r.GetName()] {
			err = fmt.Errorf("the route is listed twice")
		}
		if err == nil {
			err = place.add(r.GetHost(), location)
		}
		if err != nil {
			b.Rejected = append(b.Rejected, Rejected{Route: r.GetName(), Reason: err.Error()})
		}
		listed[r.GetName()] = true
	}
	place.sort()
	return b
}

func locationOf(r *ingressv1.Route) (Location, error) {
	if err := checkRoute(r); err != nil {
		return Location{}, err
	}
	rules, err := rulesOf(r.GetRules())
	if err != nil {
		return Location{}, err
	}
	if _, err := CanariesOf(r); err != nil {
		return Location{}, err
	}
	l := Location{Path: r.GetPathPrefix(), Exact: r.GetPathMatch() == gantryv1.PathMatch_PATH_MATCH_EXACT, Route: r.GetName(), Rules: rules, Holds: r.GetHoldSeconds() > 0}
	if !l.Exact {
		l.Path = strings.TrimSuffix(l.Path, "/")
	}
	if l.Path == "" {
		l.Path = "/"
	}
	if r.GetApp() != "" {
		l.Upstream, err = UpstreamOf(r)
	}
	return l, err
}

// UpstreamOf names the pods that a route leads to.
func UpstreamOf(r *ingressv1.Route) (string, error) {
	project, app, err := appOf(r.GetApp())
	if err != nil {
		return "", err
	}
	return Upstream(project, app, int(r.GetPort())), nil
}

// Routes gives the names of all routes that the model serves.
func (m Model) Routes() map[string]bool {
	names := map[string]bool{}
	for _, h := range m.Hosts {
		for _, l := range h.Locations {
			names[l.Route] = true
		}
	}
	return names
}

// Host finds a host by name.
func (m Model) Host(name string) (Host, bool) {
	i, ok := slices.BinarySearchFunc(m.Hosts, name, func(h Host, n string) int { return strings.Compare(h.Name, n) })
	if !ok {
		return Host{}, false
	}
	return m.Hosts[i], true
}

// A placer fills a model's hosts; sort ends its work.
type placer struct {
	model *Model
	index map[string]int
}

func newPlacer(m *Model) *placer {
	p := &placer{model: m, index: map[string]int{}}
	for i, h := range m.Hosts {
		p.index[h.Name] = i
	}
	return p
}

// add refuses a path that the host has already.
func (p *placer) add(host string, l Location) error {
	i, ok := p.index[host]
	if !ok {
		i = len(p.model.Hosts)
		p.index[host] = i
		p.model.Hosts = append(p.model.Hosts, Host{Name: host})
	}
	h := &p.model.Hosts[i]
	for _, other := range h.Locations {
		if other.Path == l.Path && other.Exact == l.Exact {
			return fmt.Errorf("%s%s is served by %s already; give one of the two another path", host, l.Path, other.Route)
		}
	}
	h.Locations = append(h.Locations, l)
	return nil
}

func exactness(l Location) int {
	if l.Exact {
		return 1
	}
	return 0
}

func (p *placer) sort() {
	slices.SortFunc(p.model.Hosts, func(x, y Host) int { return cmp.Compare(x.Name, y.Name) })
	for _, h := range p.model.Hosts {
		slices.SortFunc(h.Locations, func(x, y Location) int {
			return cmp.Or(cmp.Compare(x.Path, y.Path), -cmp.Compare(exactness(x), exactness(y)))
		})
	}
}
