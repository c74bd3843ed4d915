package keepalived

import (
	"net/netip"
	"strings"
	"testing"

	ingressv1 "gantry.dev/proto/gen/gantry/ingress/v1"
	gantryv1 "gantry.dev/proto/gen/gantry/v1"
	"gantry.dev/services/ingress-agent/internal/render"
)

func rendered(t *testing.T) string {
	t.Helper()
	b := render.FromConfig(&ingressv1.GatewayConfig{
		Gateway: "main", Vip: "10.0.0.100", VirtualRouterId: 51,
		MoreVips: []*gantryv1.Vip{{Address: "10.0.0.101", VirtualRouterId: 52}},
		Nodes:    []*ingressv1.Node{{Name: "lb-1", Address: "10.0.0.11", Priority: 100}, {Name: "lb-2", Address: "10.0.0.12", Priority: 90}},
	}, "lb-1")
	g, err := render.Files(b.Model, render.Env{StateDir: "/s", Dir: "/d", ModulesDir: "/m", TempDir: "/t", HTTPPort: 80, Interface: "eth0", Check: []string{"/bin/true"}}, nil)
	if err != nil || b.VRRPProblem != "" {
		t.Fatal(err, b.VRRPProblem)
	}
	return string(g.Files[render.KeepalivedConf])
}

// rule I8: Keepalived would accept each of these.
func TestLint(t *testing.T) {
	t.Parallel()
	text := rendered(t)
	own := []netip.Prefix{netip.MustParsePrefix("10.0.0.11/24"), netip.MustParsePrefix("fe80::1/64")}
	if err := Lint([]byte(text), own); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct{ from, to, want string }{
		{"virtual_router_id 52", "virtual_router_id 51", "same virtual_router_id 51"},
		{"10.0.0.101/32", "10.0.0.100/32", "same address 10.0.0.100"},
		{"10.0.0.101/32", "10.9.0.101/32", "in no network of the interface"},
		{"    priority 100", "    priority 255", "owner of the address"},
		{"    nopreempt\n", "", "would cut connections"},
		{"state BACKUP", "state MASTER", "would cut connections"},
		{"        10.0.0.12\n", "        10.0.0.11\n", "peer 10.0.0.11 is this node"},
		{"unicast_src_ip 10.0.0.11", "unicast_src_ip 10.0.0.13", "not on the interface"},
	} {
		spoilt := strings.Replace(text, tc.from, tc.to, 1)
		if err := Lint([]byte(spoilt), own); err == nil || spoilt == text || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v", tc.to, err)
		}
	}
	if err := Lint([]byte(text), nil); err == nil {
		t.Error("an interface without the node's address is taken")
	}
	if err := Lint([]byte("global_defs {\n    router_id x\n}\n"), own); err == nil {
		t.Error("a file without instances is taken")
	}
}
