package publish_test

import (
	"testing"

	ingressv1 "gantry.dev/proto/gen/gantry/ingress/v1"
	gantryv1 "gantry.dev/proto/gen/gantry/v1"
	"gantry.dev/services/cluster-mgr/internal/publish"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"
)

func TestConfig(t *testing.T) {
	gateway := &gantryv1.Gateway{
		Name: "gateways/main", Vip: "10.0.0.100", VirtualRouterId: 7,
		Nodes: []*gantryv1.GatewayNode{{Name: "lb-1", Address: "10.0.0.11", AgentAddress: "10.0.0.11:7300", Priority: 150}},
	}
	clusters := []*gantryv1.Cluster{
		{Name: "clusters/site-b", IpaasAddress: "10.2.0.1:7100", Identity: "uid-b"},
		{Name: "clusters/site-a", IpaasAddress: "10.1.0.1:7100", Identity: "uid-a", TrafficPercent: 100},
	}
	routes := []*gantryv1.Route{
		{Name: "projects/pay/routes/web", Gateway: "gateways/main", Host: "web.test", App: "projects/pay/apps/web", Port: 8080},
		{Name: "projects/pay/routes/api", Gateway: "gateways/main", Host: "web.test", PathPrefix: "/api", App: "projects/pay/apps/api", Port: 80},
		{Name: "projects/pay/routes/elsewhere", Gateway: "gateways/other", Host: "x.test", App: "projects/pay/apps/web", Port: 8080},
	}
	want := &ingressv1.GatewayConfig{
		Gateway: "main", Vip: "10.0.0.100", VirtualRouterId: 7,
		Nodes: []*ingressv1.Node{{Name: "lb-1", Address: "10.0.0.11", Priority: 150}},
		Clusters: []*ingressv1.Cluster{
			{Name: "site-a", IpaasAddress: "10.1.0.1:7100", Identity: "uid-a", TrafficPercent: 100},
			{Name: "site-b", IpaasAddress: "10.2.0.1:7100", Identity: "uid-b"},
		},
		Routes: []*ingressv1.Route{
			{Name: "projects/pay/routes/api", Host: "web.test", PathPrefix: "/api", App: "projects/pay/apps/api", Port: 80},
			{Name: "projects/pay/routes/web", Host: "web.test", PathPrefix: "/", App: "projects/pay/apps/web", Port: 8080, HoldSeconds: 60},
		},
	}
	apps := []*gantryv1.App{
		{Name: "projects/pay/apps/web", Spec: &gantryv1.AppSpec{Autoscale: &gantryv1.Autoscale{ScaleToZero: true}}},
		{Name: "projects/pay/apps/api", Spec: &gantryv1.AppSpec{Autoscale: &gantryv1.Autoscale{MinReplicas: 1}}},
	}
	got := publish.Config(gateway, routes, clusters, apps)
	if diff := cmp.Diff(want, got, protocmp.Transform()); diff != "" {
		t.Errorf("config (-want +got):\n%s", diff)
	}
	clusters[0], clusters[1] = clusters[1], clusters[0]
	routes[0], routes[1] = routes[1], routes[0]
	if !proto.Equal(got, publish.Config(gateway, routes, clusters, apps)) {
		t.Error("the order of what is stored changes the configuration")
	}
}
