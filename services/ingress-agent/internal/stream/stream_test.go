package stream

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	ingressv1 "gantry.dev/proto/gen/gantry/ingress/v1"
	gantryv1 "gantry.dev/proto/gen/gantry/v1"
	"gantry.dev/services/ingress-agent/internal/endpoints"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func route(name string, port int32) *ingressv1.StreamRoute {
	return &ingressv1.StreamRoute{Name: "projects/shop/streamRoutes/" + name, ListenPort: port, App: "projects/shop/apps/db", Port: 5432}
}

func config(routes ...*ingressv1.StreamRoute) *ingressv1.GatewayConfig {
	return &ingressv1.GatewayConfig{
		Gateway: "main", StreamRoutes: routes,
		Clusters: []*ingressv1.Cluster{{Name: "site-a", TrafficPercent: 100}, {Name: "site-b", TrafficPercent: 100}},
	}
}

func knownPods(a, b []string) endpoints.ByCluster {
	const app = "projects/shop/apps/db"
	return endpoints.ByCluster{"site-a": {app: a}, "site-b": {app: b}}
}

// rule I2: what is written reads back as what was meant, and Nginx takes it.
func TestRoundTrip(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		m := models().Draw(t, "model")
		all, layout, err := files(m, Env{StateDir: "/s", ModulesDir: "/m", WorkerUser: "nobody"})
		if err != nil {
			t.Fatal(err)
		}
		got, gotLayout, err := parse(all)
		if err != nil || gotLayout != layout {
			t.Fatalf("layout %s, want %s (%v)", gotLayout, layout, err)
		}
		if !Equal(m, got) {
			t.Fatal(cmp.Diff(m, got))
		}
	})
}

// rule I1: what the grammar lets through is written and reads back, whatever
// was put into the fields.
func FuzzRoute(f *testing.F) {
	f.Add("projects/shop/streamRoutes/db", "projects/shop/apps/db", "10.0.0.0/8", int32(5432), int32(5432), int32(0), int32(0), true)
	f.Add("projects/shop/streamRoutes/x;y", "projects/shop/apps/$x", "::/0; }", int32(-1), int32(0), int32(2), int32(-1), true)
	f.Add("projects/shop/streamRoutes/dns", "projects/shop/apps/dns", "2001:db8::1/128", int32(53), int32(53), int32(2), int32(86400), false)
	f.Fuzz(func(t *testing.T, name, app, cidr string, listen, port, protocol, idle int32, proxy bool) {
		c := config(route("good", 1), &ingressv1.StreamRoute{
			Name: name, App: app, ListenPort: listen, Port: port, Protocol: gantryv1.StreamProtocol(protocol),
			AllowCidrs: []string{cidr}, IdleSeconds: idle, ProxyProtocol: proxy,
		})
		b := FromConfig(c, nil)
		all, err := Render(b, Env{StateDir: "/s", ModulesDir: "/m"})
		if err != nil {
			t.Fatalf("the grammar let through what cannot be written: %v", err)
		}
		want := fill(b.Gateway, b.Forms, Pods{}, Model{})
		if got, _, err := parse(all); err != nil || !Equal(got, want) {
			t.Fatalf("%v\n%s", err, cmp.Diff(want, got))
		}
	})
}

func models() *rapid.Generator[Model] {
	return rapid.Custom(func(t *rapid.T) Model {
		m := Model{Gateway: "main"}
		for i := range rapid.IntRange(0, 5).Draw(t, "routes") {
			m.Routes = append(m.Routes, Route{Form: forms(i).Draw(t, "form"), Servers: servers().Draw(t, "servers")})
		}
		return m
	})
}

func forms(i int) *rapid.Generator[Form] {
	return rapid.Custom(func(t *rapid.T) Form {
		f := Form{
			Name: fmt.Sprintf("projects/%s/streamRoutes/r%d", rapid.StringMatching(identName).Draw(t, "project"), i), Upstream: "shop/db:5432",
			Listen: Listener{UDP: rapid.Bool().Draw(t, "udp"), Port: 1000 + i}, Idle: rapid.IntRange(1, maxIdle).Draw(t, "idle"),
		}
		f.Name = fmt.Sprintf("projects/p%d/streamRoutes/%s", i, rapid.StringMatching(identName).Draw(t, "name"))
		f.ProxyProtocol = !f.Listen.UDP && rapid.Bool().Draw(t, "proxy")
		if rapid.Bool().Draw(t, "allow") {
			f.Allow = []string{"10.0.0.0/8", "fd00::/8", "192.0.2.1/32"}
		}
		return f
	})
}

func servers() *rapid.Generator[[]Server] {
	return rapid.Custom(func(t *rapid.T) []Server {
		var all []Server
		for i := range rapid.IntRange(0, 4).Draw(t, "count") {
			all = append(all, Server{Address: fmt.Sprintf("10.0.0.%d:5432", i+1), Weight: rapid.IntRange(1, tcpScale).Draw(t, "weight"), Last: i > 0 && rapid.Bool().Draw(t, "last")})
		}
		return all
	})
}

