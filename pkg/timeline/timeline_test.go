package timeline_test

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"gantry.dev/pkg/timeline"
	"pgregory.net/rapid"
)

// read gives everything until the end.
func read[T any](ctx context.Context, t *timeline.Timeline[T]) (all []T) {
	for {
		batch := t.NextBatch(ctx, 10)
		if len(batch) == 0 {
			return all
		}
		all = append(all, batch...)
	}
}

// Whatever the sources have and whoever is faster: everything comes out once,
// in the order of time.
func TestExactOrder(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		lists := rapid.SliceOfN(rapid.SliceOfN(rapid.Int64Range(0, 1000), 0, 200), 0, 5).Draw(r, "sources")
		line := timeline.New[int64](-1)
		var want []int64
		for _, list := range lists {
			slices.Sort(list)
			want = append(want, list...)
			source := line.Source()
			go func() {
				defer source.Close()
				for _, n := range list {
					_ = source.Put(t.Context(), time.Unix(n, 0), n)
				}
			}()
		}
		line.Seal()
		slices.Sort(want)
		if got := read(t.Context(), line); !slices.Equal(got, want) {
			r.Fatalf("got %v, want %v", got, want)
		}
	})
}

func TestASilentSourceHoldsNobodyForLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		line := timeline.New[string](200 * time.Millisecond)
		talks, silent := line.Source(), line.Source()
		line.Seal()
		begin := time.Now()
		go func() {
			_ = talks.Put(t.Context(), begin.Add(time.Second), "later")
			time.Sleep(100 * time.Millisecond)
			_ = silent.Put(t.Context(), begin, "earlier")
			time.Sleep(time.Second)
			_ = silent.Put(t.Context(), begin, "too late for its place")
			talks.Close()
			silent.Close()
		}()
		var got []string
		for v, ok := line.Next(t.Context()); ok; v, ok = line.Next(t.Context()) {
			got = append(got, v)
			if v == "later" && time.Since(begin) != 200*time.Millisecond {
				t.Errorf("it came after %s", time.Since(begin))
			}
		}
		if want := []string{"earlier", "later", "too late for its place"}; !slices.Equal(got, want) {
			t.Errorf("got %q", got)
		}
	})
}

func TestASourceThatIsAheadWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		line := timeline.New[int](-1)
		source := line.Source()
		put := 0
		go func() {
			defer source.Close()
			for ; put < 1000; put++ {
				if source.Put(t.Context(), time.Unix(int64(put), 0), put) != nil {
					return
				}
			}
		}()
		synctest.Wait()
		if put >= 100 {
			t.Errorf("%d entries wait in memory", put)
		}
		line.Seal()
		if got := read(t.Context(), line); len(got) != 1000 {
			t.Errorf("%d came out", len(got))
		}
	})
}

func TestNextEndsWithItsContext(t *testing.T) {
	line := timeline.New[int](0)
	line.Source()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, ok := line.Next(ctx); ok {
		t.Error("nothing was there")
	}
}
