package api

import (
	"errors"
	"strings"
	"testing"

	ingressv1 "gantry.dev/proto/gen/gantry/ingress/v1"
	gantryv1 "gantry.dev/proto/gen/gantry/v1"
	"gantry.dev/services/cluster-mgr/internal/observe"
	"gantry.dev/services/cluster-mgr/internal/store"
)

func TestRouteStatus(t *testing.T) {
	t.Parallel()
	gateway := &gantryv1.Gateway{Name: "gateways/main", Nodes: []*gantryv1.GatewayNode{{Name: "lb-1"}, {Name: "lb-2"}}}
	says := func(generation int64, quarantined ...*ingressv1.QuarantinedRoute) observe.AgentView {
		return observe.AgentView{Status: &ingressv1.GetStatusResponse{Generation: generation, Quarantined: quarantined}}
	}
	bad := &ingressv1.QuarantinedRoute{Route: "projects/pay/routes/web", Reason: "nginx refuses it"}
	other := &ingressv1.QuarantinedRoute{Route: "projects/pay/routes/other", Reason: "x"}
	tests := []struct {
		name       string
		one, two   observe.AgentView
		revision   int32
		served     bool
		complaints string
	}{
		{"all serve it", says(7), says(8, other), 3, true, ""},
		{"one is behind", says(7), says(6), 3, false, "lb-2 serves generation 6, the newest is 7"},
		{"one keeps the last good form", says(7, bad), says(7), 3, false, "lb-1 keeps the last good form: nginx refuses it"},
		{"one cannot be asked", observe.AgentView{Err: errors.New("no answer")}, says(7), 3, true, "lb-1 cannot be asked: no answer"},
		{"none can be asked", observe.AgentView{Err: errors.New("a")}, observe.AgentView{}, 3, false, "lb-1 cannot be asked: a; lb-2 has not been asked yet"},
		{"not published", says(7), says(7), 4, false, "this form has not been published to gateways/main yet"},
	}
	for _, tc := range tests {
		g := servedGateway{nodes: servedNodes(gateway, map[string]observe.AgentView{"main/lb-1": tc.one, "main/lb-2": tc.two})}
		g.publish(&ingressv1.GatewayConfig{Generation: 7, Routes: []*ingressv1.Route{{Name: "projects/pay/routes/web", Revision: 3}}})
		s := served{gateways: map[string]servedGateway{"gateways/main": g}}
		item := store.Item[*gantryv1.Route]{Value: &gantryv1.Route{Name: "projects/pay/routes/web", Gateway: "gateways/main", Revision: tc.revision}}
		got := s.route(item).GetStatus()
		if got.GetServed() != tc.served || strings.Join(got.GetProblems(), "; ") != tc.complaints {
			t.Errorf("%s: got %v", tc.name, got)
		}
	}
}