// rules I1, I4: a bad field stops its own route only.
func TestBadRoutesAreRejectedAlone(t *testing.T) {
	t.Parallel()
	bad := map[string]func(*ingressv1.StreamRoute){
		"name":            func(r *ingressv1.StreamRoute) { r.Name = "projects/shop/streamRoutes/x;y" },
		"app":             func(r *ingressv1.StreamRoute) { r.App = "projects/shop/apps/$x" },
		"another project": func(r *ingressv1.StreamRoute) { r.App = "projects/pay/apps/db" },
		"protocol":        func(r *ingressv1.StreamRoute) { r.Protocol = 9 },
		"listen_port":     func(r *ingressv1.StreamRoute) { r.ListenPort = 70000 },
		"port 0":          func(r *ingressv1.StreamRoute) { r.Port = 0 },
		"TCP only": func(r *ingressv1.StreamRoute) {
			r.Protocol, r.ProxyProtocol = gantryv1.StreamProtocol_STREAM_PROTOCOL_UDP, true
		},
		"idle_seconds":      func(r *ingressv1.StreamRoute) { r.IdleSeconds = -1 },
		"allow_cidrs":       func(r *ingressv1.StreamRoute) { r.AllowCidrs = []string{"10.0.0.0/8; return x"} },
		"that of HTTP":      func(r *ingressv1.StreamRoute) { r.ListenPort = 80 },
		"streamRoutes/good": func(r *ingressv1.StreamRoute) { r.ListenPort = 1 },
	}
	for reason, spoil := range bad {
		r := route("other", 2)
		spoil(r)
		b := FromConfig(config(r, route("good", 1)), map[int]string{80: "HTTP"})
		if len(b.Forms) != 1 || len(b.Rejected) != 1 || !strings.Contains(b.Rejected[0].Reason, reason) {
			t.Errorf("%s: %+v", reason, b)
		}
	}
	udp := route("udp", 1)
	udp.Protocol = gantryv1.StreamProtocol_STREAM_PROTOCOL_UDP
	if b := FromConfig(config(route("good", 1), udp), nil); len(b.Forms) != 2 || b.Forms[1].Idle != defaultUDPIdle || b.Forms[0].Idle != defaultTCPIdle {
		t.Errorf("TCP and UDP share a port: %+v", b)
	}
}

func TestWeights(t *testing.T) {
	t.Parallel()
	a, b := []string{"10.0.0.1", "10.0.0.2", "10.0.0.3"}, []string{"10.0.1.1"}
	for _, tc := range []struct {
		name               string
		percentA, percentB int32
		shares             map[string]int32
		a, b               []string
		want               string
	}{
		{"even per pod", 100, 100, nil, a, b, "1 1 1 1"},
		{"percent", 50, 100, nil, a, b, "1 1 1 2"},
		{"a cluster at 0", 0, 100, nil, a, b, "1"},
		{"shares", 100, 100, map[string]int32{"site-a": 50, "site-b": 50}, a, b, "333 333 333 1000"},
		{"shares of a cluster without pods", 100, 100, map[string]int32{"site-a": 10, "site-b": 90}, a, []string{}, "1 1 1"},
		{"shares times percent", 50, 100, map[string]int32{"site-a": 75, "site-b": 25}, a, b, "1 1 1 2"},
		{"no share", 100, 100, map[string]int32{"site-b": 100}, a, b, "1"},
		{"a share without pods", 100, 100, map[string]int32{"site-b": 100}, a, []string{}, "1 1 1"},
		{"a share without traffic", 100, 0, map[string]int32{"site-b": 100}, a, b, "1 1 1"},
		{"no pods", 100, 100, nil, []string{}, []string{}, ""},
	} {
		c := config(route("db", 1))
		c.Clusters[0].TrafficPercent, c.Clusters[1].TrafficPercent = tc.percentA, tc.percentB
		c.StreamRoutes[0].TrafficShares = tc.shares
		m := fill("main", FromConfig(c, nil).Forms, PodsOf(c, knownPods(tc.a, tc.b), nil), Model{})
		var weights []string
		for _, s := range m.Routes[0].Servers {
			weights = append(weights, fmt.Sprint(s.Weight))
		}
		if got := strings.Join(weights, " "); got != tc.want {
			t.Errorf("%s: %s, want %s", tc.name, got, tc.want)
		}
	}
}

// Pods that do not answer come last, unless none does.
func TestDownPodsComeLast(t *testing.T) {
	t.Parallel()
	c := config(route("db", 1))
	last := func(down ...string) (marks string) {
		m := fill("main", FromConfig(c, nil).Forms, PodsOf(c, knownPods([]string{"10.0.0.1"}, []string{"10.0.1.1"}), down), Model{})
		for _, s := range m.Routes[0].Servers {
			marks += fmt.Sprint(s.Last, " ")
		}
		return marks
	}
	if got := last("10.0.0.1:5432"); got != "true false " {
		t.Error(got)
	}
	if got := last("10.0.0.1:5432", "10.0.1.1:5432"); got != "false false " {
		t.Error(got)
	}
}

