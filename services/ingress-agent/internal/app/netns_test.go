package app

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"gantry.dev/pkg/mtls/mtlstest"
	"gantry.dev/pkg/serve"
	"gantry.dev/services/ingress-agent/internal/source"
	"github.com/prometheus/client_golang/prometheus"
)

// insideEnv marks a test that runs again inside its own namespace; agentEnv
// makes the test's program an agent.
const (
	insideEnv  = "GANTRY_TEST_INSIDE"
	agentEnv   = "GANTRY_TEST_AGENT"
	vipAddress = "10.99.0.100"
)

func needNamespaces(t testing.TB) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("not root: network namespaces cannot be made")
	}
	for _, program := range []string{"ip", "ss", "keepalived"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skip(program + " is not installed")
		}
	}
}

func run(t testing.TB, line string, args ...any) {
	t.Helper()
	words := strings.Fields(fmt.Sprintf(line, args...))
	if out, err := exec.Command(words[0], words[1:]...).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v: %s", words, err, out)
	}
}

// network makes namespaces that meet on a bridge in the first one, with
// addresses 10.99.0.1, .11, .12, ... on eth0 (br0 in the first).
func network(t testing.TB, names ...string) []string {
	t.Helper()
	var all []string
	for i, name := range names {
		ns := fmt.Sprintf("gtest-%d-%s", os.Getpid(), name)
		run(t, "ip netns add %s", ns)
		t.Cleanup(func() { deleteNamespace(ns) })
		run(t, "ip -n %s link set lo up", ns)
		all = append(all, ns)
		if i == 0 {
			run(t, "ip -n %s link add br0 type bridge", ns)
			run(t, "ip -n %s addr add 10.99.0.1/24 dev br0", ns)
			run(t, "ip -n %s link set br0 up", ns)
			continue
		}
		run(t, "ip -n %s link add port%d type veth peer name eth0 netns %s", all[0], i, ns)
		run(t, "ip -n %s link set port%d master br0 up", all[0], i)
		run(t, "ip -n %s addr add 10.99.0.%d/24 dev eth0", ns, 10+i)
		run(t, "ip -n %s link set eth0 up", ns)
	}
	return all
}

