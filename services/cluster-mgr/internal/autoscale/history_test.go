package autoscale

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestWindow(t *testing.T) {
	cases := []struct {
		name    string
		history []Recommendation
		want    want
	}{
		{"nothing known yet", nil,
			want{8, ActionHold, ReasonWindow, "8 pods, sum 160 %, target 50 % → 3.2 → 3"}},
		{"known for half of it", quiet(3)[5:],
			want{8, ActionHold, ReasonWindow, "8 pods, sum 160 %, target 50 % → 3.2 → 3"}},
		{"low through all of it", quiet(3),
			want{3, ActionDown, ReasonBelowTarget, "8 pods, sum 160 %, target 50 % → 3.2 → 3"}},
		{"down to the highest of it", with2(quiet(3), 4, 5),
			want{5, ActionDown, ReasonBelowTarget, "8 pods, sum 160 %, target 50 % → 3.2 → 3, highest in 300 s → 5"}},
		{"all needed within it", with2(quiet(3), 4, 8),
			want{8, ActionHold, ReasonWindow, "8 pods, sum 160 %, target 50 % → 3.2 → 3"}},
		// rule A2
		{"a gap before now", quiet(3)[:6],
			want{8, ActionHold, ReasonWindow, "8 pods, sum 160 %, target 50 % → 3.2 → 3"}},
		{"written by a clock ahead", []Recommendation{{now - 300, 3}, {now + 60, 3}},
			want{8, ActionHold, ReasonWindow, "8 pods, sum 160 %, target 50 % → 3.2 → 3"}},
		{"out of order", []Recommendation{{now - 10, 3}, {now - 400, 3}, {now - 20, 3}},
			want{8, ActionHold, ReasonWindow, "8 pods, sum 160 %, target 50 % → 3.2 → 3"}},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			in := app(8, 20)
			in.History = tc.history
			check(t, Decide(in), tc.want)
		})
	}
}

func with2(h []Recommendation, i, desired int) []Recommendation {
	h[i].Desired = desired
	return h
}

func TestNoWindow(t *testing.T) {
	in := app(8, 20)
	in.Policy.WindowSeconds = -1
	check(t, Decide(in), want{3, ActionDown, ReasonBelowTarget, "8 pods, sum 160 %, target 50 % → 3.2 → 3"})
}

func TestStepDown(t *testing.T) {
	in := app(8, 20)
	in.History, in.Policy.MaxStepDown = quiet(3), 2
	check(t, Decide(in), want{6, ActionDown, ReasonBelowTarget, "8 pods, sum 160 %, target 50 % → 3.2 → 3, at most -2 at once → 6"})
}

// The history keeps one recommendation at or before the start of the window, and not more.
func TestHistoryIsPruned(t *testing.T) {
	in := app(8, 20)
	in.Policy.WindowSeconds = 60
	in.History = quiet(3)
	d := Decide(in)
	want := []Recommendation{{now - 60, 3}, {now - 30, 3}, {now, 3}}
	if diff := cmp.Diff(want, d.History); diff != "" {
		t.Errorf("history (-want +got):\n%s", diff)
	}
}

// Two decisions in one second are one recommendation, the larger.
func TestHistoryOfOneSecond(t *testing.T) {
	in := app(8, 20)
	in.History = []Recommendation{{now, 7}}
	if diff := cmp.Diff([]Recommendation{{now, 7}}, Decide(in).History); diff != "" {
		t.Errorf("history (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]Recommendation{{now, 7}}, in.History); diff != "" {
		t.Errorf("the input was changed (-want +got):\n%s", diff)
	}
}

// Load falls at minute 2 with a window of 5: the app shrinks at minute 7, not earlier.
func TestShrinksAWindowAfterTheLoadFell(t *testing.T) {
	var history []Recommendation
	for at := int64(0); at <= 600; at += 30 {
		percent := 50.0
		if at >= 120 {
			percent = 20
		}
		in := app(8, percent)
		in.NowUnix, in.History = at, history
		d := Decide(in)
		history = d.History
		if d.Action == ActionDown {
			if at != 420 {
				t.Errorf("shrank at %d s, want 420", at)
			}
			return
		}
	}
	t.Error("never shrank")
}
