// Package offline renders what an ingress-agent would write, with the agent's
// own code and without a node. It is the one door to the rendering for other
// programs: messages of the API and files go through it, no type of an
// internal package does. It writes nothing.
package offline

import (
	"cmp"

	ingressv1 "gantry.dev/proto/gen/gantry/ingress/v1"
	gantryv1 "gantry.dev/proto/gen/gantry/v1"
	"gantry.dev/services/ingress-agent/internal/balancer"
	"gantry.dev/services/ingress-agent/internal/render"
)

// Node is the load balancer node that files are meant for; paths are absolute.
type Node struct {
	// Name in the gateway; it counts only where the configuration has VIPs.
	Name string
	// Directory of this generation's files, as they name it.
	Dir string
	// Directory of everything that the agent writes.
	StateDir string
	// Directory of Nginx's dynamic modules.
	ModulesDir string
	// The agent's program, which Keepalived runs.
	Program string
	// Interface that carries the VIP.
	Interface string
	HTTPPort  int
	// 0: no HTTPS.
	HTTPSPort int
}

// A Problem is a route that the agent would not serve in this form.
type Problem struct {
	// "projects/{project}/routes/{route}" or
	// "projects/{project}/streamRoutes/{stream_route}".
	Route string
	// Begins with the field.
	Reason string
}

// Rendered is the files of one generation by path relative to its directory.
type Rendered struct {
	Files    map[string][]byte
	Problems []Problem
	// Why there is no keepalived.conf; empty when there is one, or the
	// configuration has no VIP.
	VRRPProblem string
}

// Render gives the files of a configuration. Routes with problems are left
// out, as on a node that never served them. It fails where no file can be
// written at all. Stream routes, which an Nginx of their own serves, are below
// "stream/", without the pods, which their files name on a node.
func Render(c *ingressv1.GatewayConfig, n Node) (Rendered, error) {
	b := render.FromConfig(c, n.Name)
	code, err := balancer.Code()
	if err != nil {
		return Rendered{}, err
	}
	g, err := render.Files(b.Model, env(n), code)
	if err != nil {
		return Rendered{}, err
	}
	out := Rendered{Files: g.Files}
	if c.GetVip() != "" || len(c.GetNodes()) > 0 {
		out.VRRPProblem = b.VRRPProblem
	}
	for _, r := range b.Rejected {
		out.Problems = append(out.Problems, Problem(r))
	}
	return out, out.addStreams(c, n)
}

// workerUser is the user of Nginx' workers on a node.
const workerUser = "nobody"

func env(n Node) render.Env {
	return render.Env{
		StateDir: n.StateDir, Dir: n.Dir, ModulesDir: n.ModulesDir, TempDir: n.StateDir + "/tmp", HTTPPort: n.HTTPPort, HTTPSPort: n.HTTPSPort,
		WorkerUser: workerUser, Interface: n.Interface, Realtime: true,
		Check: []string{n.Program, "check", "--state-dir", n.StateDir},
	}
}

// HostFile is the path of a host's file among the rendered ones.
func HostFile(host string) string { return render.HostFile(host) }

// Config is what agents are told of a gateway and its routes, but for what only
// the platform knows: clusters, shares of traffic, certificates.
func Config(g *gantryv1.Gateway, name string, routes []*gantryv1.Route, streams []*gantryv1.StreamRoute) *ingressv1.GatewayConfig {
	c := &ingressv1.GatewayConfig{
		Gateway: name, Vip: g.GetVip(), VirtualRouterId: g.GetVirtualRouterId(), MoreVips: g.GetMoreVips(), StreamRoutes: streamsOf(streams),
	}
	for _, n := range g.GetNodes() {
		c.Nodes = append(c.Nodes, &ingressv1.Node{Name: n.GetName(), Address: n.GetAddress(), Priority: n.GetPriority(), Drained: n.GetDrained()})
	}
	for _, r := range routes {
		c.Routes = append(c.Routes, &ingressv1.Route{
			Name: r.GetName(), Host: r.GetHost(), PathPrefix: cmp.Or(r.GetPathPrefix(), "/"), PathMatch: r.GetPathMatch(),
			App: r.GetApp(), Port: r.GetPort(), Rules: r.GetRules(), Revision: r.GetRevision(),
		})
	}
	return c
}