// deleteNamespace ends every process in it first.
func deleteNamespace(ns string) {
	for range 50 {
		out, _ := exec.Command("ip", "netns", "pids", ns).Output()
		pids := strings.Fields(string(out))
		for _, p := range pids {
			if pid, err := strconv.Atoi(p); err == nil {
				_ = syscall.Kill(pid, syscall.SIGKILL)
			}
		}
		if len(pids) == 0 {
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	_ = exec.Command("ip", "netns", "del", ns).Run()
}

// inside runs the calling test again inside a namespace and passes its
// verdict on.
func inside(t *testing.T, ns string, extra ...string) {
	t.Helper()
	cmd := exec.Command("ip", "netns", "exec", ns, os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v", "-test.timeout=60s")
	cmd.Env = append(os.Environ(), append(extra, insideEnv+"=1")...)
	out, err := cmd.CombinedOutput()
	t.Log(string(out))
	if err != nil {
		t.Error(err)
	}
}

// rule I8: the VIP moves when its node dies, a killed Keepalived leaves no
// second owner, and a returning node takes nothing back.
func TestVIPMoves(t *testing.T) {
	needNginx(t)
	needNamespaces(t)
	if os.Getenv(insideEnv) != "" {
		vipMoves(t, strings.Fields(os.Getenv("GANTRY_TEST_NODES")))
		return
	}
	ns := network(t, "client", "lb1", "lb2")
	inside(t, ns[0], "GANTRY_TEST_NODES="+strings.Join(ns[1:], " "))
}

func vipMoves(t *testing.T, nodes []string) {
	ca := mtlstest.New(t)
	dirs := []string{}
	for i, ns := range nodes {
		dirs = append(dirs, startAgent(t, ca, ns, i+1))
	}
	eventually(t, 20*time.Second, func() bool { return owner(nodes) != -1 && ask() == http.StatusServiceUnavailable }, func() string { return logs(dirs) })
	time.Sleep(time.Second) // both have heard of each other
	first := owner(nodes)
	second := 1 - first

	// The daemon is killed, both of its processes; the agent cleans up.
	killFile(t, dirs[first], "keepalived.pid", "vrrp.pid")
	start := time.Now()
	eventually(t, 5*time.Second, func() bool { return slices.Equal(owners(nodes), []int{second}) }, func() string { return fmt.Sprint(owners(nodes), logs(dirs)) })
	t.Logf("keepalived killed: one owner again after %s", time.Since(start))
	eventually(t, 5*time.Second, func() bool { return answersOnce() }, nil)
	time.Sleep(1500 * time.Millisecond)
	if got := owners(nodes); !slices.Equal(got, []int{second}) {
		t.Errorf("the VIP did not stay: owners %v", got)
	}

	// The whole node dies: no process, no link.
	for range 3 {
		killAll(nodes[second])
	}
	run(t, "ip -n %s link set eth0 down", nodes[second])
	start = time.Now()
	eventually(t, 5*time.Second, answersOnce, func() string { return logs(dirs) })
	took := time.Since(start)
	t.Logf("node killed: the VIP answers again after %s", took)
	if took > time.Second {
		t.Errorf("take-over took %s", took)
	}
	time.Sleep(300 * time.Millisecond) // the last connection attempts end
}

func killAll(ns string) {
	out, _ := exec.Command("ip", "netns", "pids", ns).Output()
	for _, p := range strings.Fields(string(out)) {
		if pid, err := strconv.Atoi(p); err == nil {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	}
}

// killFile kills the processes that the files name, all at once: Keepalived's
// child ends by itself, and takes its file away, when its parent is gone.
func killFile(t testing.TB, dir string, names ...string) {
	t.Helper()
	var pids []int
	for _, name := range names {
		text, err := os.ReadFile(filepath.Join(dir, "run", name))
		if err != nil {
			t.Fatal(err)
		}
		pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
		if err != nil {
			t.Fatal(err)
		}
		pids = append(pids, pid)
	}
	for _, pid := range pids {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
}

func owners(nodes []string) []int {
	var all []int
	for i, ns := range nodes {
		out, _ := exec.Command("ip", "-n", ns, "-4", "-o", "addr", "show", "dev", "eth0").Output()
		if strings.Contains(string(out), vipAddress+"/32") {
			all = append(all, i)
		}
	}
	return all
}

func owner(nodes []string) int {
	if all := owners(nodes); len(all) == 1 {
		return all[0]
	}
	return -1
}

// ask gives the status code of the VIP; 0 when it does not answer.
func ask() int {
	const patience = 200 * time.Millisecond
	dial := (&net.Dialer{Timeout: patience}).DialContext
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: dial}, Timeout: patience}
	request, err := http.NewRequestWithContext(context.Background(), http.MethodGet, "http://"+vipAddress, nil)
	if err != nil {
		return 0
	}
	request.Host = webHost
	response, err := client.Do(request)
	if err != nil {
		return 0
	}
	_ = response.Body.Close()
	return response.StatusCode
}

// answersOnce: there are no pods, so a living proxy says 503.
func answersOnce() bool { return ask() == http.StatusServiceUnavailable }

func logs(dirs []string) string {
	var all strings.Builder
	for _, d := range dirs {
		for _, name := range []string{"log/keepalived.log", "log/nginx.error.log", "agent.log"} {
			text, _ := os.ReadFile(filepath.Join(d, name))
			fmt.Fprintf(&all, "--- %s/%s\n%s\n", d, name, text[max(0, len(text)-2000):])
		}
	}
	return all.String()
}

// startAgent runs an agent in a namespace that starts from its disk: there is
// no control plane at all (rule I6).
func startAgent(t testing.TB, ca *mtlstest.CA, ns string, number int) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.Chmod(filepath.Dir(dir), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := source.Save(dir, pairConfig()); err != nil {
		t.Fatal(err)
	}
	name := fmt.Sprintf("lb-%d", number)
	config, err := json.Marshal(Config{
		Common:  serve.Common{Name: "ingress-agent", Listen: fmt.Sprintf("10.99.0.%d:7300", 10+number), TLS: ca.Issue("ingress-agent.main." + name)},
		Gateway: "main", Node: name, Etcd: []string{"https://10.99.0.254:2379"}, StateDir: dir, Nginx: "nginx", Keepalived: "keepalived",
		NginxModules: "/usr/lib/nginx/modules", Interface: "eth0", HTTPPort: 80,
	})
	if err != nil {
		t.Fatal(err)
	}
	log, err := os.Create(filepath.Join(dir, "agent.log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	cmd := exec.Command("ip", "netns", "exec", ns, os.Args[0], "-test.run=^TestActAsAgent$", "-test.timeout=20m")
	cmd.Env = append(os.Environ(), agentEnv+"="+string(config))
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	return dir
}

// TestActAsAgent is the program of startAgent, no test.
func TestActAsAgent(t *testing.T) {
	text := os.Getenv(agentEnv)
	if text == "" {
		t.Skip("only used by tests in namespaces")
	}
	var c Config
	if err := json.Unmarshal([]byte(text), &c); err != nil {
		t.Fatal(err)
	}
	c.Registry, c.Logger = prometheus.NewRegistry(), stderrLogger()
	if err := runOffered(t.Context(), c); err != nil {
		t.Fatal(err)
	}
}

// A whole site vanishes without a word: nothing refuses, nothing answers.
func TestVanishedSite(t *testing.T) {
	needNginx(t)
	needNamespaces(t)
	if os.Getenv(insideEnv) != "" {
		siteVanishes(t, os.Getenv("GANTRY_TEST_NODES"))
		return
	}
	ns := network(t, "lb", "site")
	inside(t, ns[0], "GANTRY_TEST_NODES="+ns[1])
}

func siteVanishes(t *testing.T, site string) {
	var b []string
	for i := range 3 {
		ip := fmt.Sprintf("10.98.0.%d", i+1)
		b = append(b, ip)
		run(t, "ip -n %s addr add %s/32 dev lo", site, ip)
	}
	run(t, "ip route add 10.98.0.0/24 via 10.99.0.11")
	run(t, "ip addr add 127.0.31.1/32 dev lo")
	a := addresses(31, 3)
	n, _, _ := twoSites(t, a, b)
	startPods(t, n.podPort, a...)
	remotePods(t, site, n.podPort, b)
	n.answers()
	eventually(t, 10*time.Second, func() bool { return n.agent.Status(t.Context()).GetClusters()[1].GetPodsAnswering() == 3 }, nil)
	l := startLoad(t, n.url(), 16)
	time.Sleep(time.Second)
	// Packets to the pods now end in a black hole.
	for _, ip := range b {
		run(t, "ip -n %s addr del %s/32 dev lo", site, ip)
	}
	start := time.Now()
	time.Sleep(6 * time.Second)
	total, failures := l.end()
	gets := slices.ContainsFunc(failures, func(f string) bool { return strings.HasPrefix(f, "GET") })
	t.Logf("%d requests, %d failed (only a POST that was sent may), slowest %s, %s after the site vanished", total, len(failures), l.slowest, time.Since(start))
	if gets || len(failures) > 16 || l.slowest > 5*time.Second {
		t.Errorf("lost %d, slowest %s: %v", len(failures), l.slowest, failures[:min(3, len(failures))])
	}
}

// remotePods runs pods in another namespace.
func remotePods(t *testing.T, ns string, port int, ips []string) {
	t.Helper()
	cmd := exec.Command("ip", "netns", "exec", ns, os.Args[0], "-test.run=^TestActAsPods$", "-test.timeout=60s")
	cmd.Env = append(os.Environ(), "GANTRY_TEST_PODS="+strings.Join(ips, " "), "GANTRY_TEST_PORT="+strconv.Itoa(port))
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	for _, ip := range ips {
		eventually(t, 10*time.Second, func() bool {
			c, err := net.DialTimeout("tcp", net.JoinHostPort(ip, strconv.Itoa(port)), time.Second)
			if err != nil {
				return false
			}
			return c.Close() == nil
		}, nil)
	}
}

// TestActAsPods is the program of remotePods, no test.
func TestActAsPods(t *testing.T) {
	ips := strings.Fields(os.Getenv("GANTRY_TEST_PODS"))
	if len(ips) == 0 {
		t.Skip("only used by tests in namespaces")
	}
	port, err := strconv.Atoi(os.Getenv("GANTRY_TEST_PORT"))
	if err != nil {
		t.Fatal(err)
	}
	startPods(t, port, ips...)
	time.Sleep(50 * time.Second)
}
