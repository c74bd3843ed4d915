package e2e

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os/exec"
	"strings"
	"sync"
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

// traffic sends requests through the VIP until it is stopped.
type traffic struct {
	mu     sync.Mutex
	ok     int
	failed []string
	stop   func()
}

// newTraffic uses curl in the clients' namespace, one request on its own
// connection at a time: at least one every 100 ms.
func newTraffic(t *testing.T) *traffic {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	script := `while :; do curl -s -o /dev/null -m 5 -w '%{http_code} %{errormsg}\n' -H 'Host: hello.demo.test' http://10.110.0.100/; sleep 0.1; done`
	cmd := exec.CommandContext(ctx, "ip", "netns", "exec", "gantry-client", "bash", "-c", script)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	tr, done := &traffic{}, make(chan struct{})
	go func() {
		defer close(done)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			tr.count(lines.Text())
		}
	}()
	tr.stop = sync.OnceFunc(func() { cancel(); <-done; _ = cmd.Wait() })
	t.Cleanup(tr.stop)
	return tr
}

func (tr *traffic) count(line string) {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	if strings.HasPrefix(line, "200") {
		tr.ok++
	} else {
		tr.failed = append(tr.failed, line)
	}
}

// seen gives how many requests were answered, and what failed.
func (tr *traffic) seen() (int, []string) {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	return tr.ok, tr.failed
}

func Test04Kills(t *testing.T) {
	platform(t)
	settled(t)
	tr := newTraffic(t)
	for _, name := range []string{"cluster-mgr-1", "cluster-mgr-2", "site-a-ipaas", "lb-1-ingress-agent", "lb-2-ingress-agent"} {
		before, ok := parts(t)[name]
		if !ok || before.PID == 0 {
			t.Fatalf("there is no process %s", name)
		}
		if err := syscall.Kill(before.PID, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		eventually(t, time.Minute, func() string {
			if now := parts(t)[name]; now.State != "ready" || now.PID == before.PID {
				return fmt.Sprintf("%s is %s", name, now.State)
			}
			return ""
		})
	}
	// A change still reaches both clusters.
	release := settled(t).Status.Release
	r := gantry(t, manifest(t, "drainSeconds: 5", "drainSeconds: 6"), "apply", "-f", "-")
	if r.code != 0 {
		t.Fatalf("a change after the kills: %s", r.err)
	}
	if after := settled(t); after.Status.Release != release+1 {
		t.Errorf("release %d, then %d", release, after.Status.Release)
	}
	tr.stop()
	if ok, failed := tr.seen(); ok == 0 || len(failed) > 0 {
		t.Errorf("%d requests were answered, these failed: %q", ok, failed)
	}
}
