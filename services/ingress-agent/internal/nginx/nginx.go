// Package nginx starts, adopts, reloads and tests the node's Nginx.
package nginx

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"time"

	"gantry.dev/pkg/fault"
	"gantry.dev/services/ingress-agent/internal/balancer"
	"gantry.dev/services/ingress-agent/internal/process"
	"gantry.dev/services/ingress-agent/internal/render"
)

// Config is what New needs.
type Config struct {
	// Program, "nginx".
	Binary   string
	StateDir string
	Logger   *slog.Logger
	// How long clients are asked to reconnect before a reload; 0: 1 s.
	Drain time.Duration
	// How long a reload may take until it counts as failed; 0: 60 s.
	ReloadDeadline time.Duration
}

// Nginx is the one daemon of this node. Its methods must not run at the same
// time, except Pid and Client.
type Nginx struct {
	config Config
	client *balancer.Client
}

const (
	defaultDrain    = time.Second
	defaultDeadline = 60 * time.Second
	testDeadline    = 60 * time.Second
	startDeadline   = 60 * time.Second
	pollPause       = 20 * time.Millisecond
	// confirmations are answers in a row, each on a new connection, after
	// which no old worker takes connections any more.
	confirmations = 3
)

// New prepares the control of Nginx; it starts nothing.
func New(c Config) *Nginx {
	if c.Drain == 0 {
		c.Drain = defaultDrain
	}
	if c.ReloadDeadline == 0 {
		c.ReloadDeadline = defaultDeadline
	}
	return &Nginx{config: c, client: balancer.NewClient(filepath.Join(c.StateDir, render.ControlSocket))}
}

// Client talks to the control socket.
func (n *Nginx) Client() *balancer.Client { return n.client }

func (n *Nginx) path(name string) string { return filepath.Join(n.config.StateDir, name) }

// Pid of the master; 0 when it does not run.
func (n *Nginx) Pid() int {
	return process.Read(n.path(render.NginxPid), "nginx: master process", "-p "+n.config.StateDir+" ")
}

// Refusal is the verdict of `nginx -t` on files that it does not take.
type Refusal struct {
	// Name below hosts/ of the file that is to blame; empty when Nginx names
	// none.
	File   string
	Reason string
}

func (e *Refusal) Error() string {
	return "nginx -t refuses the configuration: " + strings.TrimPrefix(e.File+": "+e.Reason, ": ")
}

// Test lets Nginx read a generation's files. The error is a *Refusal when it
// read them and takes them not. It has no network, and no keys: they are not in
// the files, and the prefix of what Lua would read is not where they are.
func (n *Nginx) Test(ctx context.Context, dir string) error {
	out, err := process.RunApart(ctx, testDeadline, n.config.Binary, "-t", "-q", "-e", "stderr", "-p", dir, "-c", filepath.Join(dir, render.NginxConf))
	var exit *exec.ExitError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &exit) && exit.Exited():
		return verdict(out)
	}
	return fault.Unavailable("NGINX_TEST_FAILED", "run nginx -t on %s: %s (%w)", dir, lastLine(out), err)
}

func verdict(output string) *Refusal {
	m := regexp.MustCompile(`(?m)\[emerg\] (?:\d+#\d+: )?(.*?)(?: in \S*/hosts/([^/\s]+):\d+)?$`).FindStringSubmatch(output)
	if m == nil {
		return &Refusal{Reason: lastLine(output)}
	}
	return &Refusal{File: m[2], Reason: m[1]}
}

func lastLine(s string) string {
	lines := strings.Split(strings.TrimSpace(s), "\n")
	for _, l := range lines {
		if strings.Contains(l, "[emerg]") {
			return l
		}
	}
	return lines[len(lines)-1]
}

// Start starts Nginx on current/ and waits until it answers with the layout.
// What a killed master left behind is cleared first: workers that hold the
// port, and the socket's file.
func (n *Nginx) Start(ctx context.Context, layout string) error {
	n.clearOrphans(ctx)
	if err := os.Remove(n.path(render.ControlSocket)); err != nil && !os.IsNotExist(err) {
		return fmt.Errorf("remove the old control socket: %w", err)
	}
	out, err := process.Run(ctx, startDeadline, n.config.Binary, "-p", n.config.StateDir, "-e", n.path(render.NginxLog), "-c", n.path("current/"+render.NginxConf))
	if err != nil {
		return fault.Unavailable("NGINX_START_FAILED", "start nginx: %s (%w)", lastLine(out), err)
	}
	n.config.Logger.Info("nginx started", "pid", n.Pid(), "layout", layout)
	return n.confirm(ctx, 0, layout)
}

// clearOrphans ends workers without a master: they finish their requests but
// take no new ones.
func (n *Nginx) clearOrphans(ctx context.Context) {
	orphans := process.Find("nginx: worker process", n.path(render.NginxLog))
	for _, pid := range orphans {
		n.config.Logger.Warn("an nginx worker without master is asked to end", "pid", pid)
		_ = syscall.Kill(pid, syscall.SIGQUIT)
	}
	if len(orphans) > 0 { // they close their listening sockets at once
		pause(ctx, pollPause*5)
	}
}

// Reload brings current/ into effect: clients are asked to reconnect for a
// moment, then new workers take over. It is done when new connections are
// answered with the new layout (rule I3): Nginx keeps the old configuration
// silently when a reload fails.
func (n *Nginx) Reload(ctx context.Context, swap func() error, layout string) error {
	before, err := n.client.Status(ctx)
	if err != nil {
		return fmt.Errorf("ask before the reload: %w", err)
	}
	if err := n.client.Drain(ctx); err != nil {
		return fmt.Errorf("announce the reload: %w", err)
	}
	pause(ctx, n.config.Drain)
	if err := errors.Join(ctx.Err(), swap()); err != nil {
		return errors.Join(err, n.client.Undrain(ctx))
	}
	pid := n.Pid()
	if pid == 0 {
		return fault.Unavailable("NGINX_GONE", "nginx ended before it was reloaded")
	}
	if err := syscall.Kill(pid, syscall.SIGHUP); err != nil {
		return fmt.Errorf("signal nginx: %w", err)
	}
	if err := n.confirm(ctx, before.Epoch, layout); err != nil {
		return errors.Join(err, n.client.Undrain(ctx))
	}
	return nil
}

// confirm polls until several new connections in a row reach workers of a
// later epoch with the wanted layout.
func (n *Nginx) confirm(ctx context.Context, after int64, layout string) error {
	ctx, cancel := context.WithTimeout(ctx, n.config.ReloadDeadline)
	defer cancel()
	var last balancer.Status
	var err error
	for good := 0; good < confirmations; {
		last, err = n.client.Status(ctx)
		if err == nil && last.Epoch > after && last.Layout == layout {
			good++
			continue
		}
		good = 0
		pause(ctx, pollPause)
		if ctx.Err() != nil {
			return fault.Timeout("LAYOUT_NOT_SERVED", "nginx does not serve layout %s but %q (%w); its log %s says why", layout, last.Layout, errors.Join(err, ctx.Err()), render.NginxLog)
		}
	}
	return nil
}

// Stop ends Nginx after its requests; for a node that is taken down.
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
