package operations

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"gantry.dev/pkg/names"
	ingressv1 "gantry.dev/proto/gen/gantry/ingress/v1"
	gantryv1 "gantry.dev/proto/gen/gantry/v1"
	"gantry.dev/services/cluster-mgr/internal/failover"
	"gantry.dev/services/cluster-mgr/internal/fleet"
	"gantry.dev/services/cluster-mgr/internal/observe"
)

// confirm says which load balancer nodes serve the newest generation of their
// gateway, as they have read it back, and which do not. While the operation
// waits for that they are asked now, not when it is their turn.
func (l *Loop) confirm(ctx context.Context, s fleet.Snapshot, o fleet.Operation, see *failover.Observation) error {
	agents := s.View.Agents
	if failover.Confirming(o.Plan, o.Progress) {
		l.Observer.LookAtAgents(ctx)
		agents = l.Observer.View().Agents
	}
	gateways, _, err := l.Store.Gateways.List(ctx, "")
	if err != nil {
		return fmt.Errorf("list gateways: %w", err)
	}
	see.NoGateways = len(gateways) == 0
	for _, g := range gateways {
		config, err := l.Store.Configs.Get(ctx, names.ID(g.Name))
		if err != nil {
			return fmt.Errorf("read the configuration of %s: %w", g.Name, err)
		}
		gateway{names.ID(g.Name), g.Value, config.Value, agents}.confirm(s, see)
	}
	return nil
}

// gateway is a gateway with what its nodes said last, by "gateway/node".
type gateway struct {
	name   string
	value  *gantryv1.Gateway
	config *ingressv1.GatewayConfig
	agents map[string]observe.AgentView
}

// confirm counts the nodes that have to serve what is stored: those that
// answer, and those that do not but may still hold a VIP. While the published
// configuration does not show what is stored, no node serves it.
func (g gateway) confirm(s fleet.Snapshot, see *failover.Observation) {
	shows := shows(g.config, s)
	for _, n := range g.value.GetNodes() {
		name := g.name + "/" + n.GetName()
		agent, known := g.agents[name]
		switch {
		case !known:
			see.Agents++
			see.Behind = append(see.Behind, name+" has not been asked yet")
		case agent.Err != nil && g.alone(name):
			see.Agents++
			see.Behind = append(see.Behind, name+" does not answer and may hold a VIP that no other node holds")
		case agent.Err != nil:
			see.Silent = append(see.Silent, name+" does not answer and holds no VIP, so it was not waited for")
		case !shows:
			see.Agents++
			see.Behind = append(see.Behind, name+" waits for the configuration to be published")
		case agent.Status.GetGeneration() >= g.config.GetGeneration():
			see.Agents++
			see.AgentsServing++
		default:
			see.Agents++
			see.Behind = append(see.Behind, fmt.Sprintf("%s serves generation %d of %d", name, agent.Status.GetGeneration(), g.config.GetGeneration()))
		}
	}
}

// alone tells whether a node that does not answer held a VIP when it last did,
// or has never answered, and no node that answers holds that: requests may go
// through it.
func (g gateway) alone(silent string) bool {
	taken := map[string]bool{}
	for name, agent := range g.agents {
		if name != silent && agent.Err == nil && g.has(name) {
			for _, vip := range g.vips(agent.Status) {
				taken[vip] = true
			}
		}
	}
	mayHold := g.vips(g.agents[silent].Status)
	if g.agents[silent].Status == nil {
		mayHold = g.all()
	}
	return slices.ContainsFunc(mayHold, func(vip string) bool { return !taken[vip] })
}

func (g gateway) has(name string) bool {
	return slices.ContainsFunc(g.value.GetNodes(), func(n *gantryv1.GatewayNode) bool { return g.name+"/"+n.GetName() == name })
}

// all are the gateway's addresses.
func (g gateway) all() []string {
	var out []string
	if vip := g.value.GetVip(); vip != "" {
		out = append(out, vip)
	}
	for _, v := range g.value.GetMoreVips() {
		out = append(out, v.GetAddress())
	}
	return out
}

// vips are the addresses that a node said it holds.
func (g gateway) vips(status *ingressv1.GetStatusResponse) []string {
	if held := status.GetVips(); len(held) > 0 || !status.GetHoldsVip() {
		return held
	}
	return []string{g.value.GetVip()}
}

// shows tells whether a published configuration is of the clusters and shares
// as they are stored.
func shows(config *ingressv1.GatewayConfig, s fleet.Snapshot) bool {
	for _, c := range config.GetClusters() {
		if c.GetTrafficPercent() != s.Cluster("clusters/"+c.GetName()).GetTrafficPercent() {
			return false
		}
	}
	canaries := map[string]map[string]int32{}
	for _, c := range config.GetCanaryShares() {
		canaries[c.GetApp()] = c.GetTrafficShares()
	}
	for _, r := range config.GetRoutes() {
		if !maps.Equal(r.GetTrafficShares(), s.TrafficShares[r.GetApp()].Value.Clusters) {
			return false
		}
		for _, c := range r.GetRules().GetCanaries() {
			if !maps.Equal(canaries[c.GetApp()], s.TrafficShares[c.GetApp()].Value.Clusters) {
				return false
			}
		}
	}
	for _, r := range config.GetStreamRoutes() {
		if !maps.Equal(r.GetTrafficShares(), s.TrafficShares[r.GetApp()].Value.Clusters) {
			return false
		}
	}
	return true
}
