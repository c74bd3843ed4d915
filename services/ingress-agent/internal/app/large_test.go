package app

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"
	"time"

	"gantry.dev/pkg/mtls/mtlstest"
	"gantry.dev/pkg/serve"
	ingressv1 "gantry.dev/proto/gen/gantry/ingress/v1"
	"gantry.dev/services/ingress-agent/internal/balancer"
	"gantry.dev/services/ingress-agent/internal/nginx"
	"gantry.dev/services/ingress-agent/internal/source"
)

// largeRoutes is how many routes TestMemory takes; empty: it is skipped, because
// Nginx alone needs most of a minute for 10,000.
const largeRoutes = "GANTRY_TEST_ROUTES"

// mostMemory is the goal of the agent at 10,000 routes, beside Nginx.
const mostMemory = 100 << 20

// The agent's memory and the time until everything is served, of an agent that
// starts on nothing but its last configuration.
func TestMemory(t *testing.T) {
	needNginx(t)
	routes, err := strconv.Atoi(os.Getenv(largeRoutes))
	if err != nil {
		t.Skip("takes minutes; set " + largeRoutes + "=10000")
	}
	pods, err := net.Listen("tcp", ":0") // every pod is this one, by addresses of its own
	if err != nil {
		t.Fatal(err)
	}
	defer pods.Close()
	dir := t.TempDir()
	if err := os.Chmod(filepath.Dir(dir), 0o755); err != nil {
		t.Fatal(err)
	}
	saveLarge(t, dir, routes, pods.Addr().(*net.TCPAddr).Port)
	start := time.Now()
	agent := startAlone(t, dir)
	proxy := nginx.New(nginx.Config{StateDir: dir})
	t.Cleanup(func() { _ = proxy.Stop() })
	eventually(t, 10*time.Minute, func() bool { s, err := proxy.Client().Status(t.Context()); return err == nil && s.Config == 1 }, nil)
	t.Logf("%d routes in effect after %s", routes, time.Since(start))
	pause(t.Context(), 20*time.Second) // of an agent that only watches
	now, peak := memory(t, agent, "VmRSS"), memory(t, agent, "VmHWM")
	t.Logf("agent: %d MiB, %d of it its own, at most %d MiB; nginx: %d MiB", now>>20, memory(t, agent, "RssAnon")>>20, peak>>20, memory(t, proxy.Pid(), "VmRSS")>>20)
	if routes <= 10000 && now > mostMemory {
		t.Errorf("the agent has %d bytes, more than %d", now, mostMemory)
	}
}

// saveLarge writes what an agent of so many routes knows, each to an app of its
// own with two pods in each of two clusters.
func saveLarge(t *testing.T, dir string, routes, port int) {
	t.Helper()
	c := &ingressv1.GatewayConfig{Gateway: "main", Generation: 1, Epoch: 1}
	known := map[string]map[string][]string{}
	for i, name := range []string{"site-a", "site-b"} {
		c.Clusters = append(c.Clusters, &ingressv1.Cluster{Name: name, IpaasAddress: "127.0.0.1:1", TrafficPercent: 100})
		known[name] = map[string][]string{}
		for j := range routes {
			pod := fmt.Sprintf("127.%d.%d", 80+2*i+j/16384, j/128%128)
			known[name][app(j)] = []string{fmt.Sprintf("%s.%d", pod, j%128*2), fmt.Sprintf("%s.%d", pod, j%128*2+1)}
		}
	}
	for j := range routes {
		c.Routes = append(c.Routes, &ingressv1.Route{
			Name: fmt.Sprintf("projects/shop/routes/r%d", j), Host: fmt.Sprintf("r%d.shop.example", j), PathPrefix: "/", App: app(j), Port: int32(port),
		})
	}
	if err := source.Save(dir, c); err != nil {
		t.Fatal(err)
	}
	if err := balancer.SaveSnapshot(dir, balancer.Wanted{Table: balancer.Table{}}, known); err != nil {
		t.Fatal(err)
	}
}

func app(i int) string { return fmt.Sprintf("projects/shop/apps/a%d", i) }

// startAlone runs an agent as a program of its own, without a control plane.
func startAlone(t *testing.T, dir string) (pid int) {
	t.Helper()
	config, err := json.Marshal(Config{
		Common:  serve.Common{Name: "ingress-agent", Listen: "127.0.0.1:0", TLS: mtlstest.New(t).Issue("ingress-agent.main.lb-1")},
		Gateway: "main", Node: "lb-1", Etcd: []string{"https://127.0.0.1:1"}, StateDir: dir, Nginx: "nginx",
		NginxModules: "/usr/lib/nginx/modules", Interface: "lo", HTTPPort: freePort(t),
	})
	if err != nil {
		t.Fatal(err)
	}
	log, err := os.Create(filepath.Join(dir, "agent.log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	cmd := exec.Command(os.Args[0], "-test.run=^TestActAsAgent$", "-test.timeout=20m")
	cmd.Env = append(os.Environ(), agentEnv+"="+string(config))
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	return cmd.Process.Pid
}

// memory reads a field of a process in bytes.
func memory(t *testing.T, pid int, field string) int {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	m := regexp.MustCompile(`(?m)^` + field + `:\s+(\d+) kB$`).FindSubmatch(text)
	if err != nil || m == nil {
		t.Fatalf("no %s of %d: %v", field, pid, err)
	}
	n, _ := strconv.Atoi(string(m[1])) // digits by the pattern
	return n << 10
}
