//go:build !linux

package supervisor

import (
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
)

// startIn does nothing: there are control groups on Linux only.
func startIn(*syscall.SysProcAttr, *os.File) {}

// adoptOrphans does nothing: the first process buries orphans.
func adoptOrphans() error { return nil }

// startTime tells two processes of the same number apart.
func startTime(pid int) (string, error) {
	out, err := exec.Command("ps", "-o", "lstart=", "-p", strconv.Itoa(pid)).Output()
	if err != nil {
		return "", fmt.Errorf("process %d has ended: %w", pid, err)
	}
	return strings.Join(strings.Fields(string(out)), "-"), nil
}

// residentBytes is the memory that a process holds, 0 when it is gone.
func residentBytes(pid int) int64 {
	out, err := exec.Command("ps", "-o", "rss=", "-p", strconv.Itoa(pid)).Output()
	if err != nil {
		return 0
	}
	kib, err := strconv.ParseInt(strings.TrimSpace(string(out)), 10, 64)
	if err != nil {
		return 0
	}
	return kib << 10
}
