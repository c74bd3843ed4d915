package offline

import (
	"path"

	ingressv1 "gantry.dev/proto/gen/gantry/ingress/v1"
	gantryv1 "gantry.dev/proto/gen/gantry/v1"
	"gantry.dev/services/ingress-agent/internal/stream"
)

// addStreams renders the stream routes into files of their own directory,
// "stream/". Where there is none, there is no such directory.
func (out *Rendered) addStreams(c *ingressv1.GatewayConfig, n Node) error {
	if len(c.GetStreamRoutes()) == 0 {
		return nil
	}
	b := stream.FromConfig(c, stream.Reserved(n.HTTPPort, n.HTTPSPort))
	files, err := stream.Render(b, stream.Env{StateDir: path.Join(n.StateDir, stream.Dir), ModulesDir: n.ModulesDir, WorkerUser: workerUser})
	if err != nil {
		return err
	}
	for name, text := range files {
		out.Files[path.Join(stream.Dir, name)] = text
	}
	for _, r := range b.Rejected {
		out.Problems = append(out.Problems, Problem(r))
	}
	return nil
}

func streamsOf(routes []*gantryv1.StreamRoute) []*ingressv1.StreamRoute {
	var all []*ingressv1.StreamRoute
	for _, r := range routes {
		all = append(all, &ingressv1.StreamRoute{
			Name: r.GetName(), Protocol: r.GetProtocol(), ListenPort: r.GetListenPort(), App: r.GetApp(), Port: r.GetPort(),
			ProxyProtocol: r.GetProxyProtocol(), AllowCidrs: r.GetAllowCidrs(), IdleSeconds: r.GetIdleSeconds(),
		})
	}
	return all
}
