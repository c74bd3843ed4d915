package autoscale

import (
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// inputs draws apps over up to three clusters with complete, correct data.
func inputs(t *rapid.T) Input {
	in := Input{
		App: "web", NowUnix: now, ScrapeIntervalSeconds: 2,
		Policy: Policy{
			Min:              rapid.IntRange(0, 5).Draw(t, "min"),
			Max:              rapid.IntRange(0, 40).Draw(t, "max"),
			Rounding:         rapid.SampledFrom([]string{"", RoundNearest, RoundUp, RoundDown}).Draw(t, "rounding"),
			TolerancePercent: rapid.Float64Range(-1, 30).Draw(t, "tolerance"),
			WindowSeconds:    rapid.SampledFrom([]int{-1, 0, 60}).Draw(t, "window"),
			MaxStepUp:        rapid.IntRange(0, 4).Draw(t, "step up"),
			MaxStepDown:      rapid.IntRange(0, 4).Draw(t, "step down"),
		},
		Metrics: []Metric{{Name: "CPU", TargetPercent: rapid.Float64Range(1, 100).Draw(t, "target")}},
	}
	for i := range rapid.IntRange(1, 3).Draw(t, "clusters") {
		load(&in, fmt.Sprintf("site-%c", 'a'+i), rapid.IntRange(0, 6).Draw(t, "pods"), 0)
	}
	for i := range in.Metrics[0].Samples {
		in.Metrics[0].Samples[i].Percent = rapid.Float64Range(0, 300).Draw(t, "percent")
	}
	for range rapid.IntRange(0, 2).Draw(t, "memory") {
		in.Metrics = append(in.Metrics, Metric{Name: "MEMORY", TargetPercent: 80, Samples: slices.Clone(in.Metrics[0].Samples)})
	}
	if rapid.Bool().Draw(t, "history") {
		in.History = quiet(rapid.IntRange(0, 20).Draw(t, "recommended"))
	}
	return in
}

// lose takes some data away: samples go missing, stale or absent, and nothing else.
func lose(t *rapid.T, in Input) (Input, bool) {
	lost := false
	in.Metrics = slices.Clone(in.Metrics)
	for m := range in.Metrics {
		var kept []Sample
		for _, s := range in.Metrics[m].Samples {
			switch rapid.IntRange(0, 8).Draw(t, "loss") {
			case 0:
				s.Missing, lost = true, true
			case 1:
				s.AgeSeconds, lost = 4, true
			case 2:
				lost = true
				continue
			}
			kept = append(kept, s)
		}
		in.Metrics[m].Samples = kept
	}
	return in, lost
}

func TestMissingDataNeverTurnsTheDirection(t *testing.T) {
	// rule A3
	rapid.Check(t, func(t *rapid.T) {
		in := inputs(t)
		full := Decide(in)
		less, lost := lose(t, in)
		part := Decide(less)
		switch {
		case !lost:
		case part.Action == ActionDown:
			t.Fatalf("shrinks on partial data: %s (%s)", part.Formula, part.Reason)
		case part.Action == ActionUp && full.Action != ActionUp:
			t.Fatalf("partial data turned %s into UP: %s, then %s", full.Action, full.Formula, part.Formula)
		case part.Desired > max(full.Desired, in.Current):
			t.Fatalf("partial data asks for more: %s, then %s", full.Formula, part.Formula)
		}
	})
}

func TestGarbageNeverShrinks(t *testing.T) {
	// rule A1
	rapid.Check(t, func(t *rapid.T) {
		in := inputs(t)
		m := &in.Metrics[rapid.IntRange(0, len(in.Metrics)-1).Draw(t, "metric")]
		if len(m.Samples) == 0 {
			return
		}
		s := &m.Samples[rapid.IntRange(0, len(m.Samples)-1).Draw(t, "sample")]
		s.Percent = rapid.SampledFrom([]float64{math.NaN(), math.Inf(1), math.Inf(-1), -1}).Draw(t, "garbage")
		if d := Decide(in); d.Action == ActionDown || d.Desired < in.Current {
			t.Fatalf("shrinks on garbage: %+v", d)
		}
	})
}

// Pods that a list forgets are lost data like any other.
func TestForgottenPodsNeverShrink(t *testing.T) {
	// rule A3
	rapid.Check(t, func(t *rapid.T) {
		in := inputs(t)
		if len(in.Pods) == 0 {
			return
		}
		in.Pods = in.Pods[:rapid.IntRange(0, len(in.Pods)-1).Draw(t, "kept")]
		if d := Decide(in); d.Action == ActionDown || d.Desired < in.Current {
			t.Fatalf("shrinks on a short list: %+v", d)
		}
	})
}

func TestSilentClusterKeepsItsReplicas(t *testing.T) {
	// rule C1
	rapid.Check(t, func(t *rapid.T) {
		in := inputs(t)
		i := rapid.IntRange(0, len(in.Clusters)-1).Draw(t, "silent")
		in.Clusters[i].Observed = false
		if d := Decide(in); in.Clusters[i].Replicas > 0 && (d.Action == ActionDown || d.Desired < in.Current) {
			t.Fatalf("shrinks with %s silent: %+v", in.Clusters[i].Name, d)
		}
	})
}

func TestBounds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in, _ := lose(t, inputs(t))
		d := Decide(in)
		p := in.Policy.withDefaults()
		switch {
		case d.Action == ActionHold && d.Desired != in.Current:
			t.Fatalf("HOLD changes %d to %d", in.Current, d.Desired)
		case d.Action == ActionUp && (d.Desired <= in.Current || d.Desired > p.Max):
			t.Fatalf("UP from %d to %d, max %d", in.Current, d.Desired, p.Max)
		case d.Action == ActionDown && (d.Desired >= in.Current || d.Desired < p.Min):
			t.Fatalf("DOWN from %d to %d, min %d", in.Current, d.Desired, p.Min)
		case p.MaxStepUp > 0 && d.Desired > in.Current+p.MaxStepUp:
			t.Fatalf("step up from %d to %d", in.Current, d.Desired)
		case p.MaxStepDown > 0 && d.ReasonCode == ReasonBelowTarget && d.Desired < in.Current-p.MaxStepDown:
			t.Fatalf("step down from %d to %d", in.Current, d.Desired)
		case d.Reason == "" || d.ReasonCode == "":
			t.Fatalf("no reason: %+v", d)
		}
	})
}

