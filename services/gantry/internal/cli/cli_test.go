package cli

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	gantryv1 "gantry.dev/proto/gen/gantry/v1"
	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// result of one run of the command line.
type result struct {
	code     int
	out, err string
}

func gantry(t *testing.T, config, in string, args ...string) result {
	t.Helper()
	var out, errors bytes.Buffer
	code := Run(t.Context(), Config{
		Args: append([]string{"--config", config}, args...), In: strings.NewReader(in), Out: &out, Err: &errors,
		Getenv: func(string) string { return "" }, Now: func() time.Time { return epoch.Add(5 * time.Minute) },
		Zone: time.UTC, PollInterval: time.Millisecond,
	})
	return result{code, out.String(), errors.String()}
}

const app = `kind: App
name: web
spec:
  image: hello:v1
  replicas: 4
`

func TestApply(t *testing.T) {
	p, config := startPlatform(t)
	steps := []struct {
		name, in string
		args     []string
		code     int
		out, err string
	}{
		{"dry run", app, []string{"apply", "--dry-run", "-f", "-"}, 0, "app/web created (dry run)\n", ""},
		{"create", app, []string{"apply", "-f", "-", "--wait"}, 0, "app/web created\n", "app/web release 1: 4/4 ready (site-a 2/2, site-b 2/2)"},
		{"again", app, []string{"apply", "-f", "-"}, 0, "app/web unchanged\n", ""},
		{"change", strings.Replace(app, "4", "6", 1), []string{"apply", "-f", "-"}, 0, "app/web configured\n", ""},
		{"typo", strings.Replace(app, "replicas", "replcas", 1), []string{"apply", "-f", "-"}, 1, "", `-:5:3: spec.replcas: unknown field; did you mean "replicas"?`},
		{"refused field", strings.Replace(app, "4", "400", 1), []string{"apply", "-f", "-"}, 1, "", "-:5:3: spec.replicas: must be at most 100\n"},
		{"refused", strings.Replace(app, "v1", "none", 1), []string{"apply", "-f", "-"}, 5, "", "error: app/web: no registry has hello:none\n"},
		{"order", "kind: Route\nname: web\ngateway: main\nhost: a.b\napp: web\nport: 80\n---\nkind: Project\nname: hello\n",
			[]string{"apply", "-f", "-"}, 0, "project/hello created\nroute/web created\n", ""},
		{"same cluster", "kind: Cluster\nname: site-a\nlocation: here\nipaasAddress: 10.0.0.1:7100\nregistry: 10.0.0.1:5000\n",
			[]string{"apply", "-f", "-"}, 0, "cluster/site-a unchanged\n", ""},
		{"other cluster", "kind: Cluster\nname: site-a\nipaasAddress: 10.0.0.9:7100\nregistry: other:5000\n",
			[]string{"apply", "-f", "-"}, 5, "", "wraps another cluster"},
		{"no file", "", []string{"apply", "-f", "/does/not/exist"}, 1, "", "cannot read the manifest"},
		{"no -f", "", []string{"apply"}, 2, "", "name a file with -f FILE"},
		{"delete in use", "", []string{"delete", "app/web"}, 5, "", "delete that first"},
		{"delete file", "kind: App\nname: web\n---\nkind: Route\nname: web\n", []string{"delete", "-f", "-"}, 0, "route/web deleted\napp/web deleted\n", ""},
	}
	for _, tt := range steps {
		got := gantry(t, config, tt.in, tt.args...)
		if got.code != tt.code || got.out != tt.out || !strings.Contains(got.err, tt.err) {
			t.Errorf("%s: got %d\nout: %s\nerr: %s", tt.name, got.code, got.out, got.err)
		}
		if got.code != 0 && !strings.Contains(got.err, "\nnext: ") {
			t.Errorf("%s: the error does not end with what to try next: %s", tt.name, got.err)
		}
	}
	if len(p.apps) != 0 {
		t.Errorf("apps left: %v", p.apps)
	}
}

// What `get -o yaml` prints is what `apply` takes.
func TestRoundTrip(t *testing.T) {
	_, config := startPlatform(t)
	gantry(t, config, app, "apply", "-f", "-", "--wait")
	text := gantry(t, config, "", "get", "app", "web", "-o", "yaml").out
	if got := gantry(t, config, text, "apply", "-f", "-"); got.code != 0 || got.out != "app/web unchanged\n" {
		t.Errorf("%s\n%+v", text, got)
	}
}

