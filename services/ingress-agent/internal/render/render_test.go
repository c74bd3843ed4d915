package render_test

import (
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	ingressv1 "gantry.dev/proto/gen/gantry/ingress/v1"
	gantryv1 "gantry.dev/proto/gen/gantry/v1"
	"gantry.dev/services/ingress-agent/internal/balancer"
	"gantry.dev/services/ingress-agent/internal/render"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"
)

func route(name, host, path string) *ingressv1.Route {
	return &ingressv1.Route{
		Name: "projects/shop/routes/" + name, Host: host, PathPrefix: path, App: "projects/shop/apps/" + name, Port: 8080,
	}
}

func gateway() *ingressv1.GatewayConfig {
	return &ingressv1.GatewayConfig{
		Gateway: "main", Generation: 3, Epoch: 9, Vip: "10.110.0.100", VirtualRouterId: 51,
		Nodes: []*ingressv1.Node{
			{Name: "lb-1", Address: "10.110.0.11", Priority: 100},
			{Name: "lb-2", Address: "10.110.0.12", Priority: 90},
		},
		Routes: []*ingressv1.Route{
			route("web", "web.example", "/"),
			route("api", "web.example", "/api"),
			route("admin", "admin.example", "/admin/"),
		},
	}
}

func env(dir string) render.Env {
	return render.Env{
		StateDir: "/var/lib/gantry", Dir: dir, ModulesDir: "/usr/lib/nginx/modules", TempDir: "/var/lib/gantry/tmp",
		HTTPPort: 80, HTTPSPort: 443, WorkerUser: "nobody", Interface: "eth0", Realtime: true,
		Check: []string{"/usr/bin/ingress-agent", "check", "--state-dir", "/var/lib/gantry"},
	}
}

func files(t *testing.T, m render.Model, e render.Env) render.Generation {
	t.Helper()
	g, err := render.Files(m, e, nil)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// The files as an operator reads them. GANTRY_UPDATE_GOLDEN=1 writes them anew.
func TestGolden(t *testing.T) {
	c := gateway()
	c.Routes[2].Rules, c.Routes[2].HoldSeconds = everyRule(), 30
	c.Routes = append(c.Routes, redirecting(), secure("shop"), secure("rpc"))
	c.Routes[5].Rules.Protocol = gantryv1.BackendProtocol_BACKEND_PROTOCOL_GRPC
	b := render.FromConfig(c, "lb-1")
	if len(b.Rejected) > 0 || b.VRRPProblem != "" {
		t.Fatalf("%v %s", b.Rejected, b.VRRPProblem)
	}
	for name, got := range files(t, b.Model, env("/var/lib/gantry/generations/000001")).Files {
		path := filepath.Join("testdata", name)
		if os.Getenv("GANTRY_UPDATE_GOLDEN") != "" {
			if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, got, 0o644)); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), string(got)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func models() *rapid.Generator[render.Model] {
	label := rapid.StringMatching(`[a-z0-9]([-a-z0-9]{0,5}[a-z0-9])?`)
	name := rapid.StringMatching(`[a-z]([-a-z0-9]{0,5}[a-z0-9])?`)
	return rapid.Custom(func(t *rapid.T) render.Model {
		c := gateway()
		c.Routes = nil
		for range rapid.IntRange(0, 12).Draw(t, "routes") {
			project := name.Draw(t, "project")
			c.Routes = append(c.Routes, &ingressv1.Route{
				Name:       "projects/" + project + "/routes/" + name.Draw(t, "route"),
				Host:       label.Draw(t, "label") + "." + rapid.SampledFrom([]string{"a", "b.example"}).Draw(t, "zone"),
				PathPrefix: rapid.StringMatching(`(/[-A-Za-z0-9_.~]{1,4}){0,3}/?`).Draw(t, "path"),
				App:        "projects/" + project + "/apps/" + name.Draw(t, "app"),
				Port:       rapid.Int32Range(1, 65535).Draw(t, "port"),
			})
		}
		if rapid.Bool().Draw(t, "alone") {
			c.Nodes = c.Nodes[:1]
		}
		return render.FromConfig(c, "lb-1").Model
	})
}

// rule I2: parse(render(m)) == m.
func TestParseIsTheInverseOfFiles(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		m := models().Draw(r, "model")
		g := files(t, m, env("/g"))
		got, err := render.Parse(g.Files)
		if err != nil || !render.Equal(m, got) {
			r.Fatalf("%v\n%s", err, cmp.Diff(m, got))
		}
		layout, err := render.Layout(g.Files[render.NginxConf])
		if err != nil || layout != g.Layout {
			r.Fatalf("layout %q, %v, want %q", layout, err, g.Layout)
		}
		if other := files(t, m, env("/other")); other.Layout != g.Layout {
			r.Fatal("the layout depends on the directory")
		}
	})
}

