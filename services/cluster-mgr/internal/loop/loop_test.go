package loop_test

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"gantry.dev/services/cluster-mgr/internal/loop"
)

func TestEveryGoesOnAfterAFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		passes := 0
		err := loop.Every(ctx, 3*time.Second, slog.New(slog.DiscardHandler), "failed", func(context.Context, time.Time) error {
			passes++
			return errors.New("no etcd")
		})
		if passes != 3 || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%d passes, then %v", passes, err)
		}
	})
}

// rule S3: woken or not, a pass is made at the latest after resync.
func TestOnChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 12*time.Second)
		defer cancel()
		w := loop.NewWaker()
		start := time.Now()
		time.AfterFunc(time.Second, w.Wake)
		var at []time.Duration
		_ = loop.OnChange(ctx, w, 5*time.Second, slog.New(slog.DiscardHandler), "failed", func(context.Context) error {
			if at = append(at, time.Since(start)); len(at) == 1 {
				w.Wake() // twice while a pass is made: one more pass
				w.Wake()
			}
			return nil
		})
		want := []time.Duration{0, 0, time.Second, 5 * time.Second, 10 * time.Second}
		if len(at) != len(want) {
			t.Fatalf("passes at %v, want %v", at, want)
		}
		for i := range want {
			if at[i] != want[i] {
				t.Errorf("passes at %v, want %v", at, want)
			}
		}
	})
}
