package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// failure is one request that did not get its answer.
type failure struct {
	Sent   time.Time `json:"sent"`
	At     time.Time `json:"at"`
	Method string    `json:"method"`
	Class  string    `json:"class"`
	Detail string    `json:"detail"`
}

func (f failure) String() string {
	return fmt.Sprintf("%s at %s: %s %s", f.Method, f.Sent.Format("15:04:05.000"), f.Class, f.Detail)
}

// tally is what became of the requests of one phase.
type tally struct {
	requests, failed int
	// failures are at most 500 a second.
	failures  []failure
	byCluster map[string]int
}

// control changes a running load; zero fields stay as they are.
type control struct {
	Rate  float64 `json:"rate,omitempty"`
	Burn  string  `json:"burn,omitempty"`
	Phase string  `json:"phase,omitempty"`
}

// tick is what the load generator says each second.
type tick struct {
	Pending map[string]int `json:"pending"`
	Phase   string         `json:"phase"`
	Buckets []struct {
		Phase     string         `json:"phase"`
		Requests  int            `json:"requests"`
		Failed    int            `json:"failed"`
		ByCluster map[string]int `json:"by_cluster"`
		Failures  []failure      `json:"failures"`
	} `json:"buckets"`
}

// traffic sends GET and POST in turn through the VIP, from the clients'
// namespace over keep-alive connections, until it is stopped. Nothing is sent
// twice.
type traffic struct {
	t     *testing.T
	in    io.Closer
	write *json.Encoder
	done  chan struct{}
	end   func()

	mu     sync.Mutex
	phases map[string]*tally
	last   tick
}

const firstPhase = "start"

// newTraffic begins with 100 requests a second.
func newTraffic(t *testing.T) *traffic {
	t.Helper()
	// It ends with its input, so it never outlives the test.
	cmd := exec.CommandContext(context.WithoutCancel(t.Context()), "ip", "netns", "exec", "gantry-client", gantryPath(), "load")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	tr := &traffic{t: t, in: in, write: json.NewEncoder(in), done: make(chan struct{}), phases: map[string]*tally{}}
	go tr.listen(json.NewDecoder(out))
	tr.end = sync.OnceFunc(func() {
		_ = in.Close()
		<-tr.done
		_ = cmd.Wait()
	})
	t.Cleanup(tr.end)
	tr.say(map[string]any{"address": "10.110.0.100:80", "host": "hello.demo.test", "connections": 16, "rate": 100, "phase": firstPhase})
	return tr
}

func (tr *traffic) say(line any) {
	tr.t.Helper()
	if err := tr.write.Encode(line); err != nil {
		tr.t.Fatalf("the load generator has ended: %v", err)
	}
}

func (tr *traffic) listen(lines *json.Decoder) {
	defer close(tr.done)
	for {
		var k tick
		if lines.Decode(&k) != nil {
			return
		}
		tr.take(k)
	}
}

func (tr *traffic) take(k tick) {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	for _, b := range k.Buckets {
		sum := tr.phases[b.Phase]
		if sum == nil {
			sum = &tally{byCluster: map[string]int{}}
			tr.phases[b.Phase] = sum
		}
		sum.requests += b.Requests
		sum.failed += b.Failed
		sum.failures = append(sum.failures, b.Failures...)
		for cluster, n := range b.ByCluster {
			sum.byCluster[cluster] += n
		}
	}
	k.Buckets = nil
	tr.last = k
}

// phase tags the requests from now on.
func (tr *traffic) phase(name string) {
	tr.t.Helper()
	tr.say(control{Phase: name})
}

// of gives what became of a phase's requests; it waits for their answers, so
// another phase must have begun.
func (tr *traffic) of(name string) tally {
	tr.t.Helper()
	eventually(tr.t, 30*time.Second, func() string {
		tr.mu.Lock()
		defer tr.mu.Unlock()
		if n := tr.last.Pending[name]; n > 0 || tr.last.Phase == name {
			return fmt.Sprintf("%d requests of %s are still on their way", n, name)
		}
		return ""
	})
	tr.mu.Lock()
	defer tr.mu.Unlock()
	if sum := tr.phases[name]; sum != nil {
		return *sum
	}
	return tally{}
}

// whole begins another phase and asserts that this one lost no request.
func (tr *traffic) whole(name, next string) tally {
	tr.t.Helper()
	tr.phase(next)
	sum := tr.of(name)
	if sum.requests == 0 || sum.failed > 0 {
		tr.t.Errorf("%s: %d requests, %d failed: %v; VIP: %v", name, sum.requests, sum.failed, first(sum.failures, 5), takeovers())
	}
	return sum
}

// takeovers tells when the nodes took the VIP last. On a machine without time to
// spare a node may be silent for so long that the other one takes over, and
// open connections break: then it is not the scenario's fault that requests fail.
func takeovers() (lines []string) {
	for _, node := range []string{"lb-1", "lb-2"} {
		b, err := os.ReadFile(filepath.Join(local, "data", node, "log", "keepalived.log"))
		if err != nil {
			continue
		}
		last := ""
		for line := range strings.Lines(string(b)) {
			if strings.Contains(line, "Entering MASTER STATE") {
				last = node + ": " + strings.TrimSpace(line)
			}
		}
		lines = append(lines, last)
	}
	return lines
}

// finish stops the load and asserts that the last phase lost no request.
func (tr *traffic) finish(name string) {
	tr.t.Helper()
	tr.whole(name, "end")
	tr.end()
}

// seen counts what was answered so far, and gives what failed.
func (tr *traffic) seen() (answered int, failed []failure) {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	for _, sum := range tr.phases {
		answered += sum.requests - sum.failed
		failed = append(failed, sum.failures...)
	}
	return answered, failed
}

// first gives at most n of what there is.
func first[T any](all []T, n int) []T { return all[:min(n, len(all))] }