// rule I2: a directive that we do not write is refused.
func TestParseRefusesOthersDirectives(t *testing.T) {
	m := render.FromConfig(gateway(), "lb-1").Model
	for file, text := range map[string]string{
		render.HostFile("web.example"): "server {\n    alias /etc;\n}\n",
		render.NginxConf:               "http {\n    perl x;\n}\n",
		render.KeepalivedConf:          "global_defs {\n    notify_master x\n}\nvrrp_instance main {\n}\n",
	} {
		g := files(t, m, env("/g"))
		g.Files[file] = []byte(text)
		if got, err := render.Parse(g.Files); err == nil {
			t.Errorf("%s: read as %v", file, got)
		}
	}
}

// rule I1: each field has a grammar, and a route that breaks it is rejected
// alone (rule I4).
func TestGrammar(t *testing.T) {
	for name, change := range map[string]func(*ingressv1.Route){
		"semicolon":      func(r *ingressv1.Route) { r.Host = "a.example; location /x { root /; }" },
		"newline":        func(r *ingressv1.Route) { r.Host = "a.example\nroot /;" },
		"quote":          func(r *ingressv1.Route) { r.Host = `a"b` },
		"variable":       func(r *ingressv1.Route) { r.Host = "$host" },
		"wildcard":       func(r *ingressv1.Route) { r.Host = "*.example" },
		"regex":          func(r *ingressv1.Route) { r.Host = "~.*" },
		"upper case":     func(r *ingressv1.Route) { r.Host = "Web.example" },
		"long host":      func(r *ingressv1.Route) { r.Host = strings.Repeat("a.", 127) + "example" },
		"empty host":     func(r *ingressv1.Route) { r.Host = "" },
		"path":           func(r *ingressv1.Route) { r.PathPrefix = "x" },
		"path block":     func(r *ingressv1.Route) { r.PathPrefix = "/ {" },
		"path up":        func(r *ingressv1.Route) { r.PathPrefix = "/a/../b" },
		"path empty":     func(r *ingressv1.Route) { r.PathPrefix = "//" },
		"route name":     func(r *ingressv1.Route) { r.Name = "projects/shop/routes/A" },
		"app name":       func(r *ingressv1.Route) { r.App = "projects/shop/apps/x|y" },
		"other's app":    func(r *ingressv1.Route) { r.App = "projects/pay/apps/web" },
		"port zero":      func(r *ingressv1.Route) { r.Port = 0 },
		"port too large": func(r *ingressv1.Route) { r.Port = 65536 },
		"same place":     func(r *ingressv1.Route) { r.Name, r.PathPrefix = "projects/shop/routes/zz", "/api" },
	} {
		c := gateway()
		change(c.Routes[0])
		b := render.FromConfig(c, "lb-1")
		if len(b.Rejected) != 1 || len(b.Model.Routes()) != 2 {
			t.Errorf("%s: rejected %v, served %v", name, b.Rejected, b.Model.Routes())
		}
	}
}

