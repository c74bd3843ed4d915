package app

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

// rule I5: in the long run reloads take at most their share of the time, never
// two come within the least pause, and a quiet node reloads at once.
func TestPace(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		start := time.Unix(1000, 0)
		p, now, busy := pace{least: 2 * time.Second}, start, time.Duration(0)
		last := time.Time{}
		for range 50 {
			now = now.Add(time.Duration(rapid.Int64Range(0, int64(20*time.Second)).Draw(t, "quiet")))
			wait := p.wait(now)
			if wait > 0 && now.Sub(last) > time.Minute*10 {
				t.Fatalf("waits %s after a quiet time", wait)
			}
			now = now.Add(wait)
			if now.Sub(last) < p.least {
				t.Fatalf("a reload %s after another", now.Sub(last))
			}
			if limit := (now.Sub(start) + reloadCredit) / reloadShare; busy > limit {
				t.Fatalf("reloads took %s of %s", busy, now.Sub(start))
			}
			took := time.Duration(rapid.Int64Range(0, int64(15*time.Second)).Draw(t, "took"))
			now = now.Add(took)
			p.reloaded(now, took)
			last, busy = now, busy+took
		}
	})
	if wait := (&pace{least: time.Second}).wait(time.Unix(1000, 0)); wait != 0 {
		t.Errorf("the first waits %s", wait)
	}
}
