package cli

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"gantry.dev/pkg/fault"
	"gantry.dev/pkg/names"
	gantryv1 "gantry.dev/proto/gen/gantry/v1"
	"gantry.dev/services/gantry/internal/client"
	"gantry.dev/services/gantry/internal/output"
	"github.com/google/uuid"
	"github.com/spf13/cobra"
)

func (s *runner) gatewayCommand() *cobra.Command {
	g := group("gateway", "Take load balancer nodes out and in, make their keys", s.gatewayDrain(), s.gatewayKey())
	g.Aliases = []string{"gw"}
	return g
}

// drainOptions are the flags of `gantry gateway drain`.
type drainOptions struct {
	gateway, format string
	undo, async     bool
}

func (s *runner) gatewayDrain() *cobra.Command {
	o := &drainOptions{}
	cmd := &cobra.Command{
		Use:   "drain NODE",
		Short: "Let a load balancer node give its VIPs to the others, without losing a request",
		Long: `Moves the VIPs of a node to the others. Requests and connections that the node
serves go on; clients are asked to connect anew. A drained node takes a VIP only
when no other holds it. Refused for the last node that serves. With --undo it
takes part again; it takes no VIP from a node that serves.`,
		Example: "  gantry gateway drain lb-1\n  gantry gateway drain lb-1 --undo",
		Args:    cobra.ExactArgs(1),
	}
	outputFlag(cmd, &o.format)
	cmd.Flags().StringVar(&o.gateway, "gateway", "main", "the node's gateway")
	cmd.Flags().BoolVar(&o.undo, "undo", false, "let it take part again")
	cmd.Flags().BoolVar(&o.async, "async", false, "do not wait until the nodes confirm it")
	cmd.RunE = s.withClient(waitTimeout, func(ctx context.Context, c *client.Client, args []string) error {
		return s.drainNode(ctx, c, args[0], o)
	})
	return cmd
}

func (s *runner) drainNode(ctx context.Context, c *client.Client, node string, o *drainOptions) error {
	name := "gateways/" + output.Last(o.gateway)
	before, err := c.Gateways.GetGateway(ctx, &gantryv1.GetGatewayRequest{Name: name})
	if err != nil {
		return err
	}
	after, err := c.Gateways.DrainGatewayNode(ctx, &gantryv1.DrainGatewayNodeRequest{Name: name, Node: node, Undo: o.undo, RequestId: uuid.NewString()})
	if err != nil {
		return err
	}
	if !o.async {
		if after, err = s.followDrain(ctx, c, before, after, node); err != nil {
			return err
		}
	}
	if o.undo {
		return s.done(o.format, after, "%s takes part again", node)
	}
	return s.done(o.format, after, "%s is drained; the others hold the VIPs", node)
}

// followDrain waits until every node that answers has confirmed the change,
// and a drained one holds no VIP. The portal being away for a moment ends
// nothing.
func (s *runner) followDrain(ctx context.Context, c *client.Client, before, g *gantryv1.Gateway, node string) (*gantryv1.Gateway, error) {
	for last := ""; ; {
		missing := unconfirmed(before, g, node)
		if missing == "" {
			return g, nil
		}
		if missing != last {
			last = missing
			fmt.Fprintln(s.Err, missing)
		}
		if !s.pause(ctx) {
			return nil, fault.Timeout("WAIT_TIMEOUT", "%s: %s; see gantry get gateways %s -o wide", names.ID(g.GetName()), last, names.ID(g.GetName()))
		}
		seen, err := c.Gateways.GetGateway(ctx, &gantryv1.GetGatewayRequest{Name: g.GetName()})
		if err == nil {
			g = seen
		} else if !fault.Is(err, fault.KindUnavailable) && ctx.Err() == nil {
			return nil, err
		}
	}
}

// unconfirmed says what is still missing; empty: nothing.
func unconfirmed(before, now *gantryv1.Gateway, node string) string {
	changed := drainedNode(before, node) != drainedNode(now, node)
	for _, st := range now.GetStatus() {
		if changed && st.GetReachable() && st.GetGeneration() <= generationOf(before, st.GetNode()) {
			return st.GetNode() + " has not taken the change up yet"
		}
	}
	if !drainedNode(now, node) {
		return ""
	}
	held := map[string]bool{}
	for _, st := range now.GetStatus() {
		if st.GetNode() == node && len(st.GetVips()) > 0 {
			return node + " still holds " + strings.Join(st.GetVips(), ", ")
		}
		for _, vip := range st.GetVips() {
			held[vip] = true
		}
	}
	for _, vip := range vips(now) {
		if !held[vip] {
			return "no node holds " + vip
		}
	}
	return ""
}

func vips(g *gantryv1.Gateway) []string {
	all := []string{g.GetVip()}
	for _, v := range g.GetMoreVips() {
		all = append(all, v.GetAddress())
	}
	return all
}

func drainedNode(g *gantryv1.Gateway, node string) bool {
	return slices.ContainsFunc(g.GetNodes(), func(n *gantryv1.GatewayNode) bool { return n.GetName() == node && n.GetDrained() })
}

func generationOf(g *gantryv1.Gateway, node string) int64 {
	for _, st := range g.GetStatus() {
		if st.GetNode() == node {
			return st.GetGeneration()
		}
	}
	return 0
}