// rule I8: what would split or block the VIP is found before it is written.
func TestVRRPLinter(t *testing.T) {
	for name, change := range map[string]func(*ingressv1.GatewayConfig){
		"same priority": func(c *ingressv1.GatewayConfig) { c.Nodes[1].Priority = 100 },
		"priority 255":  func(c *ingressv1.GatewayConfig) { c.Nodes[1].Priority = 255 },
		"same address":  func(c *ingressv1.GatewayConfig) { c.Nodes[1].Address = c.Nodes[0].Address },
		"vip of a node": func(c *ingressv1.GatewayConfig) { c.Vip = c.Nodes[1].Address },
		"no vip":        func(c *ingressv1.GatewayConfig) { c.Vip = "" },
		"vip text":      func(c *ingressv1.GatewayConfig) { c.Vip = "10.0.0.1 dev eth1" },
		"router id":     func(c *ingressv1.GatewayConfig) { c.VirtualRouterId = 0 },
		"same name":     func(c *ingressv1.GatewayConfig) { c.Nodes[1].Name = "lb-1" },
		"not a node":    func(c *ingressv1.GatewayConfig) { c.Nodes = c.Nodes[1:] },
		"gateway":       func(c *ingressv1.GatewayConfig) { c.Gateway = "main {" },
		"same router id": func(c *ingressv1.GatewayConfig) {
			c.MoreVips = []*gantryv1.Vip{{Address: "10.110.0.101", VirtualRouterId: 51}}
		},
		"vip twice": func(c *ingressv1.GatewayConfig) {
			c.MoreVips = []*gantryv1.Vip{{Address: "10.110.0.100", VirtualRouterId: 52}}
		},
		"preferred": func(c *ingressv1.GatewayConfig) {
			c.MoreVips = []*gantryv1.Vip{{Address: "10.110.0.101", VirtualRouterId: 52, PreferredNode: "lb-9"}}
		},
	} {
		c := gateway()
		change(c)
		b := render.FromConfig(c, "lb-1")
		if b.VRRPProblem == "" {
			t.Errorf("%s: accepted as %v", name, b.Model.VRRP)
		}
		last := render.FromConfig(gateway(), "lb-1").Model
		if got := render.KeepLastGood(b, last); !render.EqualVRRP(got.VRRP, last.VRRP) || len(got.Hosts) != 2 {
			t.Errorf("%s: not kept as it was: %v", name, got)
		}
	}
}

// Each VIP is an instance of its own; the preferred node is before the others.
func TestSeveralVIPs(t *testing.T) {
	c := gateway()
	c.MoreVips = []*gantryv1.Vip{{Address: "10.110.0.101", VirtualRouterId: 52, PreferredNode: "lb-2"}, {Address: "10.110.0.102", VirtualRouterId: 53}}
	for node, want := range map[string][]int{"lb-1": {100, 253, 100}, "lb-2": {90, 254, 90}} {
		m := render.FromConfig(c, node).Model
		var got []int
		for _, i := range m.VRRP.Instances {
			got = append(got, i.Priority)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: %s", node, diff)
		}
		g := files(t, m, env("/g"))
		back, err := render.Parse(g.Files)
		if err != nil || !render.EqualVRRP(back.VRRP, m.VRRP) {
			t.Errorf("%s: read back as %+v (%v)", node, back.VRRP, err)
		}
	}
}

// rule I4
func TestKeepLastGood(t *testing.T) {
	last := render.FromConfig(gateway(), "lb-1").Model
	c := gateway()
	c.Routes[0].Host = "b a d"
	c.Routes = append(c.Routes, route("new", "new.example", "/"))
	got := render.KeepLastGood(render.FromConfig(c, "lb-1"), last)
	want := gateway()
	want.Routes = append(want.Routes, route("new", "new.example", "/"))
	if diff := cmp.Diff(render.FromConfig(want, "lb-1").Model, got); diff != "" {
		t.Error(diff)
	}
	// Its old place has been given to another route meanwhile.
	c.Routes[3] = route("new", "web.example", "/")
	got = render.KeepLastGood(render.FromConfig(c, "lb-1"), last)
	if h, _ := got.Host("web.example"); got.Routes()["projects/shop/routes/web"] || len(h.Locations) != 2 {
		t.Errorf("got %v", got)
	}
}

// rule I4: what is rejected later gives way alone, also beside others of its host.
func TestReject(t *testing.T) {
	last := render.FromConfig(gateway(), "lb-1").Model
	c := gateway()
	c.Routes[0].Port, c.Routes[1].Port = 9090, 9091
	c.Routes = append(c.Routes, route("new", "new.example", "/"))
	b := render.FromConfig(c, "lb-1")
	changed := b.Model.Changed(last)
	if diff := cmp.Diff([]string{"projects/shop/routes/new", c.Routes[0].Name, c.Routes[1].Name}, changed); diff != "" {
		t.Error(diff)
	}
	got := render.KeepLastGood(b.Reject([]render.Rejected{{Route: c.Routes[0].Name, Reason: "x"}, {Route: "projects/shop/routes/new", Reason: "x"}}), last)
	want := gateway()
	want.Routes[1].Port = 9091
	if diff := cmp.Diff(render.FromConfig(want, "lb-1").Model, got); diff != "" {
		t.Error(diff)
	}
	if len(b.Model.Changed(b.Model)) != 0 || len(b.Model.Hosts) != 3 {
		t.Errorf("the build was changed: %v", b.Model)
	}
}

