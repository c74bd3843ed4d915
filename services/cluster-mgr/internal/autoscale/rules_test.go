package autoscale

import (
	"testing"
)

// since is a history of one wanted number, from so many seconds ago until so many.
func since(first, last int64, desired int) []Recommendation {
	var h []Recommendation
	for at := now - first; at < now-last; at += 30 {
		h = append(h, Recommendation{AtUnix: at, Desired: desired})
	}
	return append(h, Recommendation{AtUnix: now - last, Desired: desired})
}

// rule A2: not a second is missing from the window, and nothing is taken away over a gap in it.
func TestTheWholeWindow(t *testing.T) {
	cases := []struct {
		name    string
		history []Recommendation
		want    string
	}{
		{"whole", since(300, 30, 2), ActionDown},
		{"a second too short", since(299, 30, 2), ActionHold},
		{"the longest pause between two rounds", since(300, 90, 2), ActionDown},
		{"a longer one", since(300, 91, 2), ActionHold},
		{"it begins anew", nil, ActionHold},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			in := app(4, 25)
			in.History = tc.history
			if d := Decide(in); d.Action != tc.want {
				t.Errorf("%s: %s", d.Action, d.Reason)
			}
		})
	}
}

// Rules A2 and A3: growing on incomplete data ends the window as a hold does, whichever data is missing.
func TestGrowingInTheDarkEndsTheWindow(t *testing.T) {
	for name, hide := range map[string]func(*Input){
		"a sample":  func(in *Input) { in.Metrics[0].Samples[0].Missing = true },
		"a cluster": func(in *Input) { in.Clusters[1].Observed = false },
		"a pod":     func(in *Input) { in.Clusters[0].Replicas++ },
	} {
		t.Run(name, func(t *testing.T) {
			in := app(4, 200)
			load(&in, "site-b", 2, 200)
			in.History = quiet(6)
			if d := Decide(in); d.Action != ActionUp || len(d.History) == 0 {
				t.Fatalf("nothing is missing: %s, %d remembered", d.Action, len(d.History))
			}
			hide(&in)
			if d := Decide(in); d.Action != ActionUp || d.History != nil {
				t.Errorf("%s, %d remembered", d.Action, len(d.History))
			}
		})
	}
}
