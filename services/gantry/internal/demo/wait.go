package demo

import (
	"context"
	"time"

	"gantry.dev/pkg/fault"
)

// await asks again and again until look says that it is so. look also says in
// words how things stand, for the error after too long. A part that does not
// answer is asked again.
func await(ctx context.Context, limit time.Duration, what string, look func(context.Context) (bool, string, error)) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	for state := ""; ; {
		done, now, err := look(ctx)
		switch {
		case err == nil && done:
			return nil
		case err == nil:
			state = now
		case passing(err):
			state = err.Error()
		default:
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fault.Timeout("DEMO_WAITED_IN_VAIN", "waited %s for %s; last seen: %s (%w)", limit, what, state, ctx.Err())
		}
	}
}

// passing is an error that may go away by itself.
func passing(err error) bool {
	switch fault.From(err).Kind {
	case fault.KindUnavailable, fault.KindTimeout, fault.KindConflict:
		return true
	default:
		return false
	}
}

// pause waits, so that there is something to see and to measure.
func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