func TestUpstreamNames(t *testing.T) {
	app, port, err := render.AppOf(render.Upstream("shop", "web", 8080))
	if app != "projects/shop/apps/web" || port != 8080 || err != nil {
		t.Errorf("%s %d %v", app, port, err)
	}
	for _, bad := range []string{"", "shop/web", "shop/web:0", "shop/web:65536", "shop:1", "s|p/web:1", "shop/web:01"} {
		if app, _, err := render.AppOf(bad); err == nil {
			t.Errorf("%q is read as %s", bad, app)
		}
	}
}

// rule I3: the real daemons' verdict on the real files, and on a broken one.
func TestDaemonsAccept(t *testing.T) {
	for _, program := range []string{"nginx", "keepalived"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skip(program + " is not installed")
		}
	}
	code, err := balancer.Code()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	e := env(dir)
	e.StateDir, e.TempDir, e.HTTPPort, e.HTTPSPort, e.Interface = dir, filepath.Join(dir, "tmp"), 18999, 18998, anInterface(t)
	e.Check = []string{"/bin/true"}
	if os.Geteuid() != 0 {
		e.WorkerUser = ""
	}
	for _, d := range []string{"run", "log", "tmp"} {
		if err := os.Mkdir(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	c := proto.CloneOf(gateway())
	c.Routes = append(c.Routes, route("long", strings.Repeat("a.", 120)+"example", "/"+strings.Repeat("x", 200)), redirecting(), secure("shop"), secure("rpc"))
	c.Routes[6].Rules = everyRule()
	c.Routes[6].Rules.Protocol = gantryv1.BackendProtocol_BACKEND_PROTOCOL_GRPC
	c.Routes[6].Rules.RequestHeaders.Set[0].Name = strings.Repeat("X", 46)
	c.Routes[6].Rules.ResponseHeaders.Set[0].Name = strings.Repeat("X", 46)
	c.Routes[2].Rules = everyRule()
	g, err := render.Files(render.FromConfig(c, "lb-1").Model, e, code)
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range g.Files {
		path := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, text, 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	test := func(program string, args ...string) (string, error) {
		out, err := exec.CommandContext(t.Context(), program, args...).CombinedOutput()
		return string(out), err
	}
	nginx := []string{"-t", "-q", "-e", "stderr", "-p", dir, "-c", filepath.Join(dir, "nginx.conf")}
	if out, err := test("nginx", nginx...); err != nil {
		t.Fatalf("nginx -t: %v\n%s", err, out)
	}
	out, err := test("keepalived", "-t", "-f", filepath.Join(dir, "keepalived.conf"))
	var exit *exec.ExitError
	if err != nil && (!errors.As(err, &exit) || exit.ExitCode() != 6) { // 6: good, but script security is off
		t.Fatalf("keepalived -t: %v\n%s", err, out)
	}
	bad := filepath.Join(dir, render.HostFile("admin.example"))
	if err := os.WriteFile(bad, []byte("server {\n    listen 80x;\n}\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if out, err := test("nginx", nginx...); err == nil || !strings.Contains(out, "admin.example.conf:2") {
		t.Errorf("nginx -t on a broken file: %v\n%s", err, out)
	}
}

// anInterface is any but loopback, which Keepalived refuses.
func anInterface(t *testing.T) string {
	t.Helper()
	all, err := net.Interfaces()
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range all {
		if i.Flags&net.FlagLoopback == 0 && len(i.HardwareAddr) > 0 {
			return i.Name
		}
	}
	t.Skip("the machine has no network interface beside loopback")
	return ""
}

func FuzzRoute(f *testing.F) {
	f.Add("projects/shop/routes/web", "web.example", "/", "projects/shop/apps/web", int32(80))
	f.Add("projects/shop/routes/web", "a;b", "/ {", "projects/shop/apps/web\n", int32(-1))
	f.Fuzz(func(t *testing.T, name, host, path, app string, port int32) {
		c := gateway()
		c.Routes = append(c.Routes, &ingressv1.Route{Name: name, Host: host, PathPrefix: path, App: app, Port: port})
		m := render.FromConfig(c, "lb-1").Model
		g, err := render.Files(m, env("/g"), nil)
		if err != nil {
			t.Fatalf("the grammar let through what cannot be written: %v", err)
		}
		if got, err := render.Parse(g.Files); err != nil || !render.Equal(got, m) {
			t.Fatalf("%v\n%s", err, cmp.Diff(m, got))
		}
	})
}
