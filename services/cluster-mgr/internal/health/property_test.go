package health

import (
	"encoding/json"
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// anySite draws what observers see.
func anySite(t *rapid.T) site {
	return site{
		ipaas:   rapid.Bool().Draw(t, "ipaas"),
		api:     rapid.Bool().Draw(t, "api"),
		nodes:   rapid.SampledFrom([]float64{0, 0.5, 1}).Draw(t, "nodes"),
		pods:    rapid.SampledFrom([]float64{0, 0.3, 1}).Draw(t, "pods"),
		probed:  rapid.Bool().Draw(t, "probed"),
		foreign: rapid.IntRange(0, 9).Draw(t, "foreign") == 0,
	}
}

// story plays up to eight scenes and calls after each look.
func story(t *rapid.T, filter func([]Observation) []Observation, after func(w *watch, before State)) {
	w := newWatch()
	for range rapid.IntRange(1, 8).Draw(t, "scenes") {
		s := anySite(t)
		for range rapid.IntRange(1, 40).Draw(t, "looks") {
			before := w.state
			w.hear(func(at int64) []Observation { return filter(s.look(at)) }, tick/1000)
			after(w, before)
		}
	}
}

func all(obs []Observation) []Observation { return obs }

func TestOneVantagePointNeverMakesDown(t *testing.T) {
	// rule C4
	rapid.Check(t, func(t *rapid.T) {
		only := rapid.SampledFrom([]string{"cluster-mgr-1", "ipaas.site-b", "ingress-agent.main.lb-1"}).Draw(t, "vantage")
		one := func(obs []Observation) []Observation {
			return slices.DeleteFunc(obs, func(o Observation) bool { return o.Vantage != only })
		}
		story(t, one, func(w *watch, _ State) {
			if w.state.Verdict == Down {
				t.Fatalf("DOWN by %s alone: %v", only, w.state.Evidence)
			}
		})
	})
}

func TestDownIsProven(t *testing.T) {
	// rule C4
	rapid.Check(t, func(t *rapid.T) {
		story(t, all, func(w *watch, before State) {
			if w.state.Verdict != Down || !w.state.Changed {
				return
			}
			witnesses := map[string]bool{}
			for _, v := range w.state.Voices {
				if v.Failures >= 3 && w.now-tick-v.FirstFailureUnixMilli >= 30_000 {
					witnesses[v.Vantage] = true
				}
				if v.Subject == SubjectPods && v.Ratio > 0 && v.fresh(w.now, Settings{}.withDefaults()) {
					t.Fatalf("DOWN although pods answer: %v", w.state.Evidence)
				}
			}
			if len(witnesses) < 2 {
				t.Fatalf("DOWN by %d witnesses: %v", len(witnesses), w.state.Evidence)
			}
		})
	})
}

func TestLeavingDownTakesItsTime(t *testing.T) {
	// rule C4
	rapid.Check(t, func(t *rapid.T) {
		story(t, all, func(w *watch, before State) {
			left := before.Verdict == Down && w.state.Verdict != Down
			if left && w.state.Verdict != Unknown && w.now-tick-before.SinceUnixMilli < 60_000 {
				t.Fatalf("left DOWN after %d ms: %v", w.now-tick-before.SinceUnixMilli, w.changes)
			}
		})
	})
}

func TestSwitchesAreFarApart(t *testing.T) {
	// rule C4
	rapid.Check(t, func(t *rapid.T) {
		story(t, all, func(w *watch, _ State) {
			if w.allowed > 1 && w.now-start < 3_600_000 {
				t.Fatalf("%d switches within an hour: %v", w.allowed, w.changes)
			}
			if w.state.SwitchAllowed && w.state.Verdict != Down {
				t.Fatalf("a switch is allowed while %s", w.state.Verdict)
			}
		})
	})
}

func TestForeignClusterIsNeverDown(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		story(t, all, func(w *watch, _ State) {
			for _, v := range w.state.Voices {
				if v.Subject == SubjectIdentity && !v.OK && w.state.Verdict != Unknown {
					t.Fatalf("%s with a wrong identity", w.state.Verdict)
				}
			}
		})
	})
}

func TestMassFailureNeverMakesDown(t *testing.T) {
	// rule C3
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(2, 5).Draw(t, "clusters")
		f := newFleet([]string{"a", "b", "c", "d", "e"}[:n]...)
		deadOnes := rapid.IntRange(max(2, (n+1)/2), n).Draw(t, "dead")
		sites := []site{}
		for i := range n {
			s := well()
			if i < deadOnes {
				s = dead()
			}
			sites = append(sites, s)
		}
		f.see(int64(rapid.IntRange(2, 200).Draw(t, "seconds")), sites...)
		for _, s := range f.last.States {
			if s.State.Verdict == Down {
				t.Fatalf("%s is DOWN: %s", s.Name, f.verdicts())
			}
		}
	})
}

func TestOrderOfInputDoesNotMatterAndReplayIsByteForByte(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := newFleet("site-a", "site-b", "site-c")
		for range rapid.IntRange(1, 3).Draw(t, "scenes") {
			f.see(int64(rapid.IntRange(2, 60).Draw(t, "seconds")), anySite(t), anySite(t), anySite(t))
		}
		in := f.input
		want := encode(t, DecideAll(in))
		var stored Input
		if err := json.Unmarshal([]byte(encode(t, in)), &stored); err != nil {
			t.Fatal(err)
		}
		r := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 1))
		r.Shuffle(len(stored.Clusters), func(i, j int) {
			stored.Clusters[i], stored.Clusters[j] = stored.Clusters[j], stored.Clusters[i]
		})
		for _, c := range stored.Clusters {
			slices.Reverse(c.Observations)
		}
		if got := encode(t, DecideAll(stored)); got != want {
			t.Fatalf("replay differs:\n%s\n%s", want, got)
		}
	})
}

func encode(t interface{ Fatal(...any) }, v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// Stored inputs are read back from JSON: whatever is in there, nothing panics.
func FuzzDecideAll(f *testing.F) {
	in := newFleet("site-a", "site-b").see(40, well(), dead()).input
	b, err := json.Marshal(in)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add([]byte(`{"clusters":[{"name":"a","prev":{"verdict":"X","voices":[{"subject":"PODS"},{"subject":"IPAAS"}]}}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		var in Input
		if json.Unmarshal(data, &in) != nil {
			return
		}
		if d := DecideAll(in); len(d.States) != len(in.Clusters) {
			t.Fatalf("%d states of %d clusters", len(d.States), len(in.Clusters))
		}
	})
}