// After one decision is applied and the load spreads evenly, the next one changes nothing.
func TestSettles(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		pods := rapid.IntRange(1, 30).Draw(t, "pods")
		percent := rapid.Float64Range(1, 200).Draw(t, "percent")
		d := Decide(app(pods, percent))
		if d.Action != ActionUp || d.Desired == 100 {
			return
		}
		again := Decide(app(d.Desired, percent*float64(pods)/float64(d.Desired)))
		if again.Action == ActionUp {
			t.Fatalf("grows twice on one load: %s, then %s", d.Formula, again.Formula)
		}
	})
}

func TestOrderOfInputDoesNotMatter(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in, _ := lose(t, inputs(t))
		want := encode(t, Decide(in))
		r := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 1))
		in.Pods, in.Clusters, in.Metrics = shuffled(r, in.Pods), shuffled(r, in.Clusters), slices.Clone(in.Metrics)
		for i := range in.Metrics {
			in.Metrics[i].Samples = shuffled(r, in.Metrics[i].Samples)
		}
		if got := encode(t, Decide(in)); got != want {
			t.Fatalf("order changed the decision:\n%s\n%s", want, got)
		}
	})
}

func shuffled[T any](r *rand.Rand, in []T) []T {
	out := slices.Clone(in)
	r.Shuffle(len(out), func(i, j int) { out[i], out[j] = out[j], out[i] })
	return out
}

func TestReplayIsByteForByte(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in, _ := lose(t, inputs(t))
		odd := []float64{math.NaN(), math.Inf(1), math.Inf(-1), 0.1 + 0.2, math.Copysign(0, -1)}
		for m := range in.Metrics {
			for i := range in.Metrics[m].Samples {
				if rapid.IntRange(0, 5).Draw(t, "odd") == 0 {
					in.Metrics[m].Samples[i].Percent = rapid.SampledFrom(odd).Draw(t, "value")
				}
			}
		}
		want := encode(t, Decide(in))
		var stored Input
		if err := json.Unmarshal([]byte(encode(t, in)), &stored); err != nil {
			t.Fatal(err)
		}
		if got := encode(t, Decide(stored)); got != want {
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

// Stored inputs are read back from JSON: whatever is in there, Decide does not panic, and a HOLD
// changes nothing.
func FuzzDecide(f *testing.F) {
	for _, in := range []Input{app(4, 80), app(2, math.NaN()), {Current: -1}} {
		b, err := json.Marshal(in)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Add([]byte(`{"metrics":[{"name":"CPU","target_percent":50,"samples":[{"pod":"x","percent":"-Inf","age_seconds":"x"}]}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		var in Input
		if json.Unmarshal(data, &in) != nil {
			return
		}
		if d := Decide(in); d.Action == ActionHold && d.Desired != in.Current {
			t.Fatalf("HOLD changes %d to %d", in.Current, d.Desired)
		}
	})
}
