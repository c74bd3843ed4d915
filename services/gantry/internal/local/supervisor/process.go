package supervisor

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// environment is all that a process inherits.
func environment(extra []string) []string {
	return append([]string{
		"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
		"HOME=" + os.Getenv("HOME"), "LANG=C.UTF-8", "TZ=UTC",
	}, extra...)
}

// launcher starts real processes.
type launcher struct {
	log    func(name string) string
	record func(name string) string
	groups Groups
}

// command is a started operating system process.
type command struct {
	cmd    *exec.Cmd
	record string
}

// logMost is the size above which a log is put aside at the next start.
const logMost = 16 << 20

// rotate keeps one older log beside the present one.
func rotate(file string) error {
	info, err := os.Stat(file)
	if err != nil || info.Size() < logMost {
		return nil //nolint:nilerr // there is no log yet
	}
	return os.Rename(file, file+".1")
}

func (l launcher) start(s Spec) (running, error) {
	if err := rotate(l.log(s.Name)); err != nil {
		return nil, fmt.Errorf("put the log aside: %w", err)
	}
	log, err := os.OpenFile(l.log(s.Name), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, fmt.Errorf("open log: %w", err)
	}
	defer log.Close()
	path, args := s.Path, s.Args
	if s.Namespace != "" {
		// ip replaces itself with the program, so the process number stays.
		path, args = "ip", append([]string{"netns", "exec", s.Namespace, s.Path}, s.Args...)
	}
	cmd := exec.Command(path, args...) //nolint:noctx // it outlives its supervisor, on purpose
	cmd.Env, cmd.Stdout, cmd.Stderr = environment(s.Env), log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if l.groups != nil {
		folder, err := l.groups.Open(s.Group)
		if err != nil {
			return nil, fmt.Errorf("open cgroup: %w", err)
		}
		defer folder.Close()
		startIn(cmd.SysProcAttr, folder)
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	c := &command{cmd: cmd, record: l.record(s.Name)}
	return c, WriteRecord(c.record, cmd.Process.Pid)
}

func (c *command) PID() int { return c.cmd.Process.Pid }

func (c *command) Wait() error {
	err := c.cmd.Wait()
	_ = os.Remove(c.record)
	return err
}

func (c *command) Signal(s syscall.Signal) error { return c.cmd.Process.Signal(s) }

// WriteRecord notes a process number together with its start time, because
// the number alone may belong to somebody else later.
func WriteRecord(file string, pid int) error {
	start, err := startTime(pid)
	if err != nil {
		return nil //nolint:nilerr // it is over already; its exit is reported by Wait
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return err
	}
	return os.WriteFile(file, fmt.Appendf(nil, "%d %s\n", pid, start), 0o644)
}

// ReadRecord returns the process of a record if it is still the same one.
func ReadRecord(file string) (pid int, alive bool) {
	data, err := os.ReadFile(file)
	if err != nil {
		return 0, false
	}
	number, start, _ := strings.Cut(strings.TrimSpace(string(data)), " ")
	pid, err = strconv.Atoi(number)
	if err != nil {
		return 0, false
	}
	now, err := startTime(pid)
	return pid, err == nil && now == start
}