// rules C1, I6: a cluster that has said nothing yet keeps its pods.
func TestASilentClusterKeepsItsPods(t *testing.T) {
	t.Parallel()
	c := config(route("db", 1))
	forms := FromConfig(c, nil).Forms
	served := fill("main", forms, PodsOf(c, knownPods([]string{"10.0.0.1"}, []string{"10.0.1.1"}), nil), Model{})
	nothing := fill("main", forms, PodsOf(c, endpoints.ByCluster{}, nil), served)
	if !Equal(nothing, served) {
		t.Error(cmp.Diff(served, nothing))
	}
	partly := knownPods([]string{"10.0.0.2"}, nil)
	delete(partly, "site-b")
	var got []string
	for _, s := range fill("main", forms, PodsOf(c, partly, nil), served).Routes[0].Servers {
		got = append(got, s.Address)
	}
	if want := []string{"10.0.0.1:5432", "10.0.0.2:5432", "10.0.1.1:5432"}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

func TestPace(t *testing.T) {
	t.Parallel()
	p := Pace{Least: time.Second, PerOld: time.Second / 4}
	for _, tc := range []struct {
		took   time.Duration
		old    int
		urgent bool
		want   time.Duration
	}{
		{0, 0, false, time.Second}, {time.Second, 0, true, 2 * time.Second}, {0, 8, false, 2 * time.Second},
		{0, 8, true, time.Second}, {0, 100_000, false, longest},
	} {
		if got := p.Wait(tc.took, tc.old, tc.urgent); got != tc.want {
			t.Errorf("%+v: %s", tc, got)
		}
	}
	one := Model{Routes: []Route{{Form: Form{Name: "x"}, Servers: []Server{{Address: "1"}, {Address: "2"}}}}}
	two := Model{Routes: []Route{{Form: Form{Name: "x"}, Servers: []Server{{Address: "2"}, {Address: "3"}}}}}
	three := Model{Routes: []Route{{Form: Form{Name: "x"}, Servers: []Server{{Address: "3"}}}}}
	if Urgent(one, two) || !Urgent(one, three) || !Urgent(one, Model{}) {
		t.Error("urgent is when no served pod is left")
	}
}

// Nginx itself accepts every kind of route and blames the file of a bad one.
func TestNginxAccepts(t *testing.T) {
	if _, err := exec.LookPath("nginx"); err != nil {
		t.Skip("nginx is not installed")
	}
	if _, err := os.Stat("/usr/lib/nginx/modules/ngx_stream_module.so"); err != nil {
		t.Skip("nginx's stream module is not installed: apt-get install libnginx-mod-stream")
	}
	dir := t.TempDir()
	env := Env{StateDir: dir, ModulesDir: "/usr/lib/nginx/modules"}
	m := Model{Gateway: "main", Routes: []Route{
		{Form: Form{Name: "projects/p/streamRoutes/a", Listen: Listener{Port: 45101}, Upstream: "p/a:1", ProxyProtocol: true, Allow: []string{"10.0.0.0/8", "fd00::/8"}, Idle: 5},
			Servers: []Server{{Address: "10.0.0.1:1", Weight: 3}, {Address: "10.0.0.2:1", Weight: 1000, Last: true}}},
		{Form: Form{Name: "projects/p/streamRoutes/b", Listen: Listener{Port: 45102}, Upstream: "p/a:1", Idle: 5}},
		{Form: Form{Name: "projects/p/streamRoutes/c", Listen: Listener{UDP: true, Port: 45103}, Upstream: "p/a:1", Idle: 5}, Servers: []Server{{Address: "10.0.0.1:1", Weight: 20}}},
		{Form: Form{Name: "projects/p/streamRoutes/d", Listen: Listener{UDP: true, Port: 45104}, Upstream: "p/a:1", Idle: 5}},
	}}
	write := func(m Model) {
		t.Helper()
		all, _, err := files(m, env)
		if err != nil {
			t.Fatal(err)
		}
		for name, text := range all {
			path := filepath.Join(dir, name)
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, text, 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, name := range []string{"run", "log"} {
		if err := os.MkdirAll(filepath.Join(dir, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	write(m)
	n := NewNginx("nginx", env, nil)
	if err := n.Test(t.Context(), dir); err != nil {
		t.Fatal(err)
	}
	m.Routes[1].Allow = []string{"nonsense"}
	write(m)
	var blamed *RouteError
	if err := n.Test(t.Context(), dir); !asRouteError(err, &blamed) || blamed.File != "p.b.conf" {
		t.Errorf("%v", err)
	}
}
