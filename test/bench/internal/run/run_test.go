package run

import (
	"slices"
	"strings"
	"testing"
	"time"

	"gantry.dev/test/bench/internal/hpa"
	"gantry.dev/test/bench/internal/kube"
	"gantry.dev/test/bench/internal/usage"
)

func TestDist(t *testing.T) {
	var sample []time.Duration
	for i := 100; i > 0; i-- {
		sample = append(sample, time.Duration(i)*time.Second)
	}
	if got := distOf(sample); got != (Dist{Count: 100, P50: 50, P99: 99, Max: 100}) {
		t.Errorf("%+v", got)
	}
	if got := distOf(sample[:1]); got != (Dist{Count: 1, P50: 100, P99: 100, Max: 100}) {
		t.Errorf("of one: %+v", got)
	}
	if got := distOf(nil); got != (Dist{}) {
		t.Errorf("of none: %+v", got)
	}
}

// From every smaller number of pods an overload must be beyond the tolerance:
// otherwise the answer would depend on the way to it, and on who is faster.
func TestOverloadsHaveOneAnswer(t *testing.T) {
	for _, o := range overloads() {
		need := o.cpus / target
		if got := int(need) + 1; got != o.expect {
			t.Errorf("%v CPUs need %d replicas, not %d", o.cpus, got, o.expect)
		}
		for have := replicas; have < o.expect; have++ {
			if ratio := need / float64(have); ratio <= 1+tolerance+0.01 {
				t.Errorf("%v CPUs are within the tolerance of %d pods: %v", o.cpus, have, ratio)
			}
		}
	}
	for _, noise := range []float64{1 - jitter, 1 + jitter} {
		if ratio := share * noise; ratio < 1-tolerance || ratio > 1+tolerance {
			t.Errorf("the normal use leaves the tolerance: %v", ratio)
		}
	}
}

func TestAppsAreDividedEvenly(t *testing.T) {
	namespaces := map[string]int{}
	for _, app := range Full().apps() {
		namespaces[app.Namespace()]++
	}
	if len(namespaces) != 20 || namespaces["gantry-bench-00"] != 50 || namespaces["gantry-bench-19"] != 50 {
		t.Errorf("%v", namespaces)
	}
}

func TestStepsTakeDifferentApps(t *testing.T) {
	for _, size := range []Size{Full(), Stretch(), Smoke()} {
		b := &bench{Config: Config{Size: size}, shuffled: size.apps()}
		seen := map[kube.Key]bool{}
		for n := range size.Steps {
			for _, app := range b.stepped(n) {
				if seen[app] {
					t.Fatalf("%s is overloaded twice", app)
				}
				seen[app] = true
			}
		}
		if len(seen) != size.Stepped*size.Steps {
			t.Errorf("%d of %d apps", len(seen), size.Stepped*size.Steps)
		}
	}
}

func TestIntervals(t *testing.T) {
	begin := time.UnixMilli(1_700_000_000_000)
	asked := []hpa.Asked{{Time: begin, App: "a"}, {Time: begin.Add(time.Second), App: "b"}, {Time: begin.Add(3 * time.Second), App: "a"}}
	if got := intervals(asked); len(got) != 1 || got[0] != 3*time.Second {
		t.Errorf("%v", got)
	}
}

func TestLeasesAreNoWrites(t *testing.T) {
	s := Steady{Span: usage.Span{Seconds: 30}, WritesByKind: map[string]float64{}}
	before := counters{revision: 10, writes: []kube.Writes{{Revision: 100, Requests: map[string]float64{"PUT leases": 5}}}}
	after := counters{revision: 11, writes: []kube.Writes{{Revision: 120, Requests: map[string]float64{"PUT leases": 15, "PATCH deployments": 4}}}}
	s.addWrites(before, after)
	if s.WritesPerMinute != 8 || s.LeasesPerMinute != 20 || s.ChangesPerMinute != 2 || s.KubeChangesPerMinute != 40 || s.writes() != 10 {
		t.Errorf("%+v", s)
	}
}

