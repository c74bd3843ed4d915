package demo

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func exampleReport() *Report {
	takeover, detected, recovered := 0.612, 34.2, 52.75
	r := &Report{
		OK: true, Started: "2026-03-01T10:00:00Z", Seconds: 312.4, Requests: RequestReport{Total: 61234, Failed: 41},
		Phases: []PhaseReport{
			{"deploy", 41.2, 1020, 0, "2 on site-a, 2 on site-b"},
			{"scale-up", 62.9, 12580, 0, "4 → 6 replicas: 4 pods, sum 320 %, target 50 % → 6.4 → 6"},
			{"site-loss", 58.1, 11620, 41, "alarm with plan after 34.2s, recovered after 52.8s"},
		},
		Decisions:          []DecisionReport{{"autoscale", "4 pods, sum 320 %, target 50 % → 6.4 → 6", "4", "6"}},
		VIPTakeoverSeconds: &takeover, ClusterDownDetectedSeconds: &detected, RecoveredSeconds: &recovered,
	}
	r.expect("deploy", Expectation{"no request failed", true, "0 of 1,020 requests failed"})
	r.expect("scale-up", Expectation{"replicas as decided", true, "4 → 6 decided, 6 ready: 3 on site-a, 3 on site-b"})
	return r
}

func broken() *Report {
	r := exampleReport()
	r.VIPTakeoverSeconds = nil
	r.expect("lb-loss", Expectation{"the phase is completed", false, "waited 1m0s"})
	return r
}

func TestReportIsAsPromised(t *testing.T) {
	for name, write := range map[string]func(io.Writer) error{
		"report.txt":  exampleReport().writeTable,
		"report.json": exampleReport().writeJSON,
		"broken.txt":  broken().writeTable,
		"broken.json": broken().writeJSON,
	} {
		t.Run(name, func(t *testing.T) {
			var got bytes.Buffer
			if err := write(&got); err != nil {
				t.Fatal(err)
			}
			golden := filepath.Join("testdata", name)
			if os.Getenv("GANTRY_UPDATE_GOLDEN") != "" {
				if err := os.WriteFile(golden, got.Bytes(), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got.String()); diff != "" {
				t.Errorf("(-want +got), GANTRY_UPDATE_GOLDEN=1 accepts it:\n%s", diff)
			}
		})
	}
}
