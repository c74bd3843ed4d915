package publish

import (
	"testing"

	ingressv1 "gantry.dev/proto/gen/gantry/ingress/v1"
	gantryv1 "gantry.dev/proto/gen/gantry/v1"
	"gantry.dev/services/cluster-mgr/internal/store"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/testing/protocmp"
)

func TestDivide(t *testing.T) {
	t.Parallel()
	shares := map[string]int32{"site-a": 30, "site-b": 70}
	canaries := &gantryv1.HttpRules{Canaries: []*gantryv1.Canary{{App: "next"}, {App: "next"}, {App: "undivided"}}}
	got := &ingressv1.GatewayConfig{
		Routes:       []*ingressv1.Route{{Name: "r1", App: "web"}, {Name: "r2", App: "api", TrafficShares: shares}, {Name: "r3", Rules: canaries}},
		StreamRoutes: []*ingressv1.StreamRoute{{Name: "s1", App: "web"}},
		CanaryShares: []*ingressv1.CanaryShares{{App: "former", TrafficShares: shares}},
	}
	Divide(got, []store.TrafficShares{{App: "web", Clusters: shares}, {App: "other", Clusters: shares}, {App: "next", Clusters: shares}})
	want := &ingressv1.GatewayConfig{
		Routes:       []*ingressv1.Route{{Name: "r1", App: "web", TrafficShares: shares}, {Name: "r2", App: "api"}, {Name: "r3", Rules: canaries}},
		StreamRoutes: []*ingressv1.StreamRoute{{Name: "s1", App: "web", TrafficShares: shares}},
		CanaryShares: []*ingressv1.CanaryShares{{App: "next", TrafficShares: shares}},
	}
	if diff := cmp.Diff(want, got, protocmp.Transform()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
