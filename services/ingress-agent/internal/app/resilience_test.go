package app

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"gantry.dev/pkg/etcdkv"
	"gantry.dev/pkg/fault"
	"gantry.dev/pkg/grpcclient"
	ingressv1 "gantry.dev/proto/gen/gantry/ingress/v1"
	"gantry.dev/services/ingress-agent/internal/source"
	"google.golang.org/protobuf/proto"
)

// rule I3, I5: a new host needs a reload; it is confirmed and loses nothing.
func TestReloadsLoseNothing(t *testing.T) {
	a := addresses(21, 3)
	n, _, _ := twoSites(t, a, nil)
	startPods(t, n.podPort, a...)
	n.answers()
	before, _ := n.agent.nginx.Client().Status(t.Context())
	l := startLoad(t, n.url(), 16)
	for i := range 2 {
		n.publish(func(c *ingressv1.GatewayConfig) {
			name := fmt.Sprintf("host%d", i)
			c.Routes = append(c.Routes, n.route(name, name+".example"))
		})
		n.serving(n.gateway.GetGeneration())
	}
	time.Sleep(300 * time.Millisecond)
	l.none()
	after, err := n.agent.nginx.Client().Status(t.Context())
	if err != nil || after.Epoch != before.Epoch+2 {
		t.Errorf("epoch went from %d to %d, %v", before.Epoch, after.Epoch, err)
	}
}

// Changes of a moment become one reload.
func TestReloadsAreCoalesced(t *testing.T) {
	n, _, _ := twoSites(t, nil, nil)
	before, _ := n.agent.nginx.Client().Status(t.Context())
	for i := range 10 {
		n.publish(func(c *ingressv1.GatewayConfig) {
			name := fmt.Sprintf("host%d", i)
			c.Routes = append(c.Routes, n.route(name, name+".example"))
		})
	}
	n.serving(n.gateway.GetGeneration())
	after, _ := n.agent.nginx.Client().Status(t.Context())
	if reloads := after.Epoch - before.Epoch; reloads > 2 {
		t.Errorf("10 changes at once made %d reloads", reloads)
	}
}

// rule I6: the agent and the whole control plane may go; Nginx serves on, and
// an agent that starts alone takes up what is served.
func TestAgentRestartKeepsServing(t *testing.T) {
	a := addresses(22, 2)
	n, siteA, siteB := twoSites(t, a, nil)
	startPods(t, n.podPort, a...)
	n.answers()
	n.snapshotHolds(a...)
	before, _ := n.agent.nginx.Client().Status(t.Context())
	l := startLoad(t, n.url(), 8)
	n.stop()
	n.etcd.Stop()
	siteA.server.Stop()
	siteB.server.Stop()
	time.Sleep(200 * time.Millisecond)
	n.start()
	n.serving(1)
	time.Sleep(500 * time.Millisecond)
	l.none()
	after, err := n.agent.nginx.Client().Status(t.Context())
	if err != nil || after.Epoch != before.Epoch {
		t.Errorf("nginx went from epoch %d to %d, %v", before.Epoch, after.Epoch, err)
	}
}

func (n *testNode) snapshotHolds(words ...string) {
	n.t.Helper()
	eventually(n.t, 5*time.Second, func() bool {
		text, _ := os.ReadFile(filepath.Join(n.config.StateDir, "endpoints.json"))
		for _, w := range words {
			if !strings.Contains(string(text), w) {
				return false
			}
		}
		return true
	}, nil)
}

// rule I6: Nginx starts without any agent and serves from the snapshot.
func TestNginxRestartServesFromTheSnapshot(t *testing.T) {
	a := addresses(23, 2)
	n, _, _ := twoSites(t, a, nil)
	startPods(t, n.podPort, a...)
	n.answers()
	n.snapshotHolds(a...)
	n.stop()
	n.killNginx()
	_, layout := n.agent.manager.Served()
	if err := n.agent.nginx.Start(t.Context(), layout); err != nil {
		t.Fatal(err)
	}
	if code, body, _ := n.get(); code != http.StatusOK {
		t.Errorf("got %d %s", code, body)
	}
}

