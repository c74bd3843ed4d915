package e2e

import (
	"strings"
	"testing"
	"time"
)

func Test05DeadStore(t *testing.T) {
	platform(t)
	before := settled(t)
	tr := newTraffic(t)
	wake := hang(t, "etcd")
	r := gantry(t, manifest(t, "drainSeconds: 5", "drainSeconds: 7"), "apply", "-f", "-")
	if r.code != 7 && r.code != 6 || !strings.Contains(r.err, "next:") {
		t.Errorf("a change without a store: exit code %d, %s", r.code, r.err)
	}
	start, _ := tr.seen()
	time.Sleep(10 * time.Second) // the time in which traffic must go on
	if end, failed := tr.seen(); end-start < 500 || len(failed) > 0 {
		t.Errorf("%d requests were answered in 10 s, these failed: %v", end-start, first(failed, 5))
	}
	wake()
	eventually(t, 2*time.Minute, func() string {
		if r := gantry(t, manifest(t, "drainSeconds: 5", "drainSeconds: 7"), "apply", "-f", "-"); r.code != 0 {
			return r.err
		}
		return ""
	})
	if after := settled(t); after.Status.Release != before.Status.Release+1 {
		t.Errorf("release %d, then %d", before.Status.Release, after.Status.Release)
	}
	tr.finish(firstPhase)
}
