// Package e2e runs numbered scenarios on the real local platform.
package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// The repository, and the local platform's folder in it.
var (
	repo  = filepath.Join("..", "..")
	local = filepath.Join(repo, ".local")
)

func TestMain(m *testing.M) {
	code := m.Run()
	// GANTRY_E2E_KEEP leaves the platform to the one who works on a scenario.
	if missing() == "" && os.Getenv("GANTRY_E2E_KEEP") == "" {
		_ = command(context.Background(), "local", "down").Run() // also after a failure
	}
	os.Exit(code)
}

// missing says why the scenarios cannot run here; empty: they can.
func missing() string {
	if os.Geteuid() != 0 {
		return "the local platform needs root"
	}
	if _, err := os.Stat(gantryPath()); err != nil {
		return "the programs are not built: run `make build`"
	}
	return ""
}

// platform makes sure that the platform runs with the sample app, or skips.
func platform(t *testing.T) {
	t.Helper()
	if why := missing(); why != "" {
		t.Skip("SKIPPED: " + why)
	}
	if _, err := os.Stat(filepath.Join(local, "demo.json")); err != nil {
		t.Skip("SKIPPED: scenario 01 has not made the sample app")
	}
}

func gantryPath() string {
	path, err := filepath.Abs(filepath.Join(local, "bin", "gantry"))
	if err != nil {
		return ""
	}
	return path
}

// command is the command line, run in the repository.
func command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, gantryPath(), args...)
	cmd.Dir = repo
	return cmd
}

// result is what a command gave.
type result struct {
	out, err string
	code     int
}

// gantry runs the command line for at most two minutes.
func gantry(t *testing.T, stdin string, args ...string) result {
	t.Helper()
	// Cleaning up uses it too, when the test's own context has ended.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), 2*time.Minute)
	defer cancel()
	cmd := command(ctx, args...)
	var out, err bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), &out, &err
	runErr := cmd.Run()
	var exit *exec.ExitError
	if runErr != nil && !errors.As(runErr, &exit) {
		t.Fatalf("gantry %s: %v", strings.Join(args, " "), runErr)
	}
	return result{out.String(), err.String(), cmd.ProcessState.ExitCode()}
}

// must runs the command line and gives what it printed.
func must(t *testing.T, args ...string) string {
	t.Helper()
	r := gantry(t, "", args...)
	if r.code != 0 {
		t.Fatalf("gantry %s: exit code %d\n%s%s", strings.Join(args, " "), r.code, r.out, r.err)
	}
	return r.out
}

// read reads a resource as JSON.
func read[T any](t *testing.T, args ...string) T {
	t.Helper()
	var v T
	out := must(t, append(args, "-o", "json")...)
	if err := json.Unmarshal([]byte(out), &v); err != nil {
		t.Fatalf("gantry %s: %v in\n%s", strings.Join(args, " "), err, out)
	}
	return v
}

// eventually repeats a check until it gives no complaint.
func eventually(t *testing.T, patience time.Duration, check func() string) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for {
		complaint := check()
		if complaint == "" {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("after %s: %s", patience, complaint)
		}
		time.Sleep(time.Second)
	}
}

// app is the part of an app that the scenarios look at.
type app struct {
	Etag string `json:"etag"`
	Spec struct {
		Image    string `json:"image"`
		Replicas int    `json:"replicas"`
	} `json:"spec"`
	Status struct {
		Release         int  `json:"release"`
		DesiredReplicas int  `json:"desiredReplicas"`
		ReadyReplicas   int  `json:"readyReplicas"`
		Progressing     bool `json:"progressing"`
		Assignments     []struct {
			Cluster       string `json:"cluster"`
			Replicas      int    `json:"replicas"`
			ReadyReplicas int    `json:"readyReplicas"`
			Release       int    `json:"release"`
		} `json:"assignments"`
	} `json:"status"`
}

// settled waits until the sample app is as wanted.
func settled(t *testing.T) app {
	t.Helper()
	var a app
	eventually(t, 3*time.Minute, func() string {
		a = read[app](t, "get", "app", "hello", "-p", "demo")
		if a.Status.Progressing || a.Status.ReadyReplicas < a.Status.DesiredReplicas {
			return fmt.Sprintf("%d of %d replicas are ready", a.Status.ReadyReplicas, a.Status.DesiredReplicas)
		}
		return ""
	})
	return a
}
