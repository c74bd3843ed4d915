package api

import (
	"context"
	"fmt"

	"gantry.dev/pkg/names"
	ingressv1 "gantry.dev/proto/gen/gantry/ingress/v1"
	gantryv1 "gantry.dev/proto/gen/gantry/v1"
	"gantry.dev/services/cluster-mgr/internal/observe"
	"gantry.dev/services/cluster-mgr/internal/store"
)

// served says which routes are served, from what was published and what the
// load balancer nodes said last.
type served struct {
	gateways map[string]servedGateway
}

// servedGateway is one gateway, "gateways/main".
type servedGateway struct {
	generation int64
	// What is published: revisions of routes, and stream routes.
	revisions map[string]int32
	streams   map[string]*ingressv1.StreamRoute
	nodes     []servedNode
}

// servedNode is a node's last answer, its quarantined routes by name.
type servedNode struct {
	name        string
	err         error
	asked       bool
	generation  int64
	quarantined map[string]string
}

func (s *Services) served(ctx context.Context) (served, error) {
	gateways, _, err := s.Store.Gateways.List(ctx, "")
	if err != nil {
		return served{}, err
	}
	configs, _, err := s.Store.Configs.Fresh(ctx)
	if err != nil {
		return served{}, err
	}
	out := served{gateways: map[string]servedGateway{}}
	agents := s.Observer.View().Agents
	for _, g := range gateways {
		out.gateways[g.Name] = servedGateway{nodes: servedNodes(g.Value, agents)}
	}
	for _, c := range configs {
		g := out.gateways["gateways/"+c.Name]
		g.publish(c.Value)
		out.gateways["gateways/"+c.Name] = g
	}
	return out, nil
}

func servedNodes(g *gantryv1.Gateway, agents map[string]observe.AgentView) []servedNode {
	var out []servedNode
	for _, n := range g.GetNodes() {
		seen, asked := agents[names.ID(g.GetName())+"/"+n.GetName()]
		node := servedNode{name: n.GetName(), err: seen.Err, asked: asked && seen.Status != nil, generation: seen.Status.GetGeneration(), quarantined: map[string]string{}}
		for _, q := range seen.Status.GetQuarantined() {
			node.quarantined[q.GetRoute()] = q.GetReason()
		}
		out = append(out, node)
	}
	return out
}

func (g *servedGateway) publish(c *ingressv1.GatewayConfig) {
	g.generation = c.GetGeneration()
	g.revisions, g.streams = map[string]int32{}, map[string]*ingressv1.StreamRoute{}
	for _, r := range c.GetRoutes() {
		g.revisions[r.GetName()] = r.GetRevision()
	}
	for _, r := range c.GetStreamRoutes() {
		g.streams[r.GetName()] = r
	}
}

// route shows a route with its status.
func (s served) route(item store.Item[*gantryv1.Route]) *gantryv1.Route {
	r := shownRoute(item)
	g := s.gateways[r.GetGateway()]
	revision, published := g.revisions[r.GetName()]
	r.Status = g.status(r.GetGateway(), r.GetName(), published && revision == r.GetRevision())
	return r
}

// stream shows a stream route with its status.
func (s served) stream(item store.Item[*gantryv1.StreamRoute]) *gantryv1.StreamRoute {
	r := shownStreamRoute(item)
	g := s.gateways[r.GetGateway()]
	p := g.streams[r.GetName()]
	same := p.GetProtocol() == r.GetProtocol() && p.GetListenPort() == r.GetListenPort() && p.GetApp() == r.GetApp() && p.GetPort() == r.GetPort()
	r.Status = g.status(r.GetGateway(), r.GetName(), p != nil && same)
	return r
}

// status is what the nodes say of a route whose present form has been
// published, or not yet. A node that cannot be asked is a problem, but says
// nothing of the route.
func (g servedGateway) status(gateway, route string, published bool) *gantryv1.RouteStatus {
	if !published {
		return &gantryv1.RouteStatus{Problems: []string{"this form has not been published to " + gateway + " yet"}}
	}
	out, serving, behind := &gantryv1.RouteStatus{}, 0, 0
	for _, n := range g.nodes {
		problem := ""
		switch reason, quarantined := n.quarantined[route]; {
		case n.err != nil:
			problem = fmt.Sprintf("%s cannot be asked: %v", n.name, n.err)
		case !n.asked:
			problem = n.name + " has not been asked yet"
		case quarantined:
			behind++
			problem = fmt.Sprintf("%s keeps the last good form: %s", n.name, reason)
		case n.generation < g.generation:
			behind++
			problem = fmt.Sprintf("%s serves generation %d, the newest is %d", n.name, n.generation, g.generation)
		default:
			serving++
			continue
		}
		out.Problems = append(out.Problems, problem)
	}
	out.Served = behind == 0 && serving > 0
	return out
}
