package offline_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	gantryv1 "gantry.dev/proto/gen/gantry/v1"
	"gantry.dev/services/ingress-agent/offline"
	"github.com/google/go-cmp/cmp"
)

func node(dir string) offline.Node {
	return offline.Node{
		Name: "lb-1", Dir: filepath.Join(dir, "out"), StateDir: dir, ModulesDir: "/usr/lib/nginx/modules",
		Program: "/usr/bin/ingress-agent", Interface: "lo", HTTPPort: 18080, HTTPSPort: 18443,
	}
}

func route(name string, rules *gantryv1.HttpRules) *gantryv1.Route {
	return &gantryv1.Route{
		Name: "projects/shop/routes/" + name, Gateway: "gateways/main", Host: name + ".example", App: "projects/shop/apps/web", Port: 8080, Rules: rules,
	}
}

// What is rendered without a node is what Nginx takes; a route that the agent
// would refuse is named, and left out.
func TestRenderedIsTaken(t *testing.T) {
	dir := t.TempDir()
	routes := []*gantryv1.Route{
		route("web", &gantryv1.HttpRules{Gzip: true, AllowCidrs: []string{"10.0.0.0/8"}}),
		route("bad", &gantryv1.HttpRules{AllowCidrs: []string{"10.0.0.0/99"}}),
	}
	got, err := offline.Render(offline.Config(nil, "main", routes, nil), node(dir))
	if err != nil {
		t.Fatal(err)
	}
	if len(got.Problems) != 1 || got.Problems[0].Route != routes[1].Name || !strings.HasPrefix(got.Problems[0].Reason, "rules.allow_cidrs: ") || got.VRRPProblem != "" {
		t.Errorf("%+v", got.Problems)
	}
	var hosts []string
	for name, text := range got.Files {
		if strings.HasPrefix(name, "hosts/") {
			hosts = append(hosts, name)
		}
		write(t, filepath.Join(dir, "out", name), text)
	}
	slices.Sort(hosts)
	if diff := cmp.Diff([]string{offline.HostFile("web.example")}, hosts); diff != "" {
		t.Error(diff)
	}
	nginxTakes(t, dir, "out/nginx.conf")
}

// Stream routes go to the Nginx of their own, which takes them.
func TestRenderedStreams(t *testing.T) {
	dir := t.TempDir()
	streams := []*gantryv1.StreamRoute{
		stream("db", 15432, gantryv1.StreamProtocol_STREAM_PROTOCOL_TCP),
		stream("dns", 15353, gantryv1.StreamProtocol_STREAM_PROTOCOL_UDP),
		stream("http", 18080, gantryv1.StreamProtocol_STREAM_PROTOCOL_TCP),
	}
	streams[0].ProxyProtocol = true
	streams[0].AllowCidrs = []string{"10.0.0.0/8"}
	got, err := offline.Render(offline.Config(nil, "main", nil, streams), node(dir))
	if err != nil {
		t.Fatal(err)
	}
	want := []offline.Problem{{Route: streams[2].Name, Reason: "listen_port 18080 is that of HTTP; give the stream route another"}}
	if diff := cmp.Diff(want, got.Problems); diff != "" {
		t.Error(diff)
	}
	for name, text := range got.Files {
		write(t, filepath.Join(dir, "out", name), text)
	}
	for file, parts := range map[string][]string{
		"stream/streams/shop.db.conf":  {"listen 15432 so_keepalive=on;", "proxy_protocol on;", "allow 10.0.0.0/8;", "deny all;"},
		"stream/streams/shop.dns.conf": {"listen 15353 udp reuseport;"},
	} {
		for _, part := range parts {
			if !strings.Contains(string(got.Files[file]), part) {
				t.Errorf("%s lacks %q: %s", file, part, got.Files[file])
			}
		}
	}
	if got.Files["stream/streams/shop.http.conf"] != nil {
		t.Error("what has a problem was rendered")
	}
	nginxTakes(t, dir, "out/stream/nginx.conf")
}

func stream(name string, port int32, p gantryv1.StreamProtocol) *gantryv1.StreamRoute {
	return &gantryv1.StreamRoute{
		Name: "projects/shop/streamRoutes/" + name, Gateway: "gateways/main", Protocol: p, ListenPort: port, App: "projects/shop/apps/" + name, Port: 5432,
	}
}

func nginxTakes(t *testing.T, dir, file string) {
	t.Helper()
	if _, err := exec.LookPath("nginx"); err != nil {
		t.Skip("nginx is not installed: apt-get install nginx libnginx-mod-http-lua libnginx-mod-stream libluajit2-5.1-2 lua-cjson")
	}
	for _, d := range []string{"run", "log", "tmp", "stream/run", "stream/log"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if out, err := exec.Command("nginx", "-t", "-q", "-e", "stderr", "-c", filepath.Join(dir, file)).CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
}

func write(t *testing.T, path string, text []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, text, 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestVIPs(t *testing.T) {
	g := &gantryv1.Gateway{Name: "gateways/main", Vip: "10.0.0.9", VirtualRouterId: 51, Nodes: []*gantryv1.GatewayNode{
		{Name: "lb-1", Address: "10.0.0.1", Priority: 100}, {Name: "lb-2", Address: "10.0.0.2", Priority: 90},
	}}
	n := node("/state")
	got, err := offline.Render(offline.Config(g, "main", nil, nil), n)
	if err != nil || got.VRRPProblem != "" || !strings.Contains(string(got.Files["keepalived.conf"]), "10.0.0.9") {
		t.Errorf("%v %v", got, err)
	}
	n.Name = "lb-3"
	got, err = offline.Render(offline.Config(g, "main", nil, nil), n)
	if err != nil || !strings.Contains(got.VRRPProblem, "has no node lb-3") || got.Files["keepalived.conf"] != nil {
		t.Errorf("%v %v", got, err)
	}
}
