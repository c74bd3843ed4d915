// Package keepalived starts, adopts and watches the node's Keepalived, and
// takes away the VIP that a killed one leaves behind (rule I8).
package keepalived

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"gantry.dev/pkg/fault"
	"gantry.dev/services/ingress-agent/internal/process"
)

// Config is what New needs; all is required.
type Config struct {
	// Program, "keepalived".
	Binary   string
	StateDir string
	// Interface that carries the VIP.
	Interface string
	Logger    *slog.Logger
}

// Keepalived is the one daemon of this node.
type Keepalived struct {
	config Config
	// Calls of Ensure in a row that found no child; only Ensure uses it.
	childless int
}

const (
	testDeadline = 20 * time.Second
	ipDeadline   = 5 * time.Second
	// settle is how long a daemon that was just started may take to write its
	// pid files.
	settle = 3 * time.Second
	// childPatience is how many calls of Ensure a daemon may be without its
	// child, which it starts again by itself.
	childPatience = 20
	// exitScriptSecurity: the file is good but script security is off. The
	// script is the agent's own program; who may change that is root already,
	// and the check would refuse a program below a user's home.
	exitScriptSecurity = 6
)

// New prepares the control of Keepalived; it starts nothing.
func New(c Config) *Keepalived { return &Keepalived{config: c} }

func (k *Keepalived) path(name string) string { return filepath.Join(k.config.StateDir, name) }

func (k *Keepalived) conf() string { return k.path("current/keepalived.conf") }

// Parent gives the pid of the daemon; 0 when it does not run.
func (k *Keepalived) Parent() int { return process.Read(k.path("run/keepalived.pid"), k.conf()) }

// Child gives the pid of the process that speaks VRRP; 0 when it does not run.
func (k *Keepalived) Child() int { return process.Read(k.path("run/vrrp.pid"), k.conf()) }

// Test asks Keepalived whether it accepts a file.
func (k *Keepalived) Test(ctx context.Context, file string) error {
	out, err := process.Run(ctx, testDeadline, k.config.Binary, "-t", "-f", file)
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.ExitCode() == exitScriptSecurity {
		return nil
	}
	if err != nil {
		return fault.Precondition("KEEPALIVED_REFUSES", "keepalived -t refuses %s: %s (%w)", file, strings.TrimSpace(out), err)
	}
	return nil
}

// Reload lets a running daemon read its file again.
func (k *Keepalived) Reload() error {
	pid := k.Parent()
	if pid == 0 {
		return nil // Ensure starts it on the new file
	}
	if err := syscall.Kill(pid, syscall.SIGHUP); err != nil {
		return fmt.Errorf("reload keepalived: %w", err)
	}
	return nil
}

// Ensure starts Keepalived if it has a file and does not run whole. An
// address that a killed one left is removed first: another node has it.
func (k *Keepalived) Ensure(ctx context.Context, vip string) (started bool, err error) {
	if _, err := os.Stat(k.conf()); err != nil || vip == "" {
		return false, nil //nolint:nilerr // nothing to run yet
	}
	if k.whole() {
		return false, nil
	}
	k.stop()
	if err := k.dropStale(ctx, vip); err != nil {
		return false, err
	}
	_, _, err = process.Start(k.path("log/keepalived.log"), k.config.Binary,
		"--vrrp", "--dont-fork", "--log-console", "--log-detail", "--no-syslog",
		"--use-file="+k.conf(), "--pid="+k.path("run/keepalived.pid"), "--vrrp_pid="+k.path("run/vrrp.pid"))
	if err != nil {
		return false, err
	}
	k.config.Logger.Info("keepalived started", "vip", vip)
	return true, k.await(ctx)
}

// whole tells whether nothing needs to be started.
func (k *Keepalived) whole() bool {
	if k.Parent() == 0 {
		return false
	}
	if k.Child() != 0 {
		k.childless = 0
		return true
	}
	k.childless++
	return k.childless < childPatience
}

// stop kills what is left of a daemon that lost a part.
func (k *Keepalived) stop() {
	for _, pid := range []int{k.Parent(), k.Child()} {
		if pid != 0 {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	}
	_ = os.Remove(k.path("run/keepalived.pid"))
	_ = os.Remove(k.path("run/vrrp.pid"))
}

func (k *Keepalived) await(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, settle)
	defer cancel()
	for k.Parent() == 0 || k.Child() == 0 {
		select {
		case <-ctx.Done():
			return fault.Unavailable("KEEPALIVED_START_FAILED", "keepalived does not run after %s; its log %s says why", settle, k.path("log/keepalived.log"))
		case <-time.After(20 * time.Millisecond):
		}
	}
	return nil
}

// dropStale removes the VIP from the interface if it is there.
func (k *Keepalived) dropStale(ctx context.Context, vip string) error {
	if !k.Holds(vip) {
		return nil
	}
	out, err := process.Run(ctx, ipDeadline, "ip", "address", "del", vip+"/32", "dev", k.config.Interface)
	if err != nil {
		return fmt.Errorf("remove the stale VIP %s: %s: %w", vip, strings.TrimSpace(out), err)
	}
	k.config.Logger.Warn("removed the VIP that a killed keepalived left", "vip", vip)
	return nil
}

// Holds tells whether the interface has the address now.
func (k *Keepalived) Holds(vip string) bool {
	i, err := net.InterfaceByName(k.config.Interface)
	if err != nil {
		return false
	}
	addresses, err := i.Addrs()
	if err != nil {
		return false
	}
	for _, a := range addresses {
		if n, ok := a.(*net.IPNet); ok && n.IP.String() == vip {
			return true
		}
	}
	return false
}
