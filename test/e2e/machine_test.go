package e2e

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// part is one process of the platform.
type part struct {
	Name     string `json:"name"`
	PID      int    `json:"pid"`
	State    string `json:"state"`
	Restarts int    `json:"restarts"`
}

func parts(t *testing.T) map[string]part {
	t.Helper()
	r := gantry(t, "", "local", "status", "-o", "json") // the exit code says whether all are ready
	var report struct {
		Processes []part `json:"processes"`
	}
	if err := json.Unmarshal([]byte(r.out), &report); err != nil {
		t.Fatalf("local status: %v in %s", err, r.out)
	}
	out := map[string]part{}
	for _, p := range report.Processes {
		out[p.Name] = p
	}
	return out
}

// pidOf is the process number of a part that runs.
func pidOf(t *testing.T, name string) int {
	t.Helper()
	p := parts(t)[name]
	if p.PID == 0 {
		t.Fatalf("there is no process %s", name)
	}
	return p.PID
}

// hang stops a part with SIGSTOP, so that it neither answers nor refuses, and
// gives what lets it go on. It goes on at the end of the test at the latest.
func hang(t *testing.T, name string) (resume func()) {
	t.Helper()
	pid := pidOf(t, name)
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	resume = func() { _ = syscall.Kill(pid, syscall.SIGCONT) }
	t.Cleanup(resume)
	eventually(t, 10*time.Second, func() string {
		if state := stateOf(t, pid); state != "T" {
			return fmt.Sprintf("%s is in state %s, not stopped", name, state)
		}
		return ""
	})
	return resume
}

// stateOf is the kernel's letter for the state of a process.
func stateOf(t *testing.T, pid int) string {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		t.Fatal(err)
	}
	fields := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
	return fields[0]
}

// ready waits until parts of the platform are ready again.
func ready(t *testing.T, names ...string) {
	t.Helper()
	eventually(t, 2*time.Minute, func() string {
		now := parts(t)
		for _, name := range names {
			if now[name].State != "ready" {
				return fmt.Sprintf("%s is %s", name, now[name].State)
			}
		}
		return ""
	})
}

// run runs a program of the machine and gives what it said.
func run(t *testing.T, name string, args ...string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), time.Minute)
	defer cancel()
	out, err := exec.CommandContext(ctx, name, args...).CombinedOutput()
	return strings.TrimSpace(string(out)), err
}

// kubectl asks the API server of a site as its administrator.
func kubectl(t *testing.T, site string, args ...string) string {
	t.Helper()
	flags := []string{"--kubeconfig=" + filepath.Join(local, "pki", site, "admin.kubeconfig"), "--cache-dir=" + t.TempDir(), "--request-timeout=10s"}
	out, err := run(t, filepath.Join(local, "parts", "bin", "kubectl"), append(flags, args...)...)
	if err != nil {
		t.Fatalf("kubectl %s: %v: %s", strings.Join(args, " "), err, out)
	}
	return out
}

// deployments names every Deployment of Gantry in a site, with its identity.
func deployments(t *testing.T, site string) string {
	t.Helper()
	return kubectl(t, site, "get", "deployments", "-A", "-o",
		`jsonpath={range .items[*]}{.metadata.namespace}/{.metadata.name} {.metadata.uid} {.spec.replicas}{"\n"}{end}`)
}

// metric is the sum of all samples of a name at an address; 0 if there is none.
func metric(t *testing.T, address, name string) float64 {
	t.Helper()
	body, err := get(t, "http://"+address+"/metrics")
	if err != nil {
		t.Fatal(err)
	}
	sum := 0.0
	for lines := bufio.NewScanner(bytes.NewReader(body)); lines.Scan(); {
		head, value, found := strings.Cut(lines.Text(), " ")
		if base, _, _ := strings.Cut(head, "{"); !found || base != name {
			continue
		}
		n, err := strconv.ParseFloat(value, 64)
		if err != nil {
			t.Fatalf("%s: %q", name, lines.Text())
		}
		sum += n
	}
	return sum
}

// get asks something on this machine, for at most five seconds.
func get(t *testing.T, url string) ([]byte, error) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	client := http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		return body, fmt.Errorf("%s: %s", url, response.Status)
	}
	return body, err
}
