package app

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"gantry.dev/pkg/mtls/mtlstest"
	ingressv1 "gantry.dev/proto/gen/gantry/ingress/v1"
	gantryv1 "gantry.dev/proto/gen/gantry/v1"
)

const tcpPort, udpPort = 5432, 5353

// inOwnNamespace runs the test again in a namespace of its own, where every
// port is free, and tells whether this is that run.
func inOwnNamespace(t *testing.T) bool {
	t.Helper()
	needNginx(t)
	needNamespaces(t)
	if _, err := os.Stat("/usr/lib/nginx/modules/ngx_stream_module.so"); err != nil {
		t.Skip("nginx's stream module is not installed: apt-get install libnginx-mod-stream")
	}
	if os.Getenv(insideEnv) != "" {
		return true
	}
	inside(t, network(t, "lb")[0])
	return false
}

func (n *testNode) streamRoute(name string, port int32) *ingressv1.StreamRoute {
	return &ingressv1.StreamRoute{Name: "projects/shop/streamRoutes/" + name, ListenPort: port, App: webApp, Port: int32(n.podPort)}
}

// streamNode is a node with one stream route to the pods of site-a.
func streamNode(t *testing.T, pods []string) (*testNode, *fakeIpaas) {
	t.Helper()
	ca := mtlstest.New(t)
	site := newIpaas(t, ca, "site-a")
	n := newNode(t, site)
	n.config.ReloadPause = 100 * time.Millisecond
	site.set(pods...)
	n.publish(nil)
	n.start()
	t.Cleanup(n.killStreams)
	n.publish(func(c *ingressv1.GatewayConfig) {
		c.StreamRoutes = []*ingressv1.StreamRoute{n.streamRoute("db", tcpPort)}
	})
	n.confirmed()
	return n, site
}

func (n *testNode) killStreams() {
	if pid := n.agent.streamNginx.Pid(); pid != 0 {
		_ = syscall.Kill(pid, syscall.SIGTERM)
		eventually(n.t, 10*time.Second, func() bool { return n.agent.streamNginx.Pid() == 0 }, nil)
	}
}

// confirmed waits until the whole configuration is said to be in effect.
func (n *testNode) confirmed() {
	n.t.Helper()
	eventually(n.t, 20*time.Second, func() bool {
		return n.agent.Status(n.t.Context()).GetGeneration() == n.gateway.GetGeneration()
	}, func() string { return n.agent.Status(context.Background()).String() + "\n" + n.log() })
}

// leadsTo waits until the stream route has exactly these pods.
func (n *testNode) leadsTo(pods []string) {
	n.t.Helper()
	eventually(n.t, 20*time.Second, func() bool {
		r, _ := n.agent.streams.Served().Route("projects/shop/streamRoutes/db")
		var got []string
		for _, s := range r.Servers {
			host, _, _ := strings.Cut(s.Address, ":")
			got = append(got, host)
		}
		return slices.Equal(got, pods)
	}, func() string { return fmt.Sprintf("%+v, want %v", n.agent.streams.Served(), pods) })
}

// 64 established connections and all new ones survive 100 changes of the
// endpoints, each of which is a reload; two pods of each set are dead. Without
// GANTRY_BENCH there are fewer changes.
func TestStreamChurnLosesNothing(t *testing.T) {
	if !inOwnNamespace(t) {
		return
	}
	pods, dead := addresses(51, 6), addresses(52, 2)
	n, site := streamNode(t, pods)
	startEcho(t, n.podPort, pods...)
	n.leadsTo(pods)
	l := startStreamLoad(t, 64, 4)
	reloads := n.streamReloads()
	random := rand.New(rand.NewPCG(1, 2))
	from := 0
	changes := 15
	if os.Getenv("GANTRY_BENCH") != "" {
		changes = 100
	}
	for i := range changes {
		from = (from + 1 + random.IntN(4)) % 5 // another than before
		now := slices.Clone(pods[from:])
		if i%2 == 0 {
			now = append(now, dead...)
		}
		site.set(now...)
		n.leadsTo(now)
	}
	l.none(t)
	t.Logf("%d reloads", n.streamReloads()-reloads)
}

func (n *testNode) streamReloads() int {
	families, err := n.agent.config.Registry.Gather()
	if err != nil {
		n.t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == "gantry_ingress_stream_reloads_total" {
			return int(f.GetMetric()[0].GetCounter().GetValue())
		}
	}
	return 0
}

// Everything is dead: agent, etcd, clusters, Nginx. What comes back serves
// the last good state; what is wanted no more is taken away, and with the last
// route the instance.
func TestStreamsSurviveEverything(t *testing.T) {
	if !inOwnNamespace(t) {
		return
	}
	pods := addresses(53, 3)
	n, site := streamNode(t, pods)
	startEcho(t, n.podPort, pods...)
	n.leadsTo(pods)
	n.stop()
	site.server.Stop()
	kept, err := dialStream()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := kept.ask("before"); err != nil {
		t.Fatal(err)
	}
	// The master dies; its workers serve what is connected.
	_ = syscall.Kill(n.agent.streamNginx.Pid(), syscall.SIGKILL)
	n.start()
	eventually(t, 20*time.Second, func() bool { return n.agent.streamNginx.Pid() != 0 && answersStream() }, n.log)
	n.leadsTo(pods)
	if _, err := kept.ask("after"); err != nil {
		t.Errorf("the established connection is lost: %v", err)
	}
	n.confirmed()
	_ = kept.Close()
	n.publish(func(c *ingressv1.GatewayConfig) { c.StreamRoutes = nil })
	eventually(t, 20*time.Second, func() bool { return n.agent.streamNginx.Pid() == 0 }, n.log)
}