func TestGet(t *testing.T) {
	_, config := startPlatform(t)
	gantry(t, config, app, "apply", "-f", "-", "--wait")
	gantry(t, config, strings.Replace(app, "web", "api", 1), "apply", "-f", "-")
	tests := []struct{ name, args, want string }{
		{"apps", "get apps", "apps"},
		{"apps wide", "get apps -A -o wide", "apps-wide"},
		{"name", "get app/web -o name", "name"},
		{"names", "get apps -o name", "names"},
		{"json", "get app web -o json", "app-json"},
		{"json list", "get clusters -o json", "clusters-json"},
		{"yaml", "get clusters -o yaml", "clusters-yaml"},
		{"clusters", "get clusters", "clusters"},
		{"pods", "get pods web", "pods"},
		{"decisions", "get decisions -o wide", "decisions"},
		{"health", "cluster health site-b", "health"},
		{"explain", "explain app/web", "explain"},
		{"explain json", "explain app/web -o json", "explain-json"},
		{"contexts", "config get-contexts", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := gantry(t, config, "", strings.Fields(tt.args)...)
			if got.code != 0 {
				t.Fatalf("%+v", got)
			}
			if tt.want != "" {
				golden(t, tt.want, got.out)
			}
		})
	}
	if got := gantry(t, config, "", "get", "pods", "web"); !strings.Contains(got.err, "cluster/site-b cannot be asked: its pods are unknown, not gone") {
		t.Errorf("unreachable clusters must be named: %s", got.err)
	}
	if got := gantry(t, config, "", "get", "apps", "-p", "other"); got.out != "" || got.err != "no apps in project/other\n" {
		t.Errorf("%+v", got)
	}
}

// golden compares with testdata/NAME.txt; GOLDEN_UPDATE=1 writes it.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name+".txt")
	if os.Getenv("GOLDEN_UPDATE") != "" {
		if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Error(diff)
	}
}

func TestExitCodes(t *testing.T) {
	p, config := startPlatform(t)
	gantry(t, config, app, "apply", "-f", "-", "--wait")
	p.ops["operations/stuck"] = &gantryv1.OperationMetadata{State: gantryv1.OperationMetadata_STATE_AWAITING_APPROVAL}
	p.ops["operations/failed"] = &gantryv1.OperationMetadata{State: gantryv1.OperationMetadata_STATE_FAILED, Summary: "errors rose"}
	tests := []struct {
		args string
		code int
		err  string
	}{
		{"version", 0, ""},
		{"--help", 0, ""},
		{"", 0, ""},
		{"gte apps", 2, `there is no command "gte"`},
		{"cluster swich site-b", 2, "did you mean switch?"},
		{"get", 2, "requires at least 1 arg"},
		{"get apps --nonsense", 2, "unknown flag"},
		{"get thing", 2, "the types are apps, releases"},
		{"get apps -o xml", 2, "use one of table"},
		{"get releases", 2, "name the app"},
		{"get apps web -A", 2, "exclude each other"},
		{"scale app web", 2, "--replicas N"},
		{"rollback app web", 2, "--to N"},
		{"delete", 2, "say what to delete"},
		{"delete pod x", 2, "cannot be deleted"},
		{"cluster switch site-b", 2, "--to-percent N, --away or --back"},
		{"cluster switch site-b --away --back", 2, "[away back]"},
		{"cluster switch site-b --away --every 1500ms", 2, "whole seconds"},
		{"cluster register site-c", 2, "--ipaas ADDR"},
		{"traffic shift web", 2, "--to CLUSTER=PERCENT"},
		{"traffic shift web --to site-b", 2, "0 to 100 percent, not \"site-b\""},
		{"traffic shift web --to site-b=101", 2, "not \"site-b=101\""},
		{"traffic shift web --to site-b=1,clusters/site-b=2", 2, "names clusters/site-b twice"},
		{"traffic shift web --to site-b=1 --every 10ms", 2, "whole seconds"},
		{"explain app/web --kind magic", 2, "the kinds are"},
		{"explain pods web", 2, "not for a pod"},
		{"get app none", 3, "there is no app projects/hello/apps/none"},
		{"rollback app web --to 9", 3, "there is no release 9"},
		{"operation get nine", 3, "there is no operation"},
		{"--context none get apps", 3, "it has: local, bad, dead"},
		{"--context bad get clusters", 4, "the token is not accepted"},
		{"cluster register site-c --ipaas 10.0.0.1:7100 --registry r:5000", 5, "this is clusters/site-"},
		{"cluster failback site-b", 5, "not healthy yet"},
		{"operation wait failed", 5, "ended as Failed: errors rose"},
		{"operation wait stuck --timeout 50ms", 6, "gantry operation approve stuck"},
		{"--context dead get apps --timeout 5s", 7, "the platform does not answer"},
		{"--config /does/not/exist get apps", 1, "gantry local up"},
		{"--context bad get apps", 1, "no project is chosen"},
		{"get gateways", 1, ""},
	}
	for _, tt := range tests {
		t.Run(tt.args, func(t *testing.T) {
			got := gantry(t, config, "", strings.Fields(tt.args)...)
			if got.code != tt.code || !strings.Contains(got.err, tt.err) {
				t.Errorf("got %d, want %d\nout: %s\nerr: %s", got.code, tt.code, got.out, got.err)
			}
			if tt.code != 0 && !strings.Contains(got.err, "\nnext: ") {
				t.Errorf("no next step: %s", got.err)
			}
		})
	}
}

