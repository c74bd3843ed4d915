package api_test

import (
	"errors"
	"testing"

	ingressv1 "gantry.dev/proto/gen/gantry/ingress/v1"
	gantryv1 "gantry.dev/proto/gen/gantry/v1"
	"gantry.dev/services/cluster-mgr/internal/observe"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/fieldmaskpb"
)

func mainGateway() *gantryv1.Gateway {
	return &gantryv1.Gateway{
		Name: "gateways/main", Vip: "10.0.0.100", VirtualRouterId: 7,
		Nodes: []*gantryv1.GatewayNode{
			{Name: "lb-1", Address: "10.0.0.1", AgentAddress: "10.0.0.1:7300", Priority: 100},
			{Name: "lb-2", Address: "10.0.0.2", AgentAddress: "10.0.0.2:7300", Priority: 90},
		},
		MoreVips: []*gantryv1.Vip{{Address: "10.0.0.101", VirtualRouterId: 8, PreferredNode: "lb-2"}},
	}
}

// nodes makes the nodes say how they are.
func (h *harness) nodes(agents map[string]observe.AgentView) { h.view.agents.Store(&agents) }

func serving() observe.AgentView {
	return observe.AgentView{Status: &ingressv1.GetStatusResponse{NginxOk: true, KeepalivedOk: true, HoldsVip: true, Vips: []string{"10.0.0.100"}}}
}

// rule I8: what would make two nodes or gateways fight is refused.
func TestGatewaysThatWouldFight(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	gateways := gantryv1.NewGatewayServiceClient(h.conn)
	_, err := gateways.CreateGateway(h.admin(), &gantryv1.CreateGatewayRequest{Gateway: mainGateway()})
	h.ok(err)
	for _, tc := range []struct {
		reason string
		spoil  func(*gantryv1.Gateway)
	}{
		{"GATEWAY_NODES_ALIKE", func(g *gantryv1.Gateway) { g.Nodes[1].Priority = 100 }},
		{"INVALID_FIELDS", func(g *gantryv1.Gateway) { g.Vip = "10.0.0.1" }},
		{"INVALID_FIELDS", func(g *gantryv1.Gateway) { g.MoreVips[0].Address = g.Vip }},
		{"INVALID_FIELDS", func(g *gantryv1.Gateway) { g.MoreVips[0].PreferredNode = "lb-9" }},
		{"VIRTUAL_ROUTER_IDS_ALIKE", func(g *gantryv1.Gateway) { g.MoreVips[0].VirtualRouterId = 7 }},
	} {
		g := mainGateway()
		tc.spoil(g)
		_, err := gateways.UpdateGateway(h.admin(), &gantryv1.UpdateGatewayRequest{Gateway: g})
		h.refused(err, tc.reason)
	}
	twin := mainGateway()
	twin.Name, twin.Vip, twin.VirtualRouterId = "gateways/twin", "10.0.0.102", 9
	_, err = gateways.CreateGateway(h.admin(), &gantryv1.CreateGatewayRequest{Gateway: twin})
	h.refused(err, "VIP_TAKEN")
	twin.MoreVips[0].Address = "10.0.0.103"
	_, err = gateways.CreateGateway(h.admin(), &gantryv1.CreateGatewayRequest{Gateway: twin})
	h.refused(err, "VIRTUAL_ROUTER_ID_TAKEN")
}

func TestUpdateGateway(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	gateways := gantryv1.NewGatewayServiceClient(h.conn)
	g := mainGateway()
	first, err := gateways.UpdateGateway(h.admin(), &gantryv1.UpdateGatewayRequest{Gateway: g, AllowMissing: true})
	h.ok(err)
	g.Nodes = append(g.Nodes, &gantryv1.GatewayNode{Name: "lb-3", Address: "10.0.0.3", AgentAddress: "10.0.0.3:7300", Priority: 80, Drained: true})
	g.Vip = "10.0.0.200"
	got, err := gateways.UpdateGateway(h.admin(), &gantryv1.UpdateGatewayRequest{Gateway: g, UpdateMask: &fieldmaskpb.FieldMask{Paths: []string{"nodes"}}})
	h.ok(err)
	if len(got.GetNodes()) != 3 || got.GetNodes()[2].GetDrained() || got.GetVip() != "10.0.0.100" || got.GetEtag() == first.GetEtag() {
		t.Errorf("%v", got)
	}
	stale := proto.CloneOf(first)
	stale.Nodes = stale.Nodes[:1]
	_, err = gateways.UpdateGateway(h.admin(), &gantryv1.UpdateGatewayRequest{Gateway: stale})
	h.refused(err, "ETAG_MISMATCH")
}

// The last node that serves is never drained.
func TestDrainGatewayNode(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	gateways := gantryv1.NewGatewayServiceClient(h.conn)
	_, err := gateways.CreateGateway(h.admin(), &gantryv1.CreateGatewayRequest{Gateway: mainGateway()})
	h.ok(err)
	drain := func(node string, undo bool) (*gantryv1.Gateway, error) {
		return gateways.DrainGatewayNode(h.admin(), &gantryv1.DrainGatewayNodeRequest{Name: "gateways/main", Node: node, Undo: undo})
	}
	silent, dead := serving(), serving()
	silent.Err = errors.New("no answer")
	dead.Status = &ingressv1.GetStatusResponse{KeepalivedOk: true}
	for _, other := range []observe.AgentView{{}, silent, dead} {
		h.nodes(map[string]observe.AgentView{"main/lb-1": serving(), "main/lb-2": other})
		_, err = drain("lb-1", false)
		h.refused(err, "GATEWAY_LAST_NODE")
	}
	h.nodes(map[string]observe.AgentView{"main/lb-1": serving(), "main/lb-2": serving()})
	_, err = drain("lb-9", false)
	h.refused(err, "GATEWAY_NODE_NOT_FOUND")
	for range 2 { // a repetition changes nothing
		got, err := drain("lb-1", false)
		h.ok(err)
		if !got.GetNodes()[0].GetDrained() || got.GetNodes()[1].GetDrained() || got.GetStatus()[0].GetVips()[0] != "10.0.0.100" {
			t.Errorf("%v", got)
		}
	}
	_, err = drain("lb-2", false)
	h.refused(err, "GATEWAY_LAST_NODE")
	// A node cannot be taken out if only drained ones would be left.
	g := mainGateway()
	g.Nodes, g.MoreVips = g.Nodes[:1], nil
	_, err = gateways.UpdateGateway(h.admin(), &gantryv1.UpdateGatewayRequest{Gateway: g})
	h.refused(err, "GATEWAY_LAST_NODE")
	got, err := drain("lb-1", true)
	h.ok(err)
	if got.GetNodes()[0].GetDrained() {
		t.Errorf("%v", got)
	}
}