func answersStream() bool {
	c, err := dialStream()
	if err != nil {
		return false
	}
	defer c.Close()
	_, err = c.ask("hello")
	return err == nil
}

// rule I4: a stream route whose port another program has is quarantined alone,
// the state says so, and it is served when the port is free.
func TestABrokenStreamRouteIsQuarantined(t *testing.T) {
	if !inOwnNamespace(t) {
		return
	}
	pods := addresses(54, 2)
	n, _ := streamNode(t, pods)
	startEcho(t, n.podPort, pods...)
	other, err := net.Listen("tcp4", ":6000")
	if err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	n.publish(func(c *ingressv1.GatewayConfig) {
		c.StreamRoutes = append(c.StreamRoutes, n.streamRoute("taken", 6000), n.streamRoute("good", 6001), n.streamRoute("http", int32(n.config.HTTPPort)))
		c.StreamRoutes[0].App = "projects/shop/apps/;" // its last good form stays
	})
	n.confirmed()
	t.Logf("in effect after %s", time.Since(start))
	var names []string
	for _, q := range n.agent.Status(t.Context()).GetQuarantined() {
		names = append(names, q.GetRoute()+": "+q.GetReason())
	}
	text := strings.Join(names, "\n")
	if len(names) != 3 || !strings.Contains(text, "port 6000") || !strings.Contains(text, "HTTP") || !strings.Contains(text, "streamRoutes/db") {
		t.Errorf("quarantined: %s", text)
	}
	for _, name := range []string{"db", "good"} {
		if _, ok := n.agent.streams.Served().Route("projects/shop/streamRoutes/" + name); !ok {
			t.Errorf("%s is not served", name)
		}
	}
	if err := other.Close(); err != nil {
		t.Fatal(err)
	}
	eventually(t, 20*time.Second, func() bool { return len(n.agent.Status(t.Context()).GetQuarantined()) == 2 }, nil)
}

// PROXY header, allowed clients, the share of each pod, UDP, and a route
// without pods.
func TestStreamRules(t *testing.T) {
	if !inOwnNamespace(t) {
		return
	}
	pods := addresses(55, 2)
	n, site := streamNode(t, pods)
	startEcho(t, n.podPort, pods...)
	startUDPEcho(t, n.podPort, pods...)
	n.publish(func(c *ingressv1.GatewayConfig) {
		proxied, closed, udp := n.streamRoute("proxied", 6001), n.streamRoute("closed", 6002), n.streamRoute("udp", udpPort)
		proxied.ProxyProtocol, proxied.AllowCidrs = true, []string{"127.0.0.0/8"}
		closed.AllowCidrs = []string{"192.0.2.0/24"}
		udp.Protocol = gantryv1.StreamProtocol_STREAM_PROTOCOL_UDP
		c.StreamRoutes = append(c.StreamRoutes, proxied, closed, udp)
	})
	n.confirmed()
	if line, _ := firstLine(6001); !strings.Contains(line, "PROXY TCP4 127.0.0.1 127.0.0.1 ") {
		t.Errorf("the pod saw %q", line)
	}
	if line, err := firstLine(6002); err == nil {
		t.Errorf("a client that may not connect got %q", line)
	}
	udpStays(t)
	site.set()
	n.leadsTo(nil)
	if line, err := firstLine(tcpPort); err == nil {
		t.Errorf("without pods a client got %q", line)
	}
	site.set(pods[1])
	n.leadsTo(pods[1:])
	eventually(t, 5*time.Second, answersStream, n.log)
}

// firstLine says hello and gives the first line of the answer.
func firstLine(port int) (string, error) {
	c, err := net.DialTimeout("tcp", fmt.Sprintf("127.0.0.1:%d", port), time.Second)
	if err != nil {
		return "", err
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
		return "", err
	}
	if _, err := fmt.Fprintln(c, "hello"); err != nil {
		return "", err
	}
	return bufio.NewReader(c).ReadString('\n')
}

// udpStays: each client's datagrams meet one pod, and there is more than one.
func udpStays(t *testing.T) {
	t.Helper()
	pods := map[string]bool{}
	for range 20 {
		c, err := net.Dial("udp4", fmt.Sprintf("127.0.0.1:%d", udpPort))
		if err != nil {
			t.Fatal(err)
		}
		mine := map[string]bool{}
		for range 5 {
			mine[askUDP(t, c)] = true
		}
		_ = c.Close()
		for pod := range mine {
			pods[pod] = true
		}
		if len(mine) != 1 {
			t.Errorf("one client met %v", mine)
		}
	}
	if len(pods) != 2 {
		t.Errorf("20 clients met %v", pods)
	}
}

func askUDP(t *testing.T, c net.Conn) string {
	t.Helper()
	if err := c.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Write([]byte("?")); err != nil {
		t.Fatal(err)
	}
	text := make([]byte, 100)
	size, err := c.Read(text)
	if err != nil {
		t.Fatal(err)
	}
	return string(text[:size])
}
