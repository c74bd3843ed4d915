package e2e

import (
	"fmt"
	"syscall"
	"testing"
	"time"
)

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
	tr.finish(firstPhase)
}
