package operations

import (
	"errors"
	"testing"

	ingressv1 "gantry.dev/proto/gen/gantry/ingress/v1"
	gantryv1 "gantry.dev/proto/gen/gantry/v1"
	"gantry.dev/services/cluster-mgr/internal/failover"
	"gantry.dev/services/cluster-mgr/internal/fleet"
	"gantry.dev/services/cluster-mgr/internal/observe"
	"gantry.dev/services/cluster-mgr/internal/publish"
	"gantry.dev/services/cluster-mgr/internal/store"
	"github.com/google/go-cmp/cmp"
)

const vip = "10.111.0.100"

func serves(generation int64, vips ...string) observe.AgentView {
	return observe.AgentView{Status: &ingressv1.GetStatusResponse{Generation: generation, Vips: vips, HoldsVip: len(vips) > 0}}
}

func silent(v observe.AgentView) observe.AgentView {
	v.Err = errors.New("no answer")
	return v
}

// Every node that answers has to serve a step, and one that does not unless others hold its VIPs.
func TestConfirm(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name   string
		a, b   observe.AgentView
		shares map[string]int32
		want   failover.Observation
	}{
		{"both serve it", serves(4, vip), serves(4), nil, failover.Observation{Agents: 2, AgentsServing: 2}},
		{"a newer one, too", serves(5, vip), serves(4), nil, failover.Observation{Agents: 2, AgentsServing: 2}},
		{"one is behind", serves(4, vip), serves(3), nil, failover.Observation{Agents: 2, AgentsServing: 1, Behind: []string{"main/lb-2 serves generation 3 of 4"}}},
		{
			"one without a VIP is silent", serves(4, vip), silent(serves(3)), nil,
			failover.Observation{Agents: 1, AgentsServing: 1, Silent: []string{"main/lb-2 does not answer and holds no VIP, so it was not waited for"}},
		},
		{
			"the one with the VIP is silent", silent(serves(3, vip)), serves(4), nil,
			failover.Observation{Agents: 2, AgentsServing: 1, Behind: []string{"main/lb-1 does not answer and may hold a VIP that no other node holds"}},
		},
		{
			"its VIP is taken over", silent(serves(3, vip)), serves(4, vip), nil,
			failover.Observation{Agents: 1, AgentsServing: 1, Silent: []string{"main/lb-1 does not answer and holds no VIP, so it was not waited for"}},
		},
		{
			"one that has never answered may hold it", silent(observe.AgentView{}), serves(4), nil,
			failover.Observation{Agents: 2, AgentsServing: 1, Behind: []string{"main/lb-1 does not answer and may hold a VIP that no other node holds"}},
		},
		{
			"what is published is not what is stored", serves(4, vip), serves(4), map[string]int32{"site-a": 100},
			failover.Observation{Agents: 2, Behind: []string{"main/lb-1 waits for the configuration to be published", "main/lb-2 waits for the configuration to be published"}},
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			g := gateway{
				name:   "main",
				value:  &gantryv1.Gateway{Vip: vip, Nodes: []*gantryv1.GatewayNode{{Name: "lb-1"}, {Name: "lb-2"}}},
				config: &ingressv1.GatewayConfig{Generation: 4, Routes: []*ingressv1.Route{{App: web}}},
				agents: map[string]observe.AgentView{"main/lb-1": tc.a, "main/lb-2": tc.b},
			}
			s := fleet.Snapshot{TrafficShares: map[string]store.Item[store.TrafficShares]{}}
			if tc.shares != nil {
				s.TrafficShares[web] = store.Item[store.TrafficShares]{Value: store.TrafficShares{Clusters: tc.shares}}
			}
			var got failover.Observation
			g.confirm(s, &got)
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// What is published is of the stored shares once they are divided, also those
// of an app that is reached as a canary only.
func TestShows(t *testing.T) {
	t.Parallel()
	const next = "projects/shop/apps/next"
	shares := store.TrafficShares{App: next, Clusters: map[string]int32{"site-a": 100}}
	stored := fleet.Snapshot{TrafficShares: map[string]store.Item[store.TrafficShares]{next: {Value: shares}}}
	config := &ingressv1.GatewayConfig{Routes: []*ingressv1.Route{{App: web, Rules: &gantryv1.HttpRules{Canaries: []*gantryv1.Canary{{App: next}}}}}}
	if shows(config, stored) {
		t.Error("shares that are not published are shown")
	}
	publish.Divide(config, []store.TrafficShares{shares})
	if !shows(config, stored) {
		t.Error("published shares are not shown")
	}
	if shows(config, fleet.Snapshot{}) {
		t.Error("shares that ended are not shown")
	}
}
