package cli

import (
	"strings"
	"testing"

	gantryv1 "gantry.dev/proto/gen/gantry/v1"
)

// A drain is done when every node that answers has taken it up, the node holds
// nothing, and others hold every VIP.
func TestADrainIsConfirmed(t *testing.T) {
	gateway := func(drained bool, generation int64, vips ...string) *gantryv1.Gateway {
		g := &gantryv1.Gateway{
			Name: "gateways/main", Vip: "10.0.0.9", MoreVips: []*gantryv1.Vip{{Address: "10.0.0.8"}},
			Nodes: []*gantryv1.GatewayNode{{Name: "lb-1", Drained: drained}, {Name: "lb-2"}, {Name: "lb-3"}},
		}
		for i, n := range g.GetNodes() {
			g.Status = append(g.Status, &gantryv1.GatewayNodeStatus{Node: n.GetName(), Reachable: i < 2, Generation: generation, Vips: strings.Fields(vips[i])})
		}
		return g
	}
	before := gateway(false, 4, "10.0.0.9", "10.0.0.8", "")
	for _, tc := range []struct {
		now  *gantryv1.Gateway
		want string
	}{
		{gateway(true, 4, "10.0.0.9", "10.0.0.8", ""), "lb-1 has not taken the change up yet"},
		{gateway(true, 5, "10.0.0.9", "10.0.0.8", ""), "lb-1 still holds 10.0.0.9"},
		{gateway(true, 5, "", "10.0.0.8", ""), "no node holds 10.0.0.9"},
		{gateway(true, 5, "", "10.0.0.8 10.0.0.9", ""), ""},
	} {
		if got := unconfirmed(before, tc.now, "lb-1"); got != tc.want {
			t.Errorf("%q, want %q", got, tc.want)
		}
	}
	drained := gateway(true, 5, "", "10.0.0.8 10.0.0.9", "")
	if got := unconfirmed(drained, drained, "lb-1"); got != "" {
		t.Errorf("nothing changed, and it waits: %s", got)
	}
	if got := unconfirmed(drained, gateway(false, 5, "", "10.0.0.8 10.0.0.9", ""), "lb-1"); got == "" {
		t.Error("an undo is confirmed before it is taken up")
	}
}
