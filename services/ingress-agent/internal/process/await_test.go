package process

import (
	"os/exec"
	"testing"
	"time"
)

func TestAwaitEnd(t *testing.T) {
	const long, short = 20 * time.Second, 30 * time.Millisecond
	cmd := exec.Command("sleep", "30")
	if err := cmd.Start(); err != nil {
		t.Skip("no program to wait for: " + err.Error())
	}
	pid := cmd.Process.Pid
	start := time.Now()
	AwaitEnd(short, 0, pid)
	if took := time.Since(start); took < short-time.Millisecond {
		t.Errorf("the process lives, and the wait ended after %s", took)
	}
	start = time.Now()
	time.AfterFunc(short, func() { _ = cmd.Process.Kill() })
	AwaitEnd(long, 0, pid)
	_ = cmd.Wait()
	AwaitEnd(long, pid) // there is no such process any more
	if took := time.Since(start); took > long/2 {
		t.Errorf("the end was seen after %s", took)
	}
}
