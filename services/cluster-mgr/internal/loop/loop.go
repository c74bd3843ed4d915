// Package loop repeats the passes of which everything that the leader does by
// itself is made. A pass that fails is logged and made again: what it has not
// done, the next one finds.
package loop

import (
	"context"
	"log/slog"
	"time"

	"gantry.dev/services/cluster-mgr/internal/store"
	"golang.org/x/sync/errgroup"
)

// Every makes a pass per interval until ctx ends. complaint says in the log
// what a failed pass means.
func Every(ctx context.Context, interval time.Duration, logger *slog.Logger, complaint string, pass func(context.Context, time.Time) error) error {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case now := <-tick.C:
			run(ctx, logger, complaint, func(ctx context.Context) error { return pass(ctx, now) })
		}
	}
}

// Waker wakes one OnChange. Waking twice before a pass is waking once.
type Waker chan struct{}

// NewWaker makes a waker.
func NewWaker() Waker { return make(Waker, 1) }

// Wake asks for a pass.
func (w Waker) Wake() {
	select {
	case w <- struct{}{}:
	default:
	}
}

// OnChange makes a pass at once, whenever it is woken, and at the latest after
// resync (rule S3), until ctx ends.
func OnChange(ctx context.Context, w Waker, resync time.Duration, logger *slog.Logger, complaint string, pass func(context.Context) error) error {
	tick := time.NewTicker(resync)
	defer tick.Stop()
	for {
		run(ctx, logger, complaint, pass)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-w:
		case <-tick.C:
		}
	}
}

// Rest waits until it is woken, for a time at most; a nil waker wakes nobody.
// It fails only when ctx ends.
func Rest(ctx context.Context, w Waker, wait time.Duration) error {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-w:
	case <-timer.C:
	}
	return nil
}

// Watch wakes w after each change of a collection, from a goroutine of group.
func Watch[T any](ctx context.Context, group *errgroup.Group, c *store.Collection[T], w Waker) {
	group.Go(func() error {
		return c.Watch(ctx, "", 0, func(store.Event[T]) error {
			w.Wake()
			return nil
		})
	})
}

func run(ctx context.Context, logger *slog.Logger, complaint string, pass func(context.Context) error) {
	if err := pass(ctx); err != nil && ctx.Err() == nil {
		logger.Warn(complaint, "error", err.Error())
	}
}
