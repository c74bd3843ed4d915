package stream

import (
	"cmp"
	"math"
	"net"
	"slices"
	"strconv"

	ingressv1 "gantry.dev/proto/gen/gantry/ingress/v1"
	"gantry.dev/services/ingress-agent/internal/endpoints"
	"gantry.dev/services/ingress-agent/internal/render"
)

// Pods is what is known of the pods behind the routes.
type Pods struct {
	Clusters []*ingressv1.Cluster
	Known    endpoints.ByCluster
	// Percent of the connections by cluster, by route; a route without any is
	// shared in proportion to ready pods.
	Shares map[string]map[string]int32
	// TCP pods that do not answer, "host:port".
	Down map[string]bool
}

// PodsOf joins a configuration with what is known of the clusters.
func PodsOf(c *ingressv1.GatewayConfig, known endpoints.ByCluster, down []string) Pods {
	p := Pods{Clusters: c.GetClusters(), Known: known, Shares: map[string]map[string]int32{}, Down: map[string]bool{}}
	for _, r := range c.GetStreamRoutes() {
		p.Shares[r.GetName()] = r.GetTrafficShares()
	}
	for _, target := range down {
		p.Down[target] = true
	}
	return p
}

// Weights are whole numbers to this; the hash of UDP makes 160 points of each.
const (
	tcpScale = 1000
	udpScale = 20
)

// servers are the pods of a route. What is served of a cluster that has said
// nothing yet stays (rules C1, I6).
func (p Pods) servers(f Form, served Route) []Server {
	app, port, err := render.AppOf(f.Upstream)
	if err != nil {
		return nil // it was made by the same grammar
	}
	shares := p.shares(f.Name, app)
	exact, silent, known := map[string]float64{}, false, map[string]bool{}
	for _, c := range p.Clusters {
		pods, heard := p.Known[c.GetName()][app]
		weight := weightOf(c, shares, len(pods))
		silent = silent || !heard
		for _, ip := range pods {
			target := net.JoinHostPort(ip, strconv.Itoa(port))
			known[target] = true
			if weight > 0 {
				exact[target] = max(exact[target], weight)
			}
		}
	}
	servers := whole(exact, scaleOf(f))
	if silent && served.Upstream == f.Upstream {
		servers = append(servers, others(served.Servers, known)...)
	}
	slices.SortFunc(servers, func(x, y Server) int { return cmp.Compare(x.Address, y.Address) })
	if !f.Listen.UDP {
		p.markDown(servers)
	}
	return servers
}

// shares of a route's clusters; none where all that have one are without a
// pod or without traffic: a connection rather goes elsewhere than nowhere.
func (p Pods) shares(route, app string) map[string]int32 {
	shares := p.Shares[route]
	for _, c := range p.Clusters {
		if len(p.Known[c.GetName()][app]) > 0 && c.GetTrafficPercent()*shares[c.GetName()] > 0 {
			return shares
		}
	}
	return nil
}

// weightOf is that of one pod of a cluster.
func weightOf(c *ingressv1.Cluster, shares map[string]int32, pods int) float64 {
	percent := float64(c.GetTrafficPercent())
	if len(shares) == 0 || pods == 0 {
		return percent
	}
	return percent * float64(shares[c.GetName()]) / float64(pods)
}

func scaleOf(f Form) float64 {
	if f.Listen.UDP {
		return udpScale
	}
	return tcpScale
}

// whole makes the weights whole numbers from 1 to scale, as small as they can
// be without loss.
func whole(exact map[string]float64, scale float64) []Server {
	top, divisor := 0.0, 0
	for _, w := range exact {
		top = max(top, w)
	}
	var servers []Server
	for address, w := range exact {
		s := Server{Address: address, Weight: max(1, int(math.Round(w/top*scale)))}
		divisor = gcd(s.Weight, divisor)
		servers = append(servers, s)
	}
	for i := range servers {
		servers[i].Weight /= divisor
	}
	return servers
}

func gcd(a, b int) int {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}

func others(served []Server, known map[string]bool) []Server {
	var out []Server
	for _, s := range served {
		if !known[s.Address] {
			out = append(out, s)
		}
	}
	return out
}

// markDown puts the pods that do not answer behind the others; when none
// answers the fault is more likely ours, and none is marked.
func (p Pods) markDown(servers []Server) {
	answers := func(s Server) bool { return !p.Down[s.Address] }
	any := slices.ContainsFunc(servers, answers)
	for i := range servers {
		servers[i].Last = any && !answers(servers[i])
	}
}

// fill gives each form its pods.
func fill(gateway string, forms []Form, pods Pods, served Model) Model {
	m := Model{Gateway: gateway}
	for _, f := range forms {
		last, _ := served.Route(f.Name)
		m.Routes = append(m.Routes, Route{Form: f, Servers: pods.servers(f, last)})
	}
	return m
}