// A killed master leaves workers that hold the port; the agent gets over it.
func TestAgentRestartsAKilledNginx(t *testing.T) {
	a := addresses(24, 2)
	n, siteA, _ := twoSites(t, a[:1], nil)
	startPods(t, n.podPort, a...)
	n.answers()
	old := n.agent.nginx.Pid()
	start := time.Now()
	if err := syscall.Kill(old, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	eventually(t, 10*time.Second, func() bool {
		pid := n.agent.nginx.Pid()
		return pid != 0 && pid != old
	}, n.log)
	n.answers()
	t.Logf("a killed nginx serves again after %s", time.Since(start))
	siteA.set(a[1])
	eventually(t, 5*time.Second, func() bool { _, body, _ := n.get(); return body == a[1] }, n.log)
}

// rule C1: a cluster that cannot be reached keeps its endpoints.
func TestUnreachableIsNotEmpty(t *testing.T) {
	a := addresses(25, 1)
	n, siteA, _ := twoSites(t, a, nil)
	startPods(t, n.podPort, a...)
	n.answers()
	siteA.server.Stop()
	eventually(t, 5*time.Second, func() bool { return !n.agent.Status(t.Context()).GetClusters()[0].GetIpaasConnected() }, nil)
	if code, body, _ := n.get(); code != http.StatusOK {
		t.Errorf("got %d %s", code, body)
	}
}

// rule I6: a list that is not known to be whole changes nothing.
func TestAListWithoutBookmarkChangesNothing(t *testing.T) {
	a := addresses(26, 2)
	n, siteA, _ := twoSites(t, a[:1], nil)
	siteA.mu.Lock()
	siteA.held = true
	siteA.mu.Unlock()
	// A new app set makes the agent open a new stream.
	n.publish(func(c *ingressv1.GatewayConfig) {
		r := n.route("other", "other.example")
		r.App = "projects/shop/apps/other"
		c.Routes = append(c.Routes, r)
	})
	n.serving(2)
	siteA.set()
	time.Sleep(300 * time.Millisecond)
	if got := n.agent.store.Snapshot()["site-a"][webApp]; len(got) != 1 {
		t.Errorf("without a bookmark the endpoints became %v", got)
	}
}

// Another cluster that answers at a cluster's address is not believed.
func TestAnotherIdentityIsIgnored(t *testing.T) {
	a := addresses(27, 2)
	n, siteA, _ := twoSites(t, a[:1], nil)
	siteA.mu.Lock()
	siteA.lie = "uid-of-another"
	siteA.mu.Unlock()
	siteA.set(a[1])
	eventually(t, 5*time.Second, func() bool { return !n.agent.store.Connected("site-a") }, nil)
	time.Sleep(200 * time.Millisecond)
	if got := n.agent.store.Snapshot()["site-a"][webApp]; len(got) != 1 || got[0] != a[0] {
		t.Errorf("believed %v", got)
	}
}

// rule S2: what an older leader or an older generation says is refused.
func TestOlderLeaderIsRefused(t *testing.T) {
	n, _, _ := twoSites(t, nil, nil)
	stale := proto.CloneOf(n.gateway)
	stale.Epoch, stale.Generation, stale.Routes = 6, 99, nil
	op, err := etcdkv.Put(source.Key("main"), stale)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := n.client.Do(t.Context(), op); err != nil {
		t.Fatal(err)
	}
	n.publish(func(c *ingressv1.GatewayConfig) { c.Clusters[0].TrafficPercent = 50 })
	n.serving(2)
	model, _ := n.agent.manager.Served()
	if len(model.Hosts) != 1 || n.agent.fence.Epoch() != 7 {
		t.Errorf("the stale configuration came through: %v", model)
	}
}

// rule I4: one bad route is kept in its last good form, the others go out.
func TestBadRouteIsQuarantined(t *testing.T) {
	a := addresses(28, 1)
	n, _, _ := twoSites(t, a, nil)
	startPods(t, n.podPort, a...)
	n.answers()
	n.publish(func(c *ingressv1.GatewayConfig) {
		c.Routes[0].PathPrefix = "/;} location /etc { root /; }"
		c.Routes = append(c.Routes, n.route("good", "good.example"), n.route("evil", "a b\n;.example"))
	})
	n.serving(2)
	n.answers() // web.example still in its last good form
	status := n.agent.Status(t.Context())
	if got := status.GetQuarantined(); len(got) != 2 || got[0].GetRoute() != "projects/shop/routes/evil" || got[1].GetRoute() != "projects/shop/routes/web" {
		t.Errorf("quarantined: %v", got)
	}
	if model, _ := n.agent.manager.Served(); len(model.Hosts) != 2 {
		t.Errorf("served: %v", model.Hosts)
	}
}

func TestOnlyClusterMgrMayCall(t *testing.T) {
	n, _, _ := twoSites(t, nil, nil)
	for caller, want := range map[string]bool{"cluster-mgr": true, "portal": false} {
		tlsConfig, err := n.ca.Issue(caller).Client("ingress-agent.main.lb-1")
		if err != nil {
			t.Fatal(err)
		}
		conn, err := grpcclient.Dial(n.config.Listen, tlsConfig)
		if err != nil {
			t.Fatal(err)
		}
		status, err := ingressv1.NewAgentServiceClient(conn).GetStatus(t.Context(), &ingressv1.GetStatusRequest{})
		if want && (err != nil || status.GetGeneration() != 1 || !status.GetNginxOk() || len(status.GetClusters()) != 2) {
			t.Errorf("%s got %v, %v", caller, status, err)
		}
		if !want && !fault.Is(err, fault.KindDenied) {
			t.Errorf("%s got %v, %v", caller, status, err)
		}
		_ = conn.Close()
	}
}

func TestMetricsTellTheBalancersCounters(t *testing.T) {
	a := addresses(29, 1)
	n, _, _ := twoSites(t, a, nil)
	startPods(t, n.podPort, a...)
	n.answers()
	registry := n.agent.config.Registry
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	for _, f := range families {
		for _, m := range f.GetMetric() {
			fmt.Fprintln(&text, f.GetName(), m.String())
		}
	}
	for _, want := range []string{"gantry_ingress_requests_total", `value:"2xx"`, "gantry_ingress_request_seconds", "gantry_ingress_config_generation"} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("no %s in the metrics", want)
		}
	}
}
