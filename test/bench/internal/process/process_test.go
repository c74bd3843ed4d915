package process_test

import (
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"testing"
	"time"

	"gantry.dev/test/bench/internal/process"
)

func TestCloseEndsEveryChild(t *testing.T) {
	logs := t.TempDir()
	group, err := process.NewGroup(logs)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"one", "two"} {
		start(t, group, name, "exec sleep 600")
	}
	if pids := group.PIDs(); len(pids) != 2 || !group.Alive("one") {
		t.Fatalf("running: %v", pids)
	}
	group.Kill("one")
	if group.Alive("one") {
		t.Error("a killed child is alive")
	}
	pid := group.PIDs()["two"]
	group.Close()
	if _, err := os.Stat(filepath.Join("/proc", strconv.Itoa(pid))); err == nil {
		t.Error("a child outlived the group")
	}
	if err := group.Start(process.Spec{Name: "late", Path: "/bin/true"}); err == nil {
		t.Error("a child was started after the end")
	}
}

func TestOutputIsKept(t *testing.T) {
	logs := t.TempDir()
	group, err := process.NewGroup(logs)
	if err != nil {
		t.Fatal(err)
	}
	defer group.Close()
	start(t, group, "hello", "echo hello")
	for deadline := time.Now().Add(10 * time.Second); group.Alive("hello") && time.Now().Before(deadline); {
		runtime.Gosched()
	}
	if log, err := os.ReadFile(filepath.Join(logs, "hello.log")); err != nil || string(log) != "hello\n" {
		t.Errorf("log %q, %v", log, err)
	}
}

func start(t *testing.T, group *process.Group, name, script string) {
	t.Helper()
	if err := group.Start(process.Spec{Name: name, Path: "/bin/sh", Args: []string{"-c", script}}); err != nil {
		t.Fatal(err)
	}
}

func TestAProgramThatIsNotThere(t *testing.T) {
	group, err := process.NewGroup(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer group.Close()
	if err := group.Start(process.Spec{Name: "none", Path: "/nowhere"}); err == nil {
		t.Error("no error")
	}
}
