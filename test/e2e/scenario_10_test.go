package e2e

import (
	"fmt"
	"testing"
	"time"

	"gantry.dev/test/e2e/clock"
)

// terms is three times what a leader's lease lives.
const terms = 3 * 6 * time.Second

// managers are the metrics of both instances of cluster-mgr by name.
var managers = map[string]string{"cluster-mgr-1": "127.0.0.1:7091", "cluster-mgr-2": "127.0.0.1:7092"}

// queued is how many apps are left to be changed when the leader falls asleep.
const queued = 10

// naps is how often a leader is put to sleep until one has tried to write: it
// may have been done with its work when it fell asleep.
const naps = 4

// rules S1, S2: an old leader that wakes up and does not know that it slept
// writes nothing.
func Test10LeaderSleeps(t *testing.T) {
	platform(t)
	before := settled(t)
	crowd := newCrowd(t, queued)
	tr := newTraffic(t)
	stale := staleEpochs(t)
	var next string
	for nap := 1; staleEpochs(t) == stale; nap++ {
		if nap > naps {
			t.Fatalf("%d sleepers have tried nothing", naps)
		}
		next = oversleeps(t, crowd, stale)
	}
	const more = 10
	changed := converged(t, 0)
	burst(t, more)
	want := changed.Status.Release + more
	keeps(t, want, 12*time.Second)
	converged(t, want)
	crowd.holds()
	if leads := leader(t, ""); leads != next {
		t.Errorf("%s leads, %s did", leads, next)
	}
	t.Logf("%.0f stale writes were tried, and refused by ipaas; release %d, then %d", staleEpochs(t)-stale, before.Status.Release, want)
	tr.finish(firstPhase)
}

// oversleeps puts the leader to sleep in the middle of work, for longer than it
// may lead, and gives who leads then. It has brought an app's files to one site
// and waits for the other, which answers only when it sleeps: when it wakes up
// it goes on with the app. No clock of it has counted the time, as in a machine
// that was suspended or moved, so only the store can tell it that its term is
// over, and all that was changed meanwhile is news to it.
func oversleeps(t *testing.T, c *crowd, stale float64) (next string) {
	t.Helper()
	old := leader(t, "")
	pid := pidOf(t, old)
	answer := hang(t, "site-b-ipaas")
	c.change()
	c.isBrought("site-a")
	wake := hang(t, old)
	answer()
	asleep := time.Now()
	next = leader(t, old)
	t.Logf("%s sleeps, %s leads after %.1f s", old, next, time.Since(asleep).Seconds())
	changes(t, 10)
	c.change()
	// No longer than needed: after 25 s ipaas takes a silent caller for dead.
	time.Sleep(time.Until(asleep.Add(terms)))
	slept := time.Since(asleep).Truncate(time.Second)
	defer moves(t, pid, -slept, clock.Steady, clock.Wall)()
	wake()
	for end := time.Now().Add(terms / 3); staleEpochs(t) == stale && time.Now().Before(end); {
		time.Sleep(200 * time.Millisecond)
	}
	return next
}

// keeps looks at what was accepted all the time: it stays, in the store and in
// the clusters.
func keeps(t *testing.T, release int, during time.Duration) {
	t.Helper()
	newest := map[string]int{}
	for end := time.Now().Add(during); time.Now().Before(end); time.Sleep(500 * time.Millisecond) {
		now := read[app](t, "get", "app", "hello", "-p", "demo")
		if now.Status.Release != release {
			t.Fatalf("release %d, want %d: a sleeper's write was accepted", now.Status.Release, release)
		}
		for _, part := range now.Status.Assignments {
			if part.Release < newest[part.Cluster] {
				t.Fatalf("%s went back from release %d to %d", part.Cluster, newest[part.Cluster], part.Release)
			}
			newest[part.Cluster] = part.Release
		}
	}
}

// leader waits until exactly one instance leads.
func leader(t *testing.T, not string) string {
	t.Helper()
	var name string
	eventually(t, 30*time.Second, func() string {
		var leading []string
		for n, address := range managers {
			if n != not && metric(t, address, "gantry_leading") == 1 {
				leading = append(leading, n)
			}
		}
		if len(leading) != 1 {
			return fmt.Sprintf("these lead: %v", leading)
		}
		name = leading[0]
		return ""
	})
	return name
}

// staleEpochs counts the changes that both sites refused as those of an old leader.
func staleEpochs(t *testing.T) float64 {
	t.Helper()
	sum := 0.0
	for _, address := range []string{"10.111.0.1:7190", "10.112.0.1:7190"} {
		sum += metric(t, address, "gantry_ipaas_stale_epochs_total")
	}
	return sum
}

// burst makes n releases of the app, one after the other, so that its leader is
// busy, and does not wait for them.
func burst(t *testing.T, n int) {
	t.Helper()
	r := newREST(t)
	for i := range n {
		eventually(t, time.Minute, func() string {
			code, answer := r.call("PATCH", appURL, fmt.Sprintf(`{"spec":{"graceSeconds":%d}}`, 40+i%2))
			if code != 200 {
				return fmt.Sprint(answer) // 409: a loop wrote at the same moment
			}
			return ""
		})
	}
}

// changes changes the app through whoever answers, and gives it as settled.
func changes(t *testing.T, drain int) app {
	t.Helper()
	applies(t, manifest(t, "drainSeconds: 5", fmt.Sprintf("drainSeconds: %d", drain)))
	return converged(t, 0)
}

// converged waits until every cluster has the newest release, or this one.
func converged(t *testing.T, want int) app {
	t.Helper()
	var a app
	eventually(t, time.Minute, func() string {
		a = settled(t)
		for _, part := range a.Status.Assignments {
			if part.Release != a.Status.Release || want != 0 && part.Release != want {
				return fmt.Sprintf("%s has release %d of %d", part.Cluster, part.Release, a.Status.Release)
			}
		}
		return ""
	})
	return a
}
