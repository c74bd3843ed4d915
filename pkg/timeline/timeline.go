// Package timeline brings what several sources say into the order of time,
// while they are still speaking, in bounded memory: a source that is ahead
// waits for the reader.
package timeline

import (
	"context"
	"sync"
	"time"
)

// pending is how many entries of a source may wait.
const pending = 64

// Timeline merges sources. Each source must put its entries in the order of
// their times. Put and Close are for the sources' goroutines, Next is for one
// reader.
type Timeline[T any] struct {
	// hold is how long an entry waits for sources that are silent; negative:
	// until each has spoken or is closed.
	hold    time.Duration
	changed chan struct{}

	mu      sync.Mutex
	sources []*Source[T]
	sealed  bool
}

// New makes an empty timeline. An entry that comes later than hold after one
// of a later time comes out after it; a negative hold gives exact order.
func New[T any](hold time.Duration) *Timeline[T] {
	return &Timeline[T]{hold: hold, changed: make(chan struct{}, 1)}
}

type entry[T any] struct {
	time, arrived time.Time
	value         T
}

// Source is one voice.
type Source[T any] struct {
	timeline *Timeline[T]
	room     chan struct{} // one token for each entry that waits
	waiting  []entry[T]    // guarded by timeline.mu
	closed   bool          // guarded by timeline.mu
}

// Source adds one.
func (t *Timeline[T]) Source() *Source[T] {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := &Source[T]{timeline: t, room: make(chan struct{}, pending)}
	t.sources = append(t.sources, s)
	return s
}

// Seal says that no source will be added: Next ends after the last one.
func (t *Timeline[T]) Seal() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.sealed = true
	t.wake()
}

// Put adds an entry, and waits while too many of this source are not read yet.
func (s *Source[T]) Put(ctx context.Context, at time.Time, value T) error {
	select {
	case s.room <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	s.timeline.mu.Lock()
	defer s.timeline.mu.Unlock()
	s.waiting = append(s.waiting, entry[T]{at, time.Now(), value})
	if len(s.waiting) == 1 {
		s.timeline.wake()
	}
	return nil
}

// Close ends the source; what it put is still read.
func (s *Source[T]) Close() {
	s.timeline.mu.Lock()
	defer s.timeline.mu.Unlock()
	s.closed = true
	s.timeline.wake()
}

// wake lets Next look again. The caller holds mu.
func (t *Timeline[T]) wake() {
	select {
	case t.changed <- struct{}{}:
	default: // it will look anyway
	}
}

// Next waits for the earliest entry that is due; false when the timeline is
// sealed and all sources are closed and read, or ctx has ended.
func (t *Timeline[T]) Next(ctx context.Context) (T, bool) {
	for {
		value, ok, wait, end := t.take(time.Now())
		if ok || end {
			return value, ok
		}
		if !t.await(ctx, wait) {
			return value, false
		}
	}
}

// ready tells whether Next would not wait.
func (t *Timeline[T]) ready() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	first, silent := t.first()
	return first != nil && (!silent || t.hold >= 0 && time.Since(first.waiting[0].arrived) >= t.hold)
}

// await returns when something has changed, or after d if that is positive;
// false when ctx has ended.
func (t *Timeline[T]) await(ctx context.Context, d time.Duration) bool {
	var due <-chan time.Time
	if d > 0 {
		timer := time.NewTimer(d)
		defer timer.Stop()
		due = timer.C
	}
	select {
	case <-ctx.Done():
		return false
	case <-t.changed:
	case <-due:
	}
	return true
}

// take gives the earliest entry if it is due, or how long until it is (0:
// until something changes), or the end.
func (t *Timeline[T]) take(now time.Time) (value T, ok bool, wait time.Duration, end bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	first, silent := t.first()
	if first == nil {
		return value, false, 0, t.sealed && !silent
	}
	head := first.waiting[0]
	if silent {
		if t.hold < 0 {
			return value, false, 0, false
		}
		if left := t.hold - now.Sub(head.arrived); left > 0 {
			return value, false, left, false
		}
	}
	first.waiting[0] = entry[T]{} // let go of it
	first.waiting = first.waiting[1:]
	<-first.room
	return head.value, true, 0, false
}

// first is the source with the earliest entry, nil when none has any; silent
// tells whether an open source has nothing to say. Sources that have ended are
// forgotten. The caller holds mu.
func (t *Timeline[T]) first() (first *Source[T], silent bool) {
	open := t.sources[:0]
	for _, s := range t.sources {
		if len(s.waiting) == 0 && s.closed {
			continue
		}
		open = append(open, s)
		if len(s.waiting) == 0 {
			silent = true
			continue
		}
		if first == nil || s.waiting[0].time.Before(first.waiting[0].time) {
			first = s
		}
	}
	clear(t.sources[len(open):])
	t.sources = open
	return first, silent
}

// NextBatch is Next for what is due without waiting, most at the most; empty
// at the end.
func (t *Timeline[T]) NextBatch(ctx context.Context, most int) []T {
	first, ok := t.Next(ctx)
	if !ok {
		return nil
	}
	batch := []T{first}
	for len(batch) < most && t.ready() {
		next, ok := t.Next(ctx)
		if !ok {
			break
		}
		batch = append(batch, next)
	}
	return batch
}
