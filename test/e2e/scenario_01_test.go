package e2e

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// report is .local/demo.json.
type report struct {
	Phases []struct {
		Name     string `json:"name"`
		Requests int    `json:"requests"`
		Failed   int    `json:"failed"`
		Detail   string `json:"detail"`
	} `json:"phases"`
	Decisions []struct {
		Kind    string `json:"kind"`
		Formula string `json:"formula"`
		From    string `json:"from"`
		To      string `json:"to"`
	} `json:"decisions"`
	ClusterDownDetectedSeconds *float64 `json:"cluster_down_detected_seconds"`
	RecoveredSeconds           *float64 `json:"recovered_seconds"`
	VIPTakeoverSeconds         *float64 `json:"vip_takeover_seconds"`
}

func Test01MainJob(t *testing.T) {
	if why := missing(); why != "" {
		t.Skip("SKIPPED: " + why)
	}
	_ = os.Remove(filepath.Join(local, "demo.json"))
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Minute)
	defer cancel()
	cmd := command(ctx, "demo", "--rate", "50")
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	// Its exit code also judges seconds, which are not asserted here.
	runErr := cmd.Run()
	b, err := os.ReadFile(filepath.Join(local, "demo.json"))
	if err != nil {
		t.Fatalf("the demo left no report: %v, %v", err, runErr)
	}
	var r report
	if err := json.Unmarshal(b, &r); err != nil {
		t.Fatal(err)
	}
	checkPhases(t, r)
	checkDecisions(t, r)
	if r.ClusterDownDetectedSeconds == nil || r.RecoveredSeconds == nil || r.VIPTakeoverSeconds == nil {
		t.Error("the loss of the cluster, the recovery or the loss of the load balancer node was not seen")
	}
}

func checkPhases(t *testing.T, r report) {
	planned := []string{"scale-up", "scale-down", "release", "switch", "failback"}
	var names []string
	for _, p := range r.Phases {
		names = append(names, p.Name)
		if p.Name != "deploy" && p.Requests == 0 {
			t.Errorf("%s saw no request: %s", p.Name, p.Detail)
		}
		if slices.Contains(planned, p.Name) && p.Failed > 0 {
			t.Errorf("%s lost %d of %d requests: %s", p.Name, p.Failed, p.Requests, p.Detail)
		}
	}
	if want := []string{"deploy", "scale-up", "scale-down", "release", "switch", "site-loss", "failback", "lb-loss"}; !slices.Equal(names, want) {
		t.Errorf("phases %v, want %v", names, want)
	}
}

func checkDecisions(t *testing.T, r report) {
	kinds := map[string]bool{}
	for _, d := range r.Decisions {
		kinds[d.Kind] = true
		if d.Kind == "autoscale" && !strings.Contains(d.Formula, "→") {
			t.Errorf("a decision of the autoscaler has the formula %q", d.Formula)
		}
	}
	for _, kind := range []string{"placement", "autoscale", "health"} {
		if !kinds[kind] {
			t.Errorf("there is no decision of kind %s", kind)
		}
	}
}
