package app

import "time"

const (
	// reloadShare: in the long run reloads are at least this many times as far
	// apart as they take.
	reloadShare = 5
	// reloadCredit is how far reloads may run ahead of their share, so that a
	// change after a quiet time goes out at once.
	reloadCredit = 10 * time.Second
)

// pace spaces reloads.
type pace struct {
	// Least time from the end of one to the next.
	least time.Duration

	last time.Time
	// When the reloads so far have had their share.
	paid time.Time
}

// reloaded counts a reload that ended now and took so long.
func (p *pace) reloaded(now time.Time, took time.Duration) {
	if p.paid.Before(now) {
		p.paid = now
	}
	p.last, p.paid = now, p.paid.Add(reloadShare*took)
}

// wait is how long the next reload has to wait.
func (p *pace) wait(now time.Time) time.Duration {
	return max(0, p.last.Add(p.least).Sub(now), p.paid.Add(-reloadCredit).Sub(now))
}