// Other replicas for the same load are a failure, whatever the figures.
func TestTheGate(t *testing.T) {
	b := &bench{apps: []kube.Key{"n/a", "n/b"}, result: Result{Answers: map[string]map[kube.Key]int{
		gantry: {"n/a": 4, "n/b": 7}, "hpa tuned": {"n/a": 4, "n/b": 6},
	}}}
	if err := b.compare(t.Context()); err == nil || len(b.result.Differences) != 1 || !strings.Contains(err.Error(), "n/b: Gantry 7, hpa tuned 6") {
		t.Errorf("%v, %v", err, b.result.Differences)
	}
	b.result.Answers["hpa tuned"]["n/b"] = 7
	if err := b.compare(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestRowsSayWhatIsMissed(t *testing.T) {
	b := &bench{Config: Config{Peers: []string{"tuned"}, Size: Full()}, result: Result{
		Size:  Full(),
		Query: Query{Wall: Dist{P50: 0.05}},
		Steady: map[string]Steady{
			gantry:      {Round: 0.08, CPUPerRound: 0.2, NetCPUPerRound: 0.1, RSS: map[string]float64{"cluster-mgr": 90}},
			"hpa tuned": {Round: 12, CPUPerRound: 17, NetCPUPerRound: 16, WritesPerMinute: 5600, RSS: map[string]float64{"site-a-controller-manager": 203}},
		},
		Steps:  map[string]Step{gantry: {First: Dist{P99: 1}, Final: Dist{P99: 4}}, "hpa tuned": {First: Dist{P99: 18}, Final: Dist{P99: 20}}},
		Move:   Move{Detection: 31, Wanted: 3, Floors: []float64{2.5, 2}},
		Deploy: Deploy{Gantry: []Dist{{P99: 3}}, Floors: []Dist{{P99: 1}}},
	}}
	b.result.Rows = b.rows()
	missed := map[string]bool{}
	for _, r := range b.result.Rows {
		if !r.Met {
			missed[r.What] = true
		}
	}
	if len(missed) != 2 || !missed["overload visible → number due, p99"] || !missed["deploy to two clusters, p99"] {
		t.Errorf("missed: %v", missed)
	}
	var out strings.Builder
	b.result.Print(&out)
	for _, want := range []string{"150x", "≥ 20.0x", "≤ 1.50x", "MISSED", "90.0 MiB"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %s in\n%s", want, out.String())
		}
	}
}

// Each part alone finds what it needs, and all together are the whole run.
func TestParts(t *testing.T) {
	names := func(only string) string {
		parts, err := ParseParts(only)
		if err != nil {
			t.Fatal(err)
		}
		b := &bench{Config: Config{Only: parts, Peers: []string{"tuned"}}}
		var out []string
		for _, p := range b.phases() {
			if slices.ContainsFunc(p.of, func(part Part) bool { return slices.Contains(parts, part) }) {
				out = append(out, p.name)
			}
		}
		return strings.Join(out, ", ")
	}
	const begin = "start, make the apps through the API, "
	for only, want := range map[string]string{
		"":         "floor: the grouped query, Gantry: steady, Gantry: steps, deploy, idle, two clusters, a cluster dies, idle, one cluster, floor: raw PATCHes, HPA tuned",
		"step":     "Gantry: steps",
		"deploy":   "deploy",
		"move":     "a cluster dies, floor: raw PATCHes",
		"step,hpa": "Gantry: steps, a cluster is taken away, idle, one cluster, HPA tuned",
	} {
		if got := names(only); got != begin+want+", compare" {
			t.Errorf("%q: %s", only, got)
		}
	}
	if alone := (&bench{Config: Config{Only: []Part{Peered}}}).phases(); alone[0].name != "start one cluster" || len(alone) != 4 {
		t.Errorf("hpa alone: %v", alone)
	}
	if _, err := ParseParts("nonsense"); err == nil {
		t.Error("nonsense is a part")
	}
}
