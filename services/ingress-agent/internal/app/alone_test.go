package app

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	ingressv1 "gantry.dev/proto/gen/gantry/ingress/v1"
	"gantry.dev/services/ingress-agent/internal/generation"
	"gantry.dev/services/ingress-agent/internal/nginx"
	"gantry.dev/services/ingress-agent/internal/render"
)

// aloneTime is how long the load runs without any control plane, "10m"; empty:
// a second, which is enough for every timer of the agent to have ended once or
// to be one of those that tests with a simulated clock let run for a day.
const aloneTime = "GANTRY_TEST_ALONE"

// rule I6, C1: with etcd and every cluster's ipaas gone nothing stops being
// served, a pod that dies is skipped, and so it is after a restart of the
// agent, of Nginx, and of both.
func TestNobodyElseLives(t *testing.T) {
	a, b := addresses(72, 3), addresses(73, 1)
	n, siteA, siteB := twoSites(t, a, b)
	pods := startPods(t, n.podPort, append(a, b...)...)
	n.answers()
	n.snapshotHolds(append(a, b...)...)
	served, _ := n.agent.manager.Served()
	l := startLoad(t, n.url(), 8)
	n.etcd.Stop()
	siteA.server.Stop()
	siteB.server.Stop()
	n.wait(t)

	pods[a[0]].kill() // what it was answering is lost with it, but GETs are not
	eventually(t, 10*time.Second, func() bool { return strings.Contains(strings.Join(n.agent.prober.Down(), " "), a[0]) }, n.log)
	n.onlyPostsTo(l, a[0])

	l = startLoad(t, n.url(), 8)
	n.stop()
	n.start()
	n.serving(1)
	pause(t.Context(), 500*time.Millisecond)
	l.none()

	for name, restart := range map[string]func(){
		"nginx": func() { n.killHard() },
		"both":  func() { n.stop(); n.killHard(); n.start() },
	} {
		restart()
		eventually(t, time.Minute, func() bool { return n.agent.nginx.Pid() != 0 }, n.log)
		n.serving(1)
		eventually(t, 20*time.Second, func() bool { code, body, _ := n.get(); return code == http.StatusOK && body != a[0] }, n.log)
		if now, _ := n.agent.manager.Served(); len(now.Hosts) != len(served.Hosts) {
			t.Errorf("%s: %d hosts are served, before %d", name, len(now.Hosts), len(served.Hosts))
		}
		l := startLoad(t, n.url(), 8)
		pause(t.Context(), 300*time.Millisecond)
		l.none()
	}
}

// wait lets the load run on without a control plane.
func (n *testNode) wait(t *testing.T) {
	t.Helper()
	d := time.Second
	if text := os.Getenv(aloneTime); text != "" {
		var err error
		if d, err = time.ParseDuration(text); err != nil {
			t.Fatal(err)
		}
	}
	pause(t.Context(), d)
}

// onlyPostsTo ends the load and checks that nothing was lost but POSTs that a
// dying pod had taken.
func (n *testNode) onlyPostsTo(l *load, pod string) {
	n.t.Helper()
	total, failures := l.end()
	for _, f := range failures {
		if !strings.HasPrefix(f, "POST 502") {
			n.t.Errorf("lost: %s", f)
		}
	}
	n.t.Logf("%d requests; %d POSTs were lost with the pod %s", total, len(failures), pod)
}

// killHard ends Nginx as a crash does: master and workers.
func (n *testNode) killHard() {
	n.t.Helper()
	old := n.agent.nginx.Pid()
	if err := syscall.Kill(old, syscall.SIGKILL); err != nil {
		n.t.Fatal(err)
	}
	eventually(n.t, 10*time.Second, func() bool { return n.agent.nginx.Pid() != old }, n.log)
}

// rule I6: a configuration that names no cluster empties nothing, also not
// what is remembered of the clusters; the next whole one counts.
func TestAConfigurationWithoutClustersIsRefused(t *testing.T) {
	a := addresses(74, 2)
	n, siteA, siteB := twoSites(t, a, nil)
	startPods(t, n.podPort, a...)
	n.answers()
	clusters := n.gateway.Clusters
	n.publish(func(c *ingressv1.GatewayConfig) { c.Clusters = nil })
	eventually(t, 10*time.Second, func() bool { return strings.Contains(n.agent.Status(t.Context()).GetMessage(), "names no cluster") }, n.log)
	siteA.server.Stop() // nobody could say again what is forgotten now
	siteB.server.Stop()
	if code, body, _ := n.get(); code != http.StatusOK {
		t.Errorf("got %d %s", code, body)
	}
	n.publish(func(c *ingressv1.GatewayConfig) {
		c.Clusters = clusters
		c.Routes = append(c.Routes, n.route("more", "more.example"))
	})
	n.serving(3)
	for _, host := range []string{webHost, "more.example"} {
		if r := n.ask(host, "/", "", nil); r.StatusCode != http.StatusOK {
			t.Errorf("%s answers %s", host, r.Status)
		}
	}
	if text := n.agent.Status(t.Context()).GetMessage(); strings.Contains(text, "names no cluster") {
		t.Errorf("still says %s", text)
	}
}

// A looker adds a server to Nginx that tells what the balancer holds, and what
// it would choose in a day.
type looker struct {
	*nginx.Nginx
	socket, upstream string
}

func (l looker) Test(ctx context.Context, dir string) error {
	text := fmt.Sprintf(`server { listen unix:%s; location / { access_by_lua_block { return } content_by_lua_block {
		local conf, pods, later = ngx.shared.gantry_endpoints, require "gantry.pods", ngx.now() + 86400
		for _, key in ipairs(conf:get_keys(0)) do ngx.say(key, " ", conf:ttl(key)) end
		local pod = pods.pick(pods.get("%s", later), nil, nil, later)
		ngx.say("pod ", pod.host)
	} } }`, l.socket, l.upstream)
	if err := os.WriteFile(filepath.Join(dir, "hosts/looker.conf"), []byte(text), 0o600); err != nil {
		return err
	}
	return l.Nginx.Test(ctx, dir)
}

// rule I6: what Nginx was told of pods has no expiry, and in a day it chooses
// among them as now.
func TestTheTableDoesNotExpire(t *testing.T) {
	a := addresses(75, 1)
	var look looker
	n, _, _ := startSites(t, a, nil, func(n *testNode) {
		look = looker{socket: filepath.Join(n.config.StateDir, "run/look.sock"), upstream: render.Upstream("shop", "web", n.podPort)}
		n.between = func(real *nginx.Nginx) generation.Web {
			look.Nginx = real
			return look
		}
	})
	startPods(t, n.podPort, a...)
	n.answers()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", look.socket)
	}}}
	response, err := client.Get("http://look/")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	if err != nil || len(lines) < 4 || lines[len(lines)-1] != "pod "+a[0] {
		t.Fatalf("%v: %s", err, text)
	}
	for _, line := range lines[:len(lines)-1] {
		if !strings.HasSuffix(line, " 0") {
			t.Errorf("expires: %s", line)
		}
	}
}
