// Package process finds and starts the daemons of a node. They outlive the
// agent, which adopts them again by their pid files.
package process

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Read gives the pid in a pid file if that process lives and its command line
// holds every mark (a pid is used again by others); 0 otherwise.
func Read(pidFile string, marks ...string) int {
	text, err := os.ReadFile(pidFile)
	if err != nil {
		return 0
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil || !Is(pid, marks...) {
		return 0
	}
	return pid
}

// Is tells whether pid lives, is no zombie, and its command line holds every
// mark.
func Is(pid int, marks ...string) bool {
	line, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "cmdline"))
	if err != nil || len(line) == 0 {
		return false
	}
	words := string(bytes.ReplaceAll(line, []byte{0}, []byte{' '}))
	for _, m := range marks {
		if !strings.Contains(words, m) {
			return false
		}
	}
	return true
}

// Find gives the pids whose command line begins with title and that hold file
// open.
func Find(title, file string) []int {
	dirs, _ := filepath.Glob("/proc/[0-9]*")
	var pids []int
	for _, dir := range dirs {
		line, err := os.ReadFile(filepath.Join(dir, "cmdline"))
		if err != nil || !bytes.HasPrefix(line, []byte(title)) || !holds(dir, file) {
			continue
		}
		if pid, err := strconv.Atoi(filepath.Base(dir)); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids
}

func holds(dir, file string) bool {
	fds, _ := filepath.Glob(filepath.Join(dir, "fd", "*"))
	for _, fd := range fds {
		if target, err := os.Readlink(fd); err == nil && target == file {
			return true
		}
	}
	return false
}

// Children gives the processes that pid started and that live; none for 0.
func Children(pid int) []int {
	dir := filepath.Join("/proc", strconv.Itoa(pid), "task", strconv.Itoa(pid), "children")
	text, err := os.ReadFile(dir)
	if err != nil {
		return nil
	}
	var pids []int
	for _, word := range strings.Fields(string(text)) {
		if child, err := strconv.Atoi(word); err == nil {
			pids = append(pids, child)
		}
	}
	return pids
}

// outputWait bounds how long a daemon may keep its starter's output open.
const outputWait = 2 * time.Second

// Run runs a short command in its own session with a small environment and
// gives its output.
func Run(ctx context.Context, deadline time.Duration, name string, args ...string) (string, error) {
	return runIn(ctx, 0, deadline, name, args...)
}

// RunApart is Run without a network. Where the agent may not take it away, the
// command keeps it.
func RunApart(ctx context.Context, deadline time.Duration, name string, args ...string) (string, error) {
	out, err := runIn(ctx, syscall.CLONE_NEWNET, deadline, name, args...)
	if errors.Is(err, syscall.EPERM) { // it was not started
		return Run(ctx, deadline, name, args...)
	}
	return out, err
}

func runIn(ctx context.Context, namespaces uintptr, deadline time.Duration, name string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, deadline)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "LANG=C"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Cloneflags: namespaces}
	cmd.WaitDelay = outputWait
	err := cmd.Run()
	if err != nil && ctx.Err() != nil {
		err = ctx.Err()
	}
	return out.String(), err
}

// Start starts a long-lived command in its own session, its output appended
// to logFile; the process outlives the caller. The returned channel is closed
// when it ends.
func Start(logFile, name string, args ...string) (pid int, ended <-chan struct{}, err error) {
	log, err := os.OpenFile(logFile, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o644)
	if err != nil {
		return 0, nil, fmt.Errorf("open the log of %s: %w", name, err)
	}
	defer log.Close()
	cmd := exec.Command(name, args...) //nolint:noctx // it outlives the agent on purpose
	cmd.Stdout, cmd.Stderr = log, log
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "LANG=C"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return 0, nil, fmt.Errorf("start %s: %w", name, err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = cmd.Wait() // only takes the zombie away
	}()
	return cmd.Process.Pid, done, nil
}
