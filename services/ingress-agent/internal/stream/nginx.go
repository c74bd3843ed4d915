package stream

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"time"

	"gantry.dev/pkg/fault"
	"gantry.dev/services/ingress-agent/internal/process"
)

// Nginx is the daemon of the stream routes. Its methods must not run at the
// same time, except Pid and Old.
type Nginx struct {
	binary string
	env    Env
	log    *slog.Logger
}

const (
	deadline  = 60 * time.Second
	askLimit  = time.Second
	pollPause = 10 * time.Millisecond
	// confirmations are answers in a row, each on a new connection, after
	// which no old worker takes connections any more.
	confirmations = 3
)

// NewNginx prepares the control of Nginx; it starts nothing.
func NewNginx(binary string, env Env, log *slog.Logger) *Nginx {
	return &Nginx{binary: binary, env: env, log: log}
}

func (n *Nginx) path(name string) string { return filepath.Join(n.env.StateDir, name) }

// Pid of the master; 0 when it does not run.
func (n *Nginx) Pid() int {
	return process.Read(n.path(pidFile), "nginx: master process", "-p "+n.env.StateDir+" ")
}

// Old counts the workers that only serve connections from before a reload.
func (n *Nginx) Old() int {
	count := 0
	for _, pid := range process.Children(n.Pid()) {
		if process.Is(pid, "nginx: worker process is shutting down") {
			count++
		}
	}
	return count
}

// RouteError is Nginx's refusal of one route's file.
type RouteError struct {
	// File name, "shop.db.conf".
	File   string
	Reason string
}

func (e *RouteError) Error() string { return fmt.Sprintf("nginx refuses %s: %s", e.File, e.Reason) }

// Test asks Nginx whether it accepts the files in dir: nil, a *RouteError that
// blames one route, or another error.
func (n *Nginx) Test(ctx context.Context, dir string) error {
	out, err := process.Run(ctx, deadline, n.binary, "-t", "-q", "-e", "stderr", "-p", n.env.StateDir, "-c", filepath.Join(dir, mainConf))
	if err == nil {
		return nil
	}
	if blamed := blame(out); blamed != nil {
		return blamed
	}
	return fault.Precondition("NGINX_REFUSES", "nginx -t refuses the stream routes in %s: %s (%w)", dir, emergency(out), err)
}

func blame(output string) *RouteError {
	for line := range strings.Lines(output) {
		m := regexp.MustCompile(`\[emerg\] (?:\d+#\d+: )?(.*) in \S*/` + routesDir + `/([^/\s]+):\d+`).FindStringSubmatch(line)
		if m != nil {
			return &RouteError{File: m[2], Reason: m[1]}
		}
	}
	return nil
}

func emergency(output string) string {
	lines := strings.Split(strings.TrimSpace(output), "\n")
	for _, l := range lines {
		if strings.Contains(l, "[emerg]") {
			return l
		}
	}
	return lines[len(lines)-1]
}

// Clear asks workers without a master to end: they serve their connections
// but take no new ones, and give the ports back.
func (n *Nginx) Clear(ctx context.Context) {
	orphans := process.Find("nginx: worker process", n.path(errorLog))
	for _, pid := range orphans {
		n.log.Warn("a stream worker without master is asked to end", "pid", pid)
		_ = syscall.Kill(pid, syscall.SIGQUIT)
	}
	if len(orphans) > 0 { // they close their listening sockets at once
		pause(ctx, pollPause*10)
	}
}

// Start starts Nginx on current/ and waits until it answers with the layout.
func (n *Nginx) Start(ctx context.Context, layout string) error {
	if err := os.Remove(n.path(controlSocket)); err != nil && !os.IsNotExist(err) {
		return fmt.Errorf("remove the old control socket: %w", err)
	}
	out, err := process.Run(ctx, deadline, n.binary, "-p", n.env.StateDir, "-e", n.path(errorLog), "-c", n.path("current/"+mainConf))
	if err != nil {
		return fault.Unavailable("NGINX_START_FAILED", "start nginx for the stream routes: %s (%w)", emergency(out), err)
	}
	n.log.Info("nginx started for the stream routes", "pid", n.Pid(), "layout", layout)
	return n.confirm(ctx, layout)
}

// Reload brings current/ into effect. It is done when new connections are
// answered with the new layout (rule I3): Nginx keeps the old configuration
// silently when a reload fails.
func (n *Nginx) Reload(ctx context.Context, layout string) error {
	pid := n.Pid()
	if pid == 0 {
		return fault.Unavailable("NGINX_GONE", "nginx of the stream routes ended before it was reloaded")
	}
	if err := syscall.Kill(pid, syscall.SIGHUP); err != nil {
		return fmt.Errorf("signal nginx: %w", err)
	}
	return n.confirm(ctx, layout)
}

func (n *Nginx) confirm(ctx context.Context, layout string) error {
	ctx, cancel := context.WithTimeout(ctx, deadline)
	defer cancel()
	for good := 0; good < confirmations; {
		got, err := n.Layout(ctx)
		if err == nil && got == layout {
			good++
			continue
		}
		good = 0
		pause(ctx, pollPause)
		if ctx.Err() != nil {
			return fault.Timeout("LAYOUT_NOT_SERVED", "nginx does not serve layout %s of the stream routes but %q (%w); its log %s says why", layout, got, errors.Join(err, ctx.Err()), n.path(errorLog))
		}
	}
	return nil
}

// Layout asks Nginx what it serves.
func (n *Nginx) Layout(ctx context.Context) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, askLimit)
	defer cancel()
	c, err := (&net.Dialer{}).DialContext(ctx, "unix", n.path(controlSocket))
	if err != nil {
		return "", err
	}
	defer c.Close() //nolint:errcheck // it was only read
	if err := c.SetDeadline(time.Now().Add(askLimit)); err != nil {
		return "", err
	}
	text, err := io.ReadAll(io.LimitReader(c, 64))
	return string(text), err
}

// Stop ends Nginx after its connections.
func (n *Nginx) Stop() error {
	pid := n.Pid()
	if pid == 0 {
		return nil
	}
	if err := syscall.Kill(pid, syscall.SIGQUIT); err != nil {
		return fmt.Errorf("stop nginx: %w", err)
	}
	return nil
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}
