package app

import (
	"context"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"testing"
	"time"

	"gantry.dev/pkg/etcdkv"
	"gantry.dev/pkg/etcdkv/etcdtest"
	"gantry.dev/pkg/mtls/mtlstest"
	"gantry.dev/pkg/serve"
	ingressv1 "gantry.dev/proto/gen/gantry/ingress/v1"
	"gantry.dev/services/ingress-agent/internal/generation"
	"gantry.dev/services/ingress-agent/internal/nginx"
	"gantry.dev/services/ingress-agent/internal/source"
	"github.com/prometheus/client_golang/prometheus"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/protobuf/proto"
)

const (
	webHost = "web.example"
	webApp  = "projects/shop/apps/web"
)

// A testNode is an agent with a real Nginx on loopback, a real etcd, and fake
// clusters.
type testNode struct {
	t       *testing.T
	ca      *mtlstest.CA
	etcd    *etcdtest.Server
	client  *clientv3.Client
	config  Config
	gateway *ingressv1.GatewayConfig
	// Port that the pods listen on.
	podPort int
	// Stands between the agent and its Nginx; nil: nothing.
	between func(*nginx.Nginx) generation.Web

	agent *agent
	stop  func()
}

func needNginx(t testing.TB) {
	t.Helper()
	if _, err := exec.LookPath("nginx"); err != nil {
		t.Skip("nginx is not installed: apt-get install nginx libnginx-mod-http-lua libluajit2-5.1-2 lua-cjson")
	}
	if _, err := os.Stat("/usr/lib/nginx/modules/ngx_http_lua_module.so"); err != nil {
		t.Skip("nginx's Lua module is not installed: apt-get install libnginx-mod-http-lua libluajit2-5.1-2 lua-cjson")
	}
}

// newNode prepares a node with two clusters that share the traffic and one
// route; start runs the agent.
func newNode(t *testing.T, sites ...*fakeIpaas) *testNode {
	t.Helper()
	needNginx(t)
	dir := t.TempDir()
	if err := os.Chmod(filepath.Dir(dir), 0o755); err != nil { // the workers are nobody
		t.Fatal(err)
	}
	n := &testNode{t: t, etcd: etcdtest.Start(t), podPort: freePort(t)}
	n.client = n.etcd.Client(t)
	n.ca = sites[0].ca
	n.config = Config{
		Common:  serve.Common{Name: "ingress-agent", TLS: n.ca.Issue("ingress-agent.main.lb-1"), Logger: testLogger()},
		Gateway: "main", Node: "lb-1", Etcd: []string{"none"}, StateDir: dir, Nginx: "nginx",
		NginxModules: "/usr/lib/nginx/modules", Interface: "lo", HTTPPort: freePort(t),
		Drain: 200 * time.Millisecond, ReloadPause: 300 * time.Millisecond,
	}
	n.gateway = &ingressv1.GatewayConfig{
		Gateway: "main", Generation: 1, Epoch: 7, Vip: "10.110.0.100", VirtualRouterId: 51,
		Nodes:  []*ingressv1.Node{{Name: "lb-1", Address: "10.110.0.11", Priority: 100}, {Name: "lb-2", Address: "10.110.0.12", Priority: 90}},
		Routes: []*ingressv1.Route{n.route("web", webHost)},
	}
	for _, s := range sites {
		n.gateway.Clusters = append(n.gateway.Clusters, &ingressv1.Cluster{
			Name: s.name, IpaasAddress: s.address, Identity: s.identity, TrafficPercent: 100,
		})
	}
	t.Cleanup(n.killNginx)
	return n
}

func (n *testNode) route(name, host string) *ingressv1.Route {
	return &ingressv1.Route{Name: "projects/shop/routes/" + name, Host: host, PathPrefix: "/", App: webApp, Port: int32(n.podPort)}
}

// publish writes the configuration as cluster-mgr does.
func (n *testNode) publish(change func(*ingressv1.GatewayConfig)) {
	n.t.Helper()
	if change != nil {
		n.gateway.Generation++
		change(n.gateway)
	}
	op, err := etcdkv.Put(source.Key("main"), proto.CloneOf(n.gateway))
	if err != nil {
		n.t.Fatal(err)
	}
	if _, err := n.client.Do(n.t.Context(), op); err != nil {
		n.t.Fatal(err)
	}
}

// start runs the agent until stop or the end of the test.
func (n *testNode) start() {
	n.t.Helper()
	c := n.config
	c.Registry = prometheus.NewRegistry()
	c.Listen = "127.0.0.1:0"
	if err := c.prepare(); err != nil {
		n.t.Fatal(err)
	}
	a, err := newAgent(c)
	if err != nil {
		n.t.Fatal(err)
	}
	if n.between != nil {
		if a.manager, err = a.newManager(n.between(a.nginx)); err != nil {
			n.t.Fatal(err)
		}
	}
	server, err := a.server()
	if err != nil {
		n.t.Fatal(err)
	}
	n.config.Listen = server.Addr().String()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- a.run(ctx, n.client, server) }()
	stopped := false
	n.agent = a
	n.stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-done; err != nil {
			n.t.Errorf("the agent ended with %v", err)
		}
	}
	n.t.Cleanup(n.stop)
}

// serving waits until the generation is read back from Nginx.
func (n *testNode) serving(generation int64) {
	n.t.Helper()
	eventually(n.t, 20*time.Second, func() bool {
		s, err := n.agent.nginx.Client().Status(n.t.Context())
		return err == nil && s.Config == generation
	}, func() string { return n.agent.Status(context.Background()).String() + "\n" + n.log() })
}

func (n *testNode) log() string {
	text, _ := os.ReadFile(filepath.Join(n.config.StateDir, "log/nginx.error.log"))
	return string(text[max(0, len(text)-3000):])
}

func (n *testNode) killNginx() {
	if pid := n.agent.nginx.Pid(); pid != 0 {
		_ = syscall.Kill(pid, syscall.SIGTERM)
		eventually(n.t, 10*time.Second, func() bool { return n.agent.nginx.Pid() == 0 }, nil)
	}
}

// url of the node's own proxy.
func (n *testNode) url() string { return "http://127.0.0.1:" + strconv.Itoa(n.config.HTTPPort) }

func eventually(t testing.TB, limit time.Duration, ok func() bool, explain func() string) {
	t.Helper()
	deadline := time.Now().Add(limit)
	for !ok() {
		if time.Now().After(deadline) {
			text := ""
			if explain != nil {
				text = explain()
			}
			t.Fatalf("not so after %s: %s", limit, text)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

func testLogger() *slog.Logger {
	if slices.Contains(os.Args, "-test.v=true") {
		return slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelInfo}))
	}
	return slog.New(slog.NewTextHandler(io.Discard, nil))
}

func stderrLogger() *slog.Logger { return slog.New(slog.NewTextHandler(os.Stderr, nil)) }
