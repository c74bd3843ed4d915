package render_test

import (
	"flag"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"gantry.dev/pkg/fault"
	ipaasv1 "gantry.dev/proto/gen/gantry/ipaas/v1"
	gantryv1 "gantry.dev/proto/gen/gantry/v1"
	"gantry.dev/services/ipaas/internal/render"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
	"sigs.k8s.io/yaml"
)

var update = flag.Bool("update", false, "write the golden files anew")

const image = "10.111.0.1:5000/hello@sha256:0123456789012345678901234567890123456789012345678901234567890123"

func least() *ipaasv1.Workload {
	return &ipaasv1.Workload{App: "projects/pay/apps/web", Release: 1, Image: image, Replicas: 2, Spec: &gantryv1.AppSpec{Image: "hello:1"}}
}

func full() *ipaasv1.Workload {
	w := least()
	w.Release, w.Replicas = 7, 10
	w.Spec = &gantryv1.AppSpec{
		Image: "hello:1", DrainSeconds: 8, GraceSeconds: 12,
		Args:      []string{"--verbose", "serve"},
		Resources: &gantryv1.Resources{Cpu: "500m", Memory: "256Mi", CpuLimit: "2"},
		Env: []*gantryv1.EnvVar{
			{Name: "MODE", Value: "slow"}, {Name: "GANTRY_CLUSTER", Value: "forged"}, {Name: "MODE", Value: "fast"}, {Name: "SELF", Value: "http://$(POD_IP)"},
		},
		Ports:     []*gantryv1.Port{{Name: "http", Port: 8080}, {Name: "admin", Port: 9000}},
		Readiness: &gantryv1.HealthCheck{HttpPath: "/ready?deep=1", Port: 8080},
		Files: []*gantryv1.ConfigFile{
			{Path: "/etc/web/web.toml", Content: "mode = \"fast\"\n"}, {Path: "/etc/motd", Content: "hello"},
		},
		Liveness: &gantryv1.HealthCheck{Port: 9000, PeriodSeconds: 10, TimeoutSeconds: 1, FailureThreshold: 5, InitialDelaySeconds: 20},
	}
	return w
}

// single is an app of which at most one copy may run.
func single() *ipaasv1.Workload {
	w := least()
	w.Replicas, w.Spec.Class = 1, gantryv1.AppClass_APP_CLASS_SINGLE
	return w
}

// rule K6 (the sleep before SIGTERM), rule K4 (replicas have one writer),
// rule C5 (the old pod of a single app is gone before the new one starts)
func TestGolden(t *testing.T) {
	for name, w := range map[string]*ipaasv1.Workload{"least": least(), "full": full(), "single": single()} {
		t.Run(name, func(t *testing.T) {
			objects, err := render.Render("site-a", w)
			if err != nil {
				t.Fatal(err)
			}
			compare(t, filepath.Join("testdata", name+".yaml"), text(t, objects))
		})
	}
}

func text(t *testing.T, o render.Objects) string {
	t.Helper()
	objects := []any{o.Namespace, o.Deployment}
	if o.Config != nil {
		objects = append(objects, o.Config)
	}
	if o.Service != nil {
		objects = append(objects, o.Service)
	}
	var documents []string
	for _, object := range objects {
		document, err := yaml.Marshal(object)
		if err != nil {
			t.Fatal(err)
		}
		documents = append(documents, string(document))
	}
	return strings.Join(documents, "---\n")
}

func compare(t *testing.T, path, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got; -update writes it anew):\n%s", path, diff)
	}
}

func TestWhatIsRefused(t *testing.T) {
	tests := map[string]struct {
		change func(*ipaasv1.Workload)
		reason string
	}{
		"no app":       {func(w *ipaasv1.Workload) { w.App = "projects/pay" }, "APP_NAME"},
		"too deep":     {func(w *ipaasv1.Workload) { w.App = "projects/pay/apps/web/releases/1" }, "APP_NAME"},
		"Gantry's own": {func(w *ipaasv1.Workload) { w.App = "projects/system/apps/web" }, "PROJECT_RESERVED"},
		"two of one": {func(w *ipaasv1.Workload) {
			w.Spec.Class = gantryv1.AppClass_APP_CLASS_SINGLE
		}, "SINGLE_REPLICAS"},
		"CPU is no quantity":  {func(w *ipaasv1.Workload) { w.Spec.Resources = &gantryv1.Resources{Cpu: "much"} }, "QUANTITY"},
		"memory is none":      {func(w *ipaasv1.Workload) { w.Spec.Resources = &gantryv1.Resources{Memory: "1Xi"} }, "QUANTITY"},
		"the CPU limit, also": {func(w *ipaasv1.Workload) { w.Spec.Resources = &gantryv1.Resources{CpuLimit: "two"} }, "QUANTITY"},
	}
	for name, tc := range tests {
		w := least()
		tc.change(w)
		if _, err := render.Render("site-a", w); !fault.HasReason(err, tc.reason) || !fault.Is(err, fault.KindInvalid) {
			t.Errorf("%s: %v, want %s", name, err, tc.reason)
		}
	}
}

// Kubernetes refuses a variable that is there twice, and an app must be able
// to trust Gantry's.
func TestEachVariableOnce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := least()
		names := rapid.SliceOf(rapid.SampledFrom([]string{"A", "B", "C", "POD_IP", "GANTRY_CLUSTER", "GANTRY_APP"})).Draw(t, "names")
		for i, name := range names {
			w.Spec.Env = append(w.Spec.Env, &gantryv1.EnvVar{Name: name, Value: strconv.Itoa(i)})
		}
		objects, err := render.Render("site-a", w)
		if err != nil {
			t.Fatal(err)
		}
		seen := map[string]string{}
		for _, e := range objects.Deployment.Spec.Template.Spec.Containers[0].Env {
			if _, twice := seen[*e.Name]; twice {
				t.Fatalf("%s is there twice", *e.Name)
			}
			seen[*e.Name] = ""
			if e.Value != nil {
				seen[*e.Name] = *e.Value
			}
		}
		if seen["GANTRY_CLUSTER"] != "site-a" || seen["GANTRY_APP"] != w.GetApp() {
			t.Fatalf("Gantry's variables are forged: %v", seen)
		}
		last := map[string]string{}
		for i, name := range names {
			last[name] = strconv.Itoa(i)
		}
		for _, name := range []string{"A", "B", "C"} {
			if seen[name] != last[name] {
				t.Fatalf("%s is %q, want the last value %q", name, seen[name], last[name])
			}
		}
	})
}

// The pod must live at least as long as its sleep before SIGTERM.
func TestTheGracePeriodHoldsTheDrain(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := least()
		w.Spec.DrainSeconds = rapid.Int32Range(0, 600).Draw(t, "drain")
		w.Spec.GraceSeconds = rapid.Int32Range(0, 3600).Draw(t, "grace")
		objects, err := render.Render("site-a", w)
		if err != nil {
			t.Fatal(err)
		}
		pod := objects.Deployment.Spec.Template.Spec
		sleep := *pod.Containers[0].Lifecycle.PreStop.Sleep.Seconds
		if sleep < 1 || *pod.TerminationGracePeriodSeconds <= sleep {
			t.Fatalf("sleep %d, grace period %d", sleep, *pod.TerminationGracePeriodSeconds)
		}
	})
}
