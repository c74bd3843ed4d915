package cli

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// example is a file of the examples of the pure decisions.
func example(name string) string {
	return filepath.Join("..", "..", "..", "cluster-mgr", "offline", "testdata", name)
}

// offlineRun has a config that cannot be read: nothing here may need one, or a server.
func offlineRun(t *testing.T, in string, args ...string) result {
	t.Helper()
	return gantry(t, "/does/not/exist", in, args...)
}

func TestOffline(t *testing.T) {
	article, err := os.ReadFile(example("autoscale-article.json"))
	if err != nil {
		t.Fatal(err)
	}
	whole, err := json.Marshal(map[string]string{
		"name": "decisions/1", "kind": "KIND_AUTOSCALE", "subject": "projects/pay/apps/web", "inputJson": string(article), "outputJson": `{"desired":7}`,
	})
	if err != nil {
		t.Fatal(err)
	}
	const policy = `{"target": 50, "max": 20, "window_seconds": 90}`
	tests := []struct {
		name, in string
		args     []string
		code     int
		out, err string
	}{
		{"eval", "", []string{"autoscale", "eval", "-f", example("autoscale-article.json")}, 0, "formula:  4 pods, sum 320 %, target 50 % → 6.4 → 6\n", ""},
		{"eval of a decision", string(whole), []string{"autoscale", "eval", "-f", "-"}, 0, "autoscale of app/web: UP 4 → 6\n", "the platform decided otherwise then"},
		{"NaN", "", []string{"autoscale", "eval", "-f", example("autoscale-nan.json"), "-o", "yaml"}, 0, "action: HOLD\nfrom: \"4\"\n", ""},
		{"placement", "", []string{"placement", "plan", "-f", example("placement-grow.json")}, 0, "placement of app/web: CHANGE 4 → 6\n", ""},
		{"migration", "", []string{"failover", "plan", "-f", example("failover-migrate.json")}, 0, "  step  1:  place 4 replicas in site-a\n", ""},
		{"migration as JSON", "", []string{"failover", "plan", "-f", example("failover-migrate.json"), "-o", "json"}, 0, "    \"kind\": \"MIGRATE_APPS\",\n", ""},
		{"replay", policy, []string{"autoscale", "replay", "--series", example("gap.csv"), "--policy", "-"}, 0, "90     3/4    60 %    6          6         HOLD     PARTIAL_DATA", ""},
		{"replay wide", policy, []string{"autoscale", "replay", "--series", example("gap.csv"), "--policy", "-", "-o", "wide"}, 0, "nothing is taken away on incomplete data", ""},
		{"replay as JSON", policy, []string{"autoscale", "replay", "--series", example("gap.csv"), "--policy", "-", "-o", "json"}, 0, "\"steps\": [\n", ""},
		{"unknown field", `{"app": "web", "currant": 4}`, []string{"autoscale", "eval", "-f", "-"}, 1, "", "error: -: currant: there is no such field here"},
		{"other kind", string(whole), []string{"placement", "plan", "-f", "-"}, 1, "", "`gantry autoscale eval -f FILE` makes it again"},
		{"no target", `{}`, []string{"autoscale", "replay", "--series", example("gap.csv"), "--policy", "-"}, 1, "", "the policy has no target"},
		{"no such file", "", []string{"failover", "plan", "-f", "/does/not/exist"}, 1, "", "cannot read the file: open /does/not/exist"},
		{"no file", "", []string{"failover", "plan"}, 2, "", "name a file with -f FILE"},
		{"no series", policy, []string{"autoscale", "replay", "--policy", "-"}, 2, "", "name a file with --series FILE.csv"},
		{"both from stdin", policy, []string{"autoscale", "replay", "--policy", "-", "--series", "-"}, 2, "", "only one of --series and --policy"},
		{"format", "", []string{"placement", "plan", "-f", "-", "-o", "name"}, 2, "", `there is no output format "name" here; use one of table, wide, json, yaml`},
	}
	for _, tt := range tests {
		got := offlineRun(t, tt.in, tt.args...)
		if got.code != tt.code || !strings.Contains(got.out, tt.out) || !strings.Contains(got.err, tt.err) {
			t.Errorf("%s: got %d\nout: %s\nerr: %s", tt.name, got.code, got.out, got.err)
		}
		if got.code != 0 && (got.out != "" || !strings.Contains(got.err, "\nnext: ")) {
			t.Errorf("%s: an error prints no data, and ends with what to try next: %+v", tt.name, got)
		}
	}
}

// YAML says the same as JSON, whatever the text is.
func TestOfflineYAML(t *testing.T) {
	want := map[string]any{
		"a": "no", "b": "<<", "c": "two\nlines", "d": "\u0085\u009f\x7f\ufeff\U0001f600", "e": "1e3", "f": "- x: y", "g": "", "h": nil, "i": []any{}, "j": "~", "k": "\ttab",
	}
	text, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	data, err := yamlOfJSON(text)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]any{}
	if err := yaml.Unmarshal(data, &got); err != nil {
		t.Fatalf("%v\n%s", err, data)
	}
	back, err := json.Marshal(got)
	if err != nil || string(back) != string(text) {
		t.Errorf("%v\n%s\n%s", err, text, back)
	}
}
