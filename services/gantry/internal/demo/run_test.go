package demo

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"

	"gantry.dev/pkg/fault"
	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// exampleDir is the sample app that the demo really deploys.
const exampleDir = "../../../../examples/hello"

// perform runs the whole demo on a cloud and returns its report.
func perform(t *testing.T, c *cloud) (r Report, told string, err error) {
	t.Helper()
	var progress, out bytes.Buffer
	dir := t.TempDir()
	err = Run(t.Context(), Config{
		Client: c.client(), Platform: c, Example: exampleDir, OutputDir: dir, Keep: true,
		LoadCommand: []string{"gantry", "load"}, Prometheus: "http://127.0.0.1:1", Progress: &progress, Out: &out,
		startLoad: c.startLoad, countAlerts: c.countAlerts,
		publishImage: func(context.Context, string, string, []string) (string, error) {
			return "sha256:" + strings.Repeat("0", 64), nil
		},
	})
	data, readErr := os.ReadFile(filepath.Join(dir, "demo.json"))
	if readErr != nil {
		t.Fatalf("%v\n%s", readErr, progress.String())
	}
	if err := json.Unmarshal(data, &r); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "demo.html")); err != nil {
		t.Error(err)
	}
	return r, progress.String() + out.String(), err
}

func TestWholeDemo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, told, err := perform(t, newCloud())
		if err != nil || !r.OK {
			t.Fatalf("ok %v, error %v\n%s", r.OK, err, told)
		}
		var names []string
		for _, p := range r.Phases {
			names = append(names, p.Name)
			if p.Requests == 0 || p.Detail == "" || p.Seconds <= 0 {
				t.Errorf("phase %+v is not filled", p)
			}
		}
		want := []string{"deploy", "scale-up", "scale-down", "release", "switch", "site-loss", "failback", "lb-loss"}
		if diff := cmp.Diff(want, names); diff != "" {
			t.Errorf("phases (-want +got):\n%s", diff)
		}
		if *r.VIPTakeoverSeconds != 0.6 || *r.ClusterDownDetectedSeconds < 30 || *r.RecoveredSeconds < *r.ClusterDownDetectedSeconds {
			t.Errorf("takeover %v, detected %v, recovered %v", *r.VIPTakeoverSeconds, *r.ClusterDownDetectedSeconds, *r.RecoveredSeconds)
		}
		wantDecisions := []DecisionReport{{"placement", "2 + 2", "0", "4"}, {"autoscale", "4 pods, … → 6", "4", "6"}, {"autoscale", "6 pods, … → 4", "6", "4"}}
		if diff := cmp.Diff(wantDecisions, r.Decisions); diff != "" {
			t.Errorf("decisions (-want +got):\n%s", diff)
		}
		for _, line := range []string{"gantry local kill site-b", "ALARM ClusterDown", "site-b: Suspect → Down", "✓ takeover within 1 s", "gantry local status"} {
			if !strings.Contains(told, line) {
				t.Errorf("never told: %s\n%s", line, told)
			}
		}
	})
}

func TestAgainOnARunningPlatform(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCloud()
		c.evacuated, c.percent["site-a"] = true, 50
		if _, told, err := perform(t, c); err != nil {
			t.Fatalf("%v\n%s", err, told)
		}
		c.alarm = nil // the platform ends it when the cluster is healthy
		if _, told, err := perform(t, c); err != nil {
			t.Fatalf("second run: %v\n%s", err, told)
		}
	})
}

func TestAFailureThatLastsIsSeen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCloud()
		c.badFailures = true
		r, told, err := perform(t, c)
		if !fault.HasReason(err, "DEMO_EXPECTATION_FAILED") || r.OK {
			t.Errorf("ok %v, error %v", r.OK, err)
		}
		if !strings.Contains(told, "✗ NOT HELD failures end within 5 s") {
			t.Errorf("never told:\n%s", told)
		}
	})
}

// A phase that breaks off is told, and the next ones are still played.
func TestAPhaseThatBreaksOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCloud()
		c.badAlarm = true
		r, _, err := perform(t, c)
		if err == nil || r.OK || len(r.Phases) != len(phases()) || r.ClusterDownDetectedSeconds != nil {
			t.Errorf("ok %v, error %v, %d phases, detected %v", r.OK, err, len(r.Phases), r.ClusterDownDetectedSeconds)
		}
		if detail := r.Phases[5].Detail; !strings.Contains(detail, "waited 2m0s for the alarm about site-b") {
			t.Errorf("detail: %s", detail)
		}
	})
}
