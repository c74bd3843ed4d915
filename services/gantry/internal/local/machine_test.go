package local

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"gantry.dev/services/gantry/internal/local/cgroup"
	"gantry.dev/services/gantry/internal/local/command"
	"gantry.dev/services/gantry/internal/local/layout"
	"gantry.dev/services/gantry/internal/local/network"
	"gantry.dev/services/gantry/internal/local/supervisor"
	"go.uber.org/goleak"
)

// superviseVariable makes the test program the supervisor of this folder.
const superviseVariable = "GANTRY_TEST_SUPERVISE"

func TestMain(m *testing.M) {
	if dir := os.Getenv(superviseVariable); dir != "" {
		os.Exit(supervise(dir))
	}
	goleak.VerifyTestMain(m)
}

func supervise(dir string) int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	if err := Supervise(ctx, Options{Dir: dir}); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

const workload = `apiVersion: apps/v1
kind: Deployment
metadata: {name: quiet}
spec:
  replicas: 2
  selector: {matchLabels: {app: quiet}}
  template:
    metadata: {labels: {app: quiet}}
    spec:
      automountServiceAccountToken: false
      terminationGracePeriodSeconds: 1
      containers: [{name: quiet, image: registry.gantry.local/gantry/pause:1}]
`

// machine is one platform on the real machine.
type machine struct {
	*testing.T
	Options
}

// newMachine skips where the platform cannot or should not run: it uses fixed
// names and addresses, so it must be alone.
func newMachine(t *testing.T) machine {
	t.Helper()
	if os.Getenv("GANTRY_TEST_LOCAL") == "" {
		t.Skip("starts a real cluster with fixed addresses; set GANTRY_TEST_LOCAL=1 and run it alone")
	}
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	repo, err := filepath.Abs("../../../..")
	if err != nil {
		t.Fatal(err)
	}
	m := machine{t, Options{Dir: filepath.Join(t.TempDir(), ".local"), Repo: repo, Nodes: NodesReal, Progress: t.Output(),
		Only: []string{"site-a-kubelet", "site-a-controller-manager", "site-a-scheduler", "prometheus"}}}
	if missing, packages := m.parts().Missing(); len(missing)+len(packages) > 0 {
		t.Skipf("%d parts and %d packages are missing; run: make parts", len(missing), len(packages))
	}
	if dir, _ := owner(ownerFile); dir != "" {
		t.Skipf("the platform of %s is there", dir)
	}
	m.Supervisor = []string{"/usr/bin/env", superviseVariable + "=" + m.Dir, os.Args[0]}
	m.must(os.MkdirAll(m.Dir, 0o755))
	return m
}

func (m machine) must(err error) {
	m.Helper()
	if err != nil {
		m.Fatal(err)
	}
}

func (m machine) kubectl(args ...string) (string, error) {
	p := m.paths()
	flags := []string{"--kubeconfig=" + p.Kubeconfig("site-a", "admin"), "--cache-dir=" + p.Run("kubectl"), "--request-timeout=5s"}
	return command.Run(m.Context(), p.Part("kubectl"), append(flags, args...)...)
}

func (m machine) await(what string, good func() bool) {
	m.Helper()
	deadline := time.Now().Add(90 * time.Second)
	for !good() {
		if time.Now().After(deadline) {
			pods, err := m.kubectl("get", "pods,events")
			m.Fatalf("%s: not within 90 s: %s %v", what, pods, err)
		}
		time.Sleep(200 * time.Millisecond)
	}
}

func (m machine) rolledOut() bool {
	ready, err := m.kubectl("get", "deployment", "quiet", "-o=jsonpath={.status.readyReplicas}")
	return err == nil && ready == "2"
}

func (m machine) containers() int {
	report, err := Status(m.Context(), m.Options)
	m.must(err)
	for _, g := range report.Groups {
		if g.Name == "site-a" {
			return g.Others
		}
	}
	return 0
}

// measured tells whether Prometheus knows the CPU use of both containers.
func (m machine) measured() bool {
	query := layout.Prometheus + "/api/v1/query?query=" +
		"count(container_cpu_usage_seconds_total%7Bcluster%3D%22site-a%22%2Ccontainer%3D%22quiet%22%7D)"
	request, err := http.NewRequestWithContext(m.Context(), http.MethodGet, query, nil)
	m.must(err)
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 5 * time.Second}
	response, err := client.Do(request)
	if err != nil {
		return false
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	return err == nil && strings.Contains(string(body), `,"2"]`)
}

// TestMachine goes through the whole life of the platform with one real
// cluster: up, pods, metrics, the site's death and return, the supervisor's
// death, and down without a trace.
func TestMachine(t *testing.T) {
	m := newMachine(t)
	before := traces(t)
	t.Cleanup(func() { _ = Down(context.WithoutCancel(t.Context()), m.Options) })
	m.must(Up(t.Context(), m.Options))

	file := filepath.Join(m.Dir, "quiet.yaml")
	m.must(os.WriteFile(file, []byte(workload), 0o644))
	_, err := m.kubectl("apply", "-f", file)
	m.must(err)
	m.await("pods run", m.rolledOut)
	m.await("CPU use is measured", m.measured)

	// Two pods: a shim, a pause and a container each.
	if n := m.containers(); n != 6 {
		t.Errorf("%d processes beside our own, want 6", n)
	}
	m.must(Kill(t.Context(), m.Options, "site-a"))
	tree, err := cgroup.Find(cgroupRoot)
	m.must(err)
	if pids := tree.PIDs("site-a"); len(pids) != 0 {
		t.Errorf("processes survive the site: %v", pids)
	}
	m.must(Start(t.Context(), m.Options, "site-a"))
	m.await("pods run again", func() bool { return m.containers() == 6 && m.rolledOut() })

	pid, alive := supervisor.ReadRecord(m.supervisorRecord())
	if !alive {
		t.Fatal("no supervisor")
	}
	m.must(syscall.Kill(pid, syscall.SIGKILL))
	m.await("supervisor is gone", func() bool { _, alive := supervisor.ReadRecord(m.supervisorRecord()); return !alive })
	m.Purge = true
	m.must(Down(t.Context(), m.Options))
	if after := traces(t); after != before {
		t.Errorf("before:\n%s\nafter:\n%s", before, after)
	}
}

// traces describes all that the platform may leave on a machine.
func traces(t *testing.T) string {
	t.Helper()
	forwarding, err := network.Forwarding()
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]any{"forwarding": forwarding}
	for _, args := range [][]string{{"-o", "-br", "link"}, {"route"}, {"netns"}} {
		out, err := command.Run(t.Context(), "ip", args...)
		if err != nil {
			t.Fatal(err)
		}
		found[strings.Join(args, " ")] = out
	}
	for _, pattern := range []string{"/run/*", "/var/lib/*", "/var/lib/cni/*/*", "/var/log/*", "/etc/cni", "/sys/fs/cgroup/*/*gantry*", "/sys/fs/cgroup/gantry*"} {
		names, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		found[pattern] = names
	}
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		t.Fatal(err)
	}
	found["mounts"] = string(mounts)
	text, err := json.MarshalIndent(found, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
