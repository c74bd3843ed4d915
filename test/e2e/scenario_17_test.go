package e2e

import (
	"regexp"
	"testing"
	"time"
)

// shares is the part of an app that a shift changes.
type shares struct {
	Status struct {
		TrafficShares map[string]int `json:"trafficShares"`
	} `json:"status"`
}

func Test17TrafficShift(t *testing.T) {
	platform(t)
	settled(t)
	t.Cleanup(func() { gantry(t, "", "traffic", "reset", "hello", "-p", "demo") })
	if r := gantry(t, "", "traffic", "shift", "hello", "--to", "site-x=50", "-p", "demo"); r.code != 3 {
		t.Errorf("a shift to a cluster that does not exist: exit code %d: %s", r.code, r.err)
	}
	tr := newTraffic(t)
	time.Sleep(3 * time.Second) // some requests before
	tr.whole(firstPhase, "shift")
	began := time.Now()
	op := shift(t, "traffic", "shift", "hello", "--to", "site-b=100", "--step", "10", "--every", "1s", "-p", "demo")
	t.Logf("5 steps with pauses of 1 s took %.1f s", time.Since(began).Seconds())
	tr.whole("shift", "at site-b")
	if a := read[shares](t, "get", "app", "hello", "-p", "demo"); a.Status.TrafficShares["clusters/site-b"] != 100 {
		t.Errorf("shares are %v", a.Status.TrafficShares)
	}
	time.Sleep(5 * time.Second)
	there := tr.whole("at site-b", "reverse")
	if n := there.byCluster["site-a"]; n > 0 || there.byCluster["site-b"] == 0 {
		t.Errorf("after the shift: %v", there.byCluster)
	}
	shift(t, "operation", "reverse", op)
	tr.whole("reverse", "back")
	time.Sleep(3 * time.Second)
	back := tr.whole("back", "end")
	if back.byCluster["site-a"] == 0 || back.byCluster["site-b"] == 0 {
		t.Errorf("after the way back: %v", back.byCluster)
	}
	if a := read[shares](t, "get", "app", "hello", "-p", "demo"); len(a.Status.TrafficShares) > 0 {
		t.Errorf("shares are %v", a.Status.TrafficShares)
	}
}

// shift runs a command that follows an operation, and gives the operation's id.
func shift(t *testing.T, args ...string) string {
	t.Helper()
	out := must(t, args...)
	id := regexp.MustCompile(`operation/(\S+) Succeeded`).FindStringSubmatch(out)
	if id == nil {
		t.Fatalf("%v: %s", args, out)
	}
	return id[1]
}
