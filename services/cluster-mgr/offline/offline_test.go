package offline_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gantry.dev/services/cluster-mgr/internal/autoscale"
	"gantry.dev/services/cluster-mgr/internal/failover"
	"gantry.dev/services/cluster-mgr/internal/placement"
	"gantry.dev/services/cluster-mgr/offline"
	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	"pgregory.net/rapid"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type decider func([]byte) (offline.Answer, error)

func file(t *testing.T, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// golden compares with testdata/NAME; GOLDEN_UPDATE=1 writes it.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	if os.Getenv("GOLDEN_UPDATE") != "" {
		if err := os.WriteFile(filepath.Join("testdata", name), got, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff(string(file(t, name)), string(got)); diff != "" {
		t.Error(diff)
	}
}

func indented(t *testing.T, v any) []byte {
	t.Helper()
	text, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	return append(text, '\n')
}

func TestExamples(t *testing.T) {
	tests := []struct {
		name   string
		decide decider
		action string
		to     string
	}{
		{"autoscale-article", offline.Autoscale, "UP", "6"},
		{"autoscale-nan", offline.Autoscale, "HOLD", "4"},
		{"placement-grow", offline.Placement, "CHANGE", "6"},
		{"failover-migrate", offline.Failover, "MIGRATE_APPS", ""},
		{"failover-switch", offline.Failover, "SWITCH_TRAFFIC", ""},
		{"failover-failback", offline.Failover, "FAIL_BACK", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := tt.decide(file(t, tt.name+".json"))
			if err != nil || got.Action != tt.action || got.To != tt.to {
				t.Errorf("%+v, %v", got, err)
			}
			golden(t, tt.name+".golden", indented(t, got))
		})
	}
}

// What is decided again is byte for byte what was stored.
func TestTheStoredAnswerComesOut(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := autoscale.Input{App: "web", NowUnix: 1_790_000_000, Policy: autoscale.Policy{Min: 1, Max: 50}}
		metric := autoscale.Metric{Name: "CPU", TargetPercent: rapid.Float64Range(1, 200).Draw(t, "target")}
		in.Current = rapid.IntRange(0, 12).Draw(t, "pods")
		for i := range in.Current {
			pod := fmt.Sprintf("web-%d", i)
			in.Pods = append(in.Pods, autoscale.Pod{Name: pod, Cluster: "site-a", Ready: rapid.Bool().Draw(t, "ready")})
			metric.Samples = append(metric.Samples, autoscale.Sample{
				Pod: pod, Cluster: "site-a", Percent: rapid.Float64().Draw(t, "percent"), Missing: rapid.Bool().Draw(t, "missing"),
			})
		}
		in.Metrics = []autoscale.Metric{metric}
		in.Clusters = []autoscale.ClusterView{{Name: "site-a", Observed: true, InRotation: true, Replicas: in.Current}}
		same(t, offline.Autoscale, in, autoscale.Decide(in))
	})
	place := placement.Input{App: "web", Desired: 9, PerReplica: placement.Resources{MilliCPU: 500}, Clusters: []placement.Cluster{{Name: "a", Eligible: true}}}
	same(t, offline.Placement, place, placement.Decide(place))
	consent := failover.ConsentInput{NowUnix: 100, Policy: failover.Policy{Automatic: true}, DownSinceUnix: 1, SwitchAllowed: true, Steps: 3}
	same(t, offline.Failover, consent, failover.Consenting(consent))
	migrate := failover.MigrateInput{Cluster: "a", Down: true}
	same(t, offline.Failover, migrate, failover.Migrate(migrate))
	shift := failover.ShiftInput{App: "projects/pay/apps/web", To: []failover.Share{{Cluster: "a", Percent: 100}}, Clusters: []failover.Serving{
		{Cluster: "a", Ready: 1, TrafficPercent: 100}, {Cluster: "b", Ready: 1, TrafficPercent: 100},
	}}
	same(t, offline.Failover, shift, failover.Shift(shift))
	next := failover.NextInput{Plan: failover.Shift(shift), Observation: failover.Observation{NowUnix: 100}}
	same(t, offline.Failover, next, failover.Next(next.Plan, next.Progress, next.Observation))
}

func same(t rapid.TB, decide decider, in, out any) {
	t.Helper()
	input, err := json.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	stored, err := json.Marshal(out)
	if err != nil {
		t.Fatal(err)
	}
	got, err := decide(input)
	if err != nil || string(got.Output) != string(stored) {
		t.Errorf("%v\nstored: %s\ngot:    %s", err, stored, got.Output)
	}
}

// decision is what the API gives of a decision.
func decision(kind string, input []byte, output string) []byte {
	text, _ := json.Marshal(map[string]any{
		"name": "decisions/1", "kind": kind, "subject": "projects/pay/apps/web", "time": "2026-11-23T07:30:00Z",
		"inputJson": string(input), "outputJson": output, "epoch": "3",
	})
	return text
}

func TestAWholeDecision(t *testing.T) {
	article := file(t, "autoscale-article.json")
	alone, err := offline.Autoscale(article)
	if err != nil {
		t.Fatal(err)
	}
	whole := decision("KIND_AUTOSCALE", article, string(alone.Output))
	for name, input := range map[string][]byte{
		"camel case": whole,
		"proto's names": []byte(strings.NewReplacer("inputJson", "input_json", "outputJson", "output_json").
			Replace(string(whole))),
		"list of one": []byte(`{"items": [` + string(whole) + `]}`),
	} {
		got, err := offline.Autoscale(input)
		if err != nil || string(got.Output) != string(alone.Output) || got.Differs() {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
	got, err := offline.Autoscale(decision("KIND_AUTOSCALE", article, `{"desired":7}`))
	if err != nil || !got.Differs() {
		t.Errorf("another answer was stored: %+v, %v", got, err)
	}
}

func TestRefusals(t *testing.T) {
	article := string(file(t, "autoscale-article.json"))
	change := func(from, to string) string { return strings.Replace(article, from, to, 1) }
	tests := []struct {
		name   string
		decide decider
		input  string
		want   string
	}{
		{"misspelt", offline.Autoscale, change(`"current"`, `"currant"`), "currant: there is no such field"},
		{"misspelt within", offline.Autoscale, change(`"percent"`, `"precent"`), "metrics[0].samples[0].precent: there is no such field"},
		{"other case", offline.Autoscale, change(`"min"`, `"Min"`), "policy.Min: there is no such field"},
		{"wrong type", offline.Autoscale, change(`"min": 1`, `"min": "1"`), "policy.min: must be of type int, not a string"},
		{"of a plan", offline.Failover, `{"cluster": "a", "to_percent": 0, "down": true}`, "down: there is no such field"},
		{"no JSON", offline.Placement, `app: web`, "not a JSON object"},
		{"no object", offline.Placement, `[]`, "not a JSON object"},
		{"null", offline.Autoscale, `null`, "not a JSON object"},
		{"nothing", offline.Failover, ``, "not a JSON object"},
		{"several", offline.Autoscale, `{"items": [{}, {}]}`, "there are 2 decisions in it"},
		{"no input", offline.Autoscale, `{"subject": "projects/pay/apps/web", "kind": "KIND_AUTOSCALE"}`, "comes without its input"},
		{"other kind", offline.Placement, string(decision("KIND_AUTOSCALE", []byte(article), "")), "`gantry autoscale eval -f FILE` makes it again"},
		{"health", offline.Failover, string(decision("KIND_HEALTH", []byte("{}"), "")), "cannot be made again offline"},
	}
	for _, tt := range tests {
		if _, err := tt.decide([]byte(tt.input)); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
}