func TestWaitTimesOut(t *testing.T) {
	p, config := startPlatform(t)
	p.stuck = true
	got := gantry(t, config, app, "apply", "-f", "-", "--wait", "--timeout", "3s")
	if got.code != exitTimeout || !strings.Contains(got.err, "0/4 ready") || !strings.Contains(got.err, "gantry explain app/web") {
		t.Errorf("%+v", got)
	}
}

func TestOperations(t *testing.T) {
	p, config := startPlatform(t)
	got := gantry(t, config, "", "cluster", "switch", "site-b", "--to-percent", "0", "--step", "10", "--every", "3s")
	if got.code != 0 || got.out != "operation/1 Succeeded\n" {
		t.Fatalf("%+v", got)
	}
	if want := "[done   ] weights to 50 %\n[done   ] weights to 0 %\n"; got.err != want {
		t.Errorf("progress: %q, want %q", got.err, want)
	}
	if got := gantry(t, config, "", "operation", "get", "1"); !strings.Contains(got.out, "traffic to 0% by 10 every 3 s") {
		t.Errorf("%+v", got)
	}
	got = gantry(t, config, "", "cluster", "switch", "site-b", "--back", "--async")
	if got.out != "operation/1 started\n" || p.ops["operations/1"].GetSteps()[1].GetSentence() != "weights to 100 %" {
		t.Errorf("%+v", got)
	}
	if got := gantry(t, config, "", "operation", "cancel", "operation/1"); got.out != "operation/1 Cancelled\n" {
		t.Errorf("%+v", got)
	}
	p.ops["operations/2"] = &gantryv1.OperationMetadata{State: gantryv1.OperationMetadata_STATE_AWAITING_APPROVAL}
	if got := gantry(t, config, "", "operation", "approve", "2", "--wait"); got.code != 0 || got.out != "operation/2 Succeeded\n" {
		t.Errorf("%+v", got)
	}
}

func TestScaleAndRollback(t *testing.T) {
	_, config := startPlatform(t)
	gantry(t, config, app, "apply", "-f", "-")
	if got := gantry(t, config, "", "scale", "app/web", "--replicas", "6", "--wait"); got.code != 0 || !strings.Contains(got.err, "6/6 ready") {
		t.Errorf("%+v", got)
	}
	if got := gantry(t, config, "", "rollback", "app", "web", "--to", "1"); got.out != "app/web rolled back to release 1, as release 4\n" {
		t.Errorf("%+v", got)
	}
}

func TestWatchGoesOnWhereItWas(t *testing.T) {
	_, config := startPlatform(t)
	got := gantry(t, config, "", "get", "apps", "-w")
	if got.code != exitDenied || strings.Count(got.out, "web") != 1 || !strings.Contains(got.err, "app/after-7 is deleted") {
		t.Errorf("%+v", got)
	}
}

func TestWatchByPollingEndsWithTheInterrupt(t *testing.T) {
	_, config := startPlatform(t)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	var out, errors bytes.Buffer
	done := make(chan int)
	go func() {
		done <- Run(ctx, Config{
			Args: []string{"--config", config, "get", "clusters", "-w"}, Out: &out, Err: &errors,
			Getenv: func(string) string { return "" }, Now: time.Now, PollInterval: time.Millisecond,
		})
	}()
	time.AfterFunc(300*time.Millisecond, cancel)
	if code := <-done; code != 0 || strings.Count(out.String(), "site-a") != 1 {
		t.Errorf("code %d, each change is printed once: %s%s", code, out.String(), errors.String())
	}
}

func TestCompletion(t *testing.T) {
	_, config := startPlatform(t)
	gantry(t, config, app, "apply", "-f", "-")
	tests := map[string]string{
		"get ":                     "apps\nreleases\npods\n",
		"get apps ":                "web\n",
		"get pods ":                "web\n",
		"cluster health ":          "site-a\nsite-b\n",
		"get apps -o ":             "table\nwide\n",
		"get --context ":           "local\nbad\ndead\n",
		"--context dead get apps ": ":4\n",
	}
	for args, want := range tests {
		fields := append([]string{"__complete"}, strings.Fields(args)...)
		if got := gantry(t, config, "", append(fields, "")...); !strings.HasPrefix(got.out, want) {
			t.Errorf("%q: got %q", args, got.out)
		}
	}
	if got := gantry(t, config, "", "completion", "bash"); got.code != 0 || !strings.Contains(got.out, "__start_gantry") {
		t.Errorf("completion script: %d %s", got.code, got.err)
	}
}

func TestUseContext(t *testing.T) {
	_, config := startPlatform(t)
	if got := gantry(t, config, "", "config", "use-context", "dead"); got.code != 0 {
		t.Fatalf("%+v", got)
	}
	if got := gantry(t, config, "", "get", "clusters", "--timeout", "5s"); got.code != exitUnavailable {
		t.Errorf("%+v", got)
	}
	if got := gantry(t, config, "", "config", "use-context", "none"); got.code != exitNotFound {
		t.Errorf("%+v", got)
	}
}
