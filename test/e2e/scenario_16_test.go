package e2e

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"gantry.dev/test/e2e/clock"
)

// wrong is how far a clock is off.
const wrong = 5 * time.Minute

// clocks are the parts whose clocks go wrong, with what tells the date.
var clocks = map[string]string{
	"cluster-mgr-1": "127.0.0.1:7091", "cluster-mgr-2": "127.0.0.1:7092",
	"site-a-ipaas": "10.111.0.1:7190", "site-b-ipaas": "10.112.0.1:7190",
	"lb-1-ingress-agent": "10.110.0.11:7390", "lb-2-ingress-agent": "10.110.0.12:7390",
}

// rules A1, S4: what time it is decides nothing.
func Test16WrongClocks(t *testing.T) {
	platform(t)
	settled(t)
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	offsets := scatter(rand.New(rand.NewPCG(seed, 0)))
	tr := newTraffic(t)
	// Far more than the most replicas can serve: what a busy machine takes from
	// the pods is no reason to shrink.
	tr.say(control{Rate: 100, Burn: "5ms"})
	few := strings.Replace(manifest(t, "stabilizationSeconds: 30", "stabilizationSeconds: 5"), "maxReplicas: 10", "maxReplicas: 6", 1)
	applies(t, few)
	grown := grows(t, 6)
	since, known := time.Now(), len(operations(t))
	before := map[string]string{"site-a": identities(t, "site-a"), "site-b": identities(t, "site-b")}
	w := newWriter(t)
	for range 2 {
		undo := scattered(t, offsets)
		holds(t, grown, 2*shortWindow)
		for site, had := range before {
			if have := identities(t, site); have != had {
				t.Errorf("%s had\n%s\nand has\n%s", site, had, have)
			}
			if c := clusterOf(t, site); c.TrafficPercent != 100 || c.Health.State != "STATE_HEALTHY" {
				t.Errorf("%s: %+v", site, c)
			}
		}
		undo()
		for name := range offsets {
			offsets[name] = -offsets[name]
		}
	}
	holds(t, grown, shortWindow) // the way back is a jump too
	accepted := w.finish()
	kept := must(t, "get", "projects", "-o", "name")
	for _, name := range accepted {
		if !strings.Contains(kept, name+"\n") {
			t.Errorf("the accepted project %s is lost", name)
		}
	}
	t.Logf("%d changes were accepted, %d refused: %v", len(accepted), w.refused, w.why)
	if len(accepted) == 0 {
		t.Fatal("no change was accepted")
	}
	deleted(t, accepted)
	noScaleDown(t, since)
	if n := len(operations(t)); n != known {
		t.Errorf("%d operations, before it were %d", n, known)
	}
	tr.whole(firstPhase, "after")
	tr.say(control{Rate: 10, Burn: "0s"})
	applies(t, manifest(t, "", ""))
	settled(t)
	tr.finish("after")
}

// deleted deletes projects, again where a connection broke: gRPC takes a clock
// that jumps back for silence and closes the connection, and portal repeats no
// change of its own accord.
func deleted(t *testing.T, projects []string) {
	t.Helper()
	eventually(t, time.Minute, func() string {
		kept := must(t, "get", "projects", "-o", "name")
		left := slices.DeleteFunc(slices.Clone(projects), func(name string) bool { return !strings.Contains(kept, name+"\n") })
		if len(left) == 0 {
			return ""
		}
		r := gantry(t, "", append([]string{"delete", "project"}, left...)...)
		return fmt.Sprintf("%d projects were left: %s", len(left), r.err)
	})
}

// scatter gives every part a clock that is ahead or behind; of two that do the
// same work, one is ahead and one behind.
func scatter(random *rand.Rand) map[string]time.Duration {
	offsets := map[string]time.Duration{}
	names := slices.Sorted(maps.Keys(clocks))
	for pair := range slices.Chunk(names, 2) {
		by := wrong
		if random.IntN(2) == 0 {
			by = -wrong
		}
		offsets[pair[0]], offsets[pair[1]] = by, -by
	}
	return offsets
}

// scattered sets the clocks, and asserts that they are so until undo.
func scattered(t *testing.T, offsets map[string]time.Duration) (undo func()) {
	t.Helper()
	var back []func()
	now := parts(t)
	for name, by := range offsets {
		back = append(back, moves(t, now[name].PID, by, clock.Wall))
	}
	for name, by := range offsets {
		ahead(t, name, clocks[name], by)
	}
	t.Logf("%v", offsets)
	return func() {
		t.Helper()
		for name, by := range offsets {
			ahead(t, name, clocks[name], by) // it has not been started anew meanwhile
		}
		for _, undo := range back {
			undo()
		}
		for name := range offsets {
			ahead(t, name, clocks[name], 0)
		}
	}
}

// identities names every Deployment of Gantry in a site, whatever its replicas.
func identities(t *testing.T, site string) string {
	t.Helper()
	var all []string
	for line := range strings.Lines(deployments(t, site)) {
		all = append(all, strings.Join(first(strings.Fields(line), 2), " "))
	}
	return strings.Join(all, "\n")
}
