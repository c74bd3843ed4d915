package process

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

func TestProcess(t *testing.T) {
	dir := t.TempDir()
	log := filepath.Join(dir, "log")
	pid, ended, err := Start(log, "sleep", "30.125")
	if err != nil {
		t.Fatal(err)
	}
	pidFile := filepath.Join(dir, "pid")
	if err := os.WriteFile(pidFile, fmt.Appendf(nil, "%d\n", pid), 0o600); err != nil {
		t.Fatal(err)
	}
	for Read(pidFile, "sleep", "30.125") == 0 { // between fork and exec
		time.Sleep(time.Millisecond)
	}
	if got := Read(pidFile, "another program"); got != 0 {
		t.Errorf("another process was taken for ours: %d", got)
	}
	if got := Find("sleep\x0030.125", log); !slices.Equal(got, []int{pid}) {
		t.Errorf("found %v, want %d", got, pid)
	}
	p, err := os.FindProcess(pid)
	if err != nil {
		t.Fatal(err)
	}
	_ = p.Kill()
	<-ended
	if got := Read(pidFile, "sleep"); got != 0 {
		t.Errorf("a dead process is read as %d", got)
	}
}

func TestRunIsBounded(t *testing.T) {
	start := time.Now()
	if _, err := Run(t.Context(), 50*time.Millisecond, "sleep", "20"); err == nil || time.Since(start) > 10*time.Second {
		t.Errorf("%v after %s", err, time.Since(start))
	}
	if out, err := Run(t.Context(), time.Second, "echo", "x"); err != nil || out != "x\n" {
		t.Errorf("%q, %v", out, err)
	}
}
