package methods

import (
	"strings"
	"testing"

	gantryv1 "gantry.dev/proto/gen/gantry/v1"
	"google.golang.org/protobuf/proto"
)

func TestCatalogHoldsThePublicAPIOnly(t *testing.T) {
	catalog := New()
	for name := range catalog {
		if !strings.HasPrefix(name, "/gantry.v1.") && !strings.HasPrefix(name, "/grpc.health.") && !strings.HasPrefix(name, "/grpc.reflection.") {
			t.Errorf("%s must not be callable by users", name)
		}
	}
	tests := []struct {
		name             string
		mutates, streams bool
	}{
		{"/gantry.v1.AppService/GetApp", false, false},
		{"/gantry.v1.AppService/WatchApps", false, true},
		{"/gantry.v1.AppService/ScaleApp", true, false},
		{"/gantry.v1.ClusterService/SwitchTraffic", true, false},
		{"/gantry.v1.OperationService/ApproveOperation", true, false},
		{"/grpc.health.v1.Health/Check", false, false},
	}
	for _, tt := range tests {
		m, ok := catalog[tt.name]
		if !ok || m.Mutates != tt.mutates && m.Input != nil || m.Streams != tt.streams {
			t.Errorf("%s: got %+v", tt.name, m)
		}
	}
}

func TestResource(t *testing.T) {
	tests := map[string]struct {
		method  string
		request proto.Message
	}{
		"projects/pay/apps/web": {"/gantry.v1.AppService/UpdateApp", &gantryv1.UpdateAppRequest{App: &gantryv1.App{Name: "projects/pay/apps/web"}}},
		"clusters/site-b":       {"/gantry.v1.ClusterService/SwitchTraffic", &gantryv1.SwitchTrafficRequest{Name: "clusters/site-b"}},
		"projects/pay":          {"/gantry.v1.AppService/CreateApp", &gantryv1.CreateAppRequest{Parent: "projects/pay"}},
		"":                      {"/gantry.v1.ClusterService/ListClusters", &gantryv1.ListClustersRequest{PageSize: 3}},
	}
	catalog := New()
	for want, tt := range tests {
		wire, err := proto.Marshal(tt.request)
		if err != nil {
			t.Fatal(err)
		}
		if got := catalog[tt.method].Resource(wire); got != want {
			t.Errorf("%s: got %q, want %q", tt.method, got, want)
		}
	}
	if got := catalog["/gantry.v1.AppService/GetApp"].Resource([]byte("\xff")); got != "" {
		t.Errorf("a damaged request: %q", got)
	}
}
