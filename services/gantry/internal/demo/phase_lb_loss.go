package demo

import (
	"context"
	"fmt"
	"time"

	"gantry.dev/pkg/fault"
	gantryv1 "gantry.dev/proto/gen/gantry/v1"
	"gantry.dev/services/gantry/internal/load"
)

// lbLoss kills the load balancer node that holds the VIP.
func lbLoss(ctx context.Context, s *stage) (outcome, error) {
	holder, err := s.awaitHolder(ctx, "")
	if err != nil {
		return outcome{}, err
	}
	s.command("gantry get gateways")
	s.say("%s holds the VIP %s", holder, s.res.gateway.GetVip())
	s.command("gantry local kill %s", holder)
	killed := time.Now()
	s.mark(eventFault, "kill "+holder, holder+", which holds the VIP, is killed")
	if err := s.cfg.Platform.Kill(ctx, holder); err != nil {
		return outcome{}, err
	}
	other, takenErr := s.awaitHolder(ctx, holder)
	// Long enough for the requests that were in flight to end in some way.
	if err := pause(ctx, 6*time.Second); err != nil {
		return outcome{}, err
	}
	// The last two seconds may not have been counted yet.
	gap := load.LongestGap(s.load.Buckets(), killed, time.Now().Add(-2*time.Second))
	s.figures.takeover = &gap
	s.say("%s holds the VIP; longest time without a good answer: %s", orDefault(other, "nobody"), round(gap))
	if err := s.restart(ctx, holder); err != nil {
		return outcome{}, err
	}
	if takenErr != nil {
		return outcome{}, takenErr
	}
	// If the node takes the VIP back, that belongs to the run too.
	if err := pause(ctx, 5*time.Second); err != nil {
		return outcome{}, err
	}
	return outcome{
		detail: fmt.Sprintf("%s → %s in %s", holder, other, round(gap)),
		checks: []check{takeoverSoon(gap), fact("the other node holds the VIP", other != holder, "%s", other)},
	}, nil
}

// awaitHolder waits until a node other than the given one holds the VIP.
func (s *stage) awaitHolder(ctx context.Context, not string) (string, error) {
	var holder string
	err := await(ctx, briefPatience, "a node to hold the VIP", func(ctx context.Context) (bool, string, error) {
		nodes, err := s.gatewayNodes(ctx)
		if err != nil {
			return false, "", err
		}
		for _, n := range nodes {
			if n.GetReachable() && n.GetHoldsVip() && n.GetNode() != not {
				holder = n.GetNode()
				return true, "", nil
			}
		}
		return false, "no other node holds it", nil
	})
	return holder, err
}

func (s *stage) gatewayNodes(ctx context.Context) ([]*gantryv1.GatewayNodeStatus, error) {
	g, err := s.api.Gateways.GetGateway(ctx, &gantryv1.GetGatewayRequest{Name: s.res.gateway.GetName()})
	return g.GetStatus(), err
}

// restart starts a load balancer node and waits for its agent.
func (s *stage) restart(ctx context.Context, node string) error {
	s.command("gantry local start %s", node)
	s.mark(eventAction, "start "+node, node+" is started again")
	if err := s.cfg.Platform.Start(ctx, node); err != nil {
		return err
	}
	return await(ctx, briefPatience, node+" to be back", func(ctx context.Context) (bool, string, error) {
		nodes, err := s.gatewayNodes(ctx)
		if err != nil {
			return false, "", err
		}
		for _, n := range nodes {
			if n.GetNode() == node {
				return n.GetReachable(), n.GetMessage(), nil
			}
		}
		return false, "", fault.NotFound("DEMO_NODE_MISSING", "the gateway has no node %s", node)
	})
}
