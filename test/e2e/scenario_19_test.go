package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

const vip = "10.110.0.100"

// gateway is the part of a gateway that the scenario looks at.
type gateway struct {
	Status []struct {
		Node string   `json:"node"`
		Vips []string `json:"vips"`
	} `json:"status"`
}

// holders are the nodes that say they have the VIP.
func holders(t *testing.T) (nodes []string) {
	t.Helper()
	for _, s := range read[gateway](t, "get", "gateway", "main").Status {
		if slices.Contains(s.Vips, vip) {
			nodes = append(nodes, s.Node)
		}
	}
	return nodes
}

func Test19DrainedBalancer(t *testing.T) {
	platform(t)
	settled(t)
	t.Cleanup(func() {
		for _, node := range []string{"lb-1", "lb-2"} {
			gantry(t, "", "gateway", "drain", node, "--undo")
		}
	})
	first := holder(t, "")
	tr := newTraffic(t)
	time.Sleep(3 * time.Second) // some requests before
	tr.whole(firstPhase, "first")
	second := replaced(t, first)
	tr.whole("first", "second")
	if third := replaced(t, second); third != first {
		t.Errorf("%s took the VIP from %s, want %s", third, second, first)
	}
	tr.finish("second")
}

// holder waits until exactly one node has the VIP, and it is another one.
func holder(t *testing.T, not string) (node string) {
	t.Helper()
	eventually(t, 30*time.Second, func() string {
		nodes := holders(t)
		if len(nodes) != 1 || nodes[0] == not {
			return fmt.Sprintf("%v hold the VIP", nodes)
		}
		node = nodes[0]
		return ""
	})
	return node
}

// replaced drains the node that has the VIP, kills its Nginx, takes it in
// again, and gives who has the VIP then.
func replaced(t *testing.T, node string) string {
	t.Helper()
	began := time.Now()
	must(t, "gateway", "drain", node)
	t.Logf("%s was drained in %.1f s", node, time.Since(began).Seconds())
	next := holder(t, node)
	if r := gantry(t, "", "gateway", "drain", next); r.code == 0 {
		t.Errorf("the last node was drained: %s", r.out)
	}
	pid := nginxOf(t, node)
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	eventually(t, 30*time.Second, func() string {
		if now := nginxOf(t, node); now == pid {
			return fmt.Sprintf("Nginx of %s is still %d", node, pid)
		}
		return ""
	})
	must(t, "gateway", "drain", node, "--undo")
	time.Sleep(3 * time.Second) // a VIP that came back would have come by now
	if now := holder(t, ""); now != next {
		t.Errorf("%s has the VIP after %s came back, want %s", now, node, next)
	}
	return next
}

// nginxOf is the pid of the master process of a node's Nginx for HTTP.
func nginxOf(t *testing.T, node string) int {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(local, "data", node, "run", "nginx.pid"))
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	return pid
}
