package gather_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"gantry.dev/pkg/gather"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A caller never gets a read that began before it asked. rule S2
func TestAReadBeginsAfterTheQuestion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var world, reads atomic.Int64
		r := gather.New(func(context.Context) (int64, error) {
			reads.Add(1)
			seen := world.Load()
			time.Sleep(10 * time.Millisecond)
			return seen, nil
		})
		var group sync.WaitGroup
		for range 100 {
			group.Go(func() {
				for range 20 {
					before := world.Add(1)
					if got, err := r.Get(t.Context()); err != nil || got < before {
						t.Errorf("%d, %v: older than the question at %d", got, err, before)
					}
				}
			})
		}
		group.Wait()
		if n := reads.Load(); n > 50 {
			t.Errorf("%d reads for 2000 questions, want them shared", n)
		}
	})
}

func TestACallerThatLeavesLeavesTheOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := gather.New(func(ctx context.Context) (int, error) {
			select {
			case <-time.After(time.Second):
				return 7, nil
			case <-ctx.Done():
				return 0, ctx.Err()
			}
		})
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		var group sync.WaitGroup
		group.Go(func() {
			if _, err := r.Get(ctx); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%v, want the caller's own deadline", err)
			}
		})
		group.Go(func() {
			if got, err := r.Get(t.Context()); got != 7 || err != nil {
				t.Errorf("%d, %v, want the answer", got, err)
			}
		})
		group.Wait()
		time.Sleep(2 * time.Second) // until the read for the one that left has ended
	})
}

func TestAHangingReadEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := gather.New(func(ctx context.Context) (int, error) {
			<-ctx.Done()
			return 0, ctx.Err()
		})
		if _, err := r.Get(t.Context()); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v, want a deadline", err)
		}
	})
}
