package offline_test

import (
	"fmt"
	"strings"
	"testing"

	"gantry.dev/services/cluster-mgr/offline"
)

// pods are rows of n pods at a moment; an empty value is a missing sample.
func pods(at string, n int, value string) string {
	text := ""
	for i := range n {
		text += fmt.Sprintf("%s,web-%d,%s\n", at, i, value)
	}
	return text
}

func replay(t *testing.T, series, policy string) []offline.Step {
	t.Helper()
	steps, err := offline.Replay(strings.NewReader("time,pod,value\n"+series), []byte(policy))
	if err != nil {
		t.Fatal(err)
	}
	return steps
}

func TestTheArticlesExample(t *testing.T) {
	got := replay(t, pods("2026-11-23T07:30:00Z", 4, "80")+pods("2026-11-23T07:30:30Z", 6, "53.3"), `{"target": 50, "max": 20}`)
	first, second := got[0], got[1]
	if first.Formula != "4 pods, sum 320 %, target 50 % → 6.4 → 6" || first.Replicas != 4 || first.Desired != 6 || first.Action != "UP" || first.Sum != 320 {
		t.Errorf("%+v", first)
	}
	if second.Replicas != 6 || second.Desired != 6 || second.Code != "ON_TARGET" || second.Pods != 6 {
		t.Errorf("%+v", second)
	}
}

// A missing sample, a gap in time and NaN never shrink, and the window starts anew after each.
func TestAGap(t *testing.T) {
	policy := `{"target": 50, "max": 20, "window_seconds": 90, "replicas": 4}`
	steps, err := offline.Replay(strings.NewReader(string(file(t, "gap.csv"))), []byte(policy))
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range steps {
		if s.Samples < s.Pods && s.Action == "DOWN" {
			t.Errorf("shrinks on missing data: %+v", s)
		}
	}
	golden(t, "gap.golden", indented(t, steps))
	whole := strings.Replace(string(file(t, "gap.csv")), "90,web-1,\n", "90,web-1,20\n", 1)
	if steps, err = offline.Replay(strings.NewReader(whole), []byte(policy)); err != nil || steps[4].Action != "DOWN" {
		t.Errorf("with the sample it shrinks: %+v, %v", steps, err)
	}
}

func TestTheNumberAndTheWindowGoOn(t *testing.T) {
	series := ""
	for at := 0; at <= 120; at += 30 {
		series += pods(fmt.Sprint(at), 4, "20")
	}
	var got []string
	for _, s := range replay(t, series, `{"target": 50, "window_seconds": 60}`) {
		got = append(got, fmt.Sprintf("%s %d→%d %s", s.Time, s.Replicas, s.Desired, s.Code))
	}
	want := "0 4→4 STABILIZATION_WINDOW, 30 4→4 STABILIZATION_WINDOW, 60 4→2 BELOW_TARGET, 90 2→2 ON_TARGET, 120 2→2 ON_TARGET"
	if strings.Join(got, ", ") != want {
		t.Errorf("%s", strings.Join(got, ", "))
	}
}

// Rows may come in any order.
func TestOrderDoesNotMatter(t *testing.T) {
	policy := `{"target": 50}`
	a := replay(t, pods("0", 2, "80")+pods("30", 2, "10"), policy)
	b := replay(t, pods("30", 2, "10")+pods("0", 2, "80"), policy)
	if fmt.Sprint(a) != fmt.Sprint(b) {
		t.Errorf("%v\n%v", a, b)
	}
}

func TestSeriesAreRefused(t *testing.T) {
	tests := []struct{ name, series, policy, want string }{
		{"no target", "time,pod,value\n0,a,1\n", `{"min": 1}`, "the policy has no target"},
		{"misspelt", "time,pod,value\n0,a,1\n", `{"targt": 50}`, "the policy: targt: there is no such field"},
		{"no policy", "time,pod,value\n0,a,1\n", `[50]`, "the policy: it is not a JSON object"},
		{"empty", "", `{"target": 50}`, "the series is empty"},
		{"no rows", "time,pod,value\n", `{"target": 50}`, "no rows"},
		{"other columns", "time;pod;value\n", `{"target": 50}`, "its first line is time,pod,value"},
		{"short row", "time,pod,value\n0,a\n", `{"target": 50}`, "wrong number of fields"},
		{"time", "time,pod,value\n0,a,1\nnoon,a,1\n", `{"target": 50}`, `line 3 of the series: the time "noon"`},
		{"no pod", "time,pod,value\n0,,1\n", `{"target": 50}`, "line 2 of the series: the pod has no name"},
		{"value", "time,pod,value\n0,a,much\n", `{"target": 50}`, `the value "much" is no number`},
	}
	for _, tt := range tests {
		if _, err := offline.Replay(strings.NewReader(tt.series), []byte(tt.policy)); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
}
