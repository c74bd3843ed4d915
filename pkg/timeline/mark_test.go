package timeline_test

import (
	"slices"
	"testing"
	"time"

	"gantry.dev/pkg/timeline"
	"pgregory.net/rapid"
)

// However often a log is read again, from wherever before its mark: each entry
// is new once.
func TestMark(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		log := rapid.SliceOfN(rapid.Int64Range(0, 20), 1, 50).Draw(r, "times")
		slices.Sort(log)
		var mark timeline.Mark
		var read []int64
		for have := 0; have < len(log); {
			have = rapid.IntRange(have+1, len(log)).Draw(r, "written")
			mark.Resume()
			for _, second := range log[:have] {
				if at := time.Unix(second, 0); !at.Before(mark.Last().Truncate(10*time.Second)) && mark.New(at) {
					read = append(read, second)
				}
			}
		}
		if !slices.Equal(read, log) {
			r.Fatalf("read %v of %v", read, log)
		}
	})
}
