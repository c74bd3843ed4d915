// Package gather lets callers who ask the same at the same time share one
// answer that is as good as an own one.
package gather

import (
	"context"
	"sync"
	"time"
)

// timeout bounds one read: whoever waits behind it must still have time for
// an own one.
const timeout = 4 * time.Second

// Reader shares reads. A caller gets the result of a read that began after it
// asked, so it never hears what was true only before; a hundred callers at
// once need two reads, not a hundred. Safe for concurrent use.
type Reader[T any] struct {
	read func(context.Context) (T, error)

	mu      sync.Mutex
	running bool
	next    *round[T] // waits for the running one to end
}

// round is one read and those who wait for it.
type round[T any] struct {
	done  chan struct{} // closed when value and err are set
	value T
	err   error
}

// New makes a reader. The callers' contexts do not reach read: it works for
// all of them. What it gives is shared, so nobody may change it.
func New[T any](read func(context.Context) (T, error)) *Reader[T] {
	return &Reader[T]{read: read}
}

// Get waits for a read that begins from now on, or until ctx ends.
func (r *Reader[T]) Get(ctx context.Context) (T, error) {
	mine := r.join()
	select {
	case <-mine.done:
		return mine.value, mine.err
	case <-ctx.Done():
		var none T
		return none, ctx.Err()
	}
}

func (r *Reader[T]) join() *round[T] {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.next == nil {
		r.next = &round[T]{done: make(chan struct{})}
	}
	mine := r.next
	if !r.running {
		r.running = true
		go r.run()
	}
	return mine
}

// run reads until nobody waits.
func (r *Reader[T]) run() {
	for mine := r.begin(); mine != nil; mine = r.begin() {
		ctx, cancel := context.WithTimeout(context.Background(), timeout)
		mine.value, mine.err = r.read(ctx)
		cancel()
		close(mine.done)
	}
}

func (r *Reader[T]) begin() *round[T] {
	r.mu.Lock()
	defer r.mu.Unlock()
	mine := r.next
	r.next, r.running = nil, mine != nil
	return mine
}
