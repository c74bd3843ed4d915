// Package keepalived starts, adopts and watches the node's Keepalived, and
// takes away the VIPs that a killed one leaves behind (rule I8).
package keepalived

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"gantry.dev/pkg/fault"
	"gantry.dev/services/ingress-agent/internal/process"
	"gantry.dev/services/ingress-agent/internal/render"
	"gantry.dev/services/ingress-agent/internal/vip"
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
	// Since when Ensure finds no child; only Ensure uses it.
	childless time.Time
}

const (
	testDeadline = 20 * time.Second
	ipDeadline   = 5 * time.Second
	// settle is how long a daemon that was just started may take to write its
	// pid files.
	settle = 3 * time.Second
	// childPatience is how long a daemon may be without its child, which it
	// starts again by itself.
	childPatience = 2 * time.Second
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

// Test looks for what Keepalived accepts and what would yet split or block a
// VIP, and then asks Keepalived whether it accepts the file.
func (k *Keepalived) Test(ctx context.Context, file string) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return fmt.Errorf("check the VRRP part: %w", err)
	}
	if err := Lint(text, k.addresses()); err != nil {
		return fault.Precondition("KEEPALIVED_UNSAFE", "%s: %w", file, err)
	}
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

// Release removes the VIPs when no process speaks VRRP for them: a killed one
// leaves them behind, and this node would go on answering for them after
// another has taken them over. It tells the others, so that they need not
// wait for adverts that do not come. It does not wait for the daemon's own new
// child, which knows nothing of the addresses.
func (k *Keepalived) Release(ctx context.Context, v render.VRRP) error {
	if k.Child() != 0 {
		return nil
	}
	held := k.Holding(v.VIPs())
	err := k.dropStale(ctx, held)
	for _, i := range v.Instances {
		if slices.Contains(held, i.VIP) {
			err = errors.Join(err, vip.Resign(v.Source, v.Peers, i.VIP, i.RouterID))
		}
	}
	return err
}

// Wait returns as soon as a process of the daemon ends, at the latest after d.
func (k *Keepalived) Wait(d time.Duration) { process.AwaitEnd(d, k.Parent(), k.Child()) }

// Weigh adds a number to the node's priority for a VIP until it is told
// another; see render.GiveFile.
func (k *Keepalived) Weigh(address string, weight int) error {
	text := strconv.Itoa(weight) + "\n"
	path := k.path(render.GiveFile(address))
	if have, err := os.ReadFile(path); err == nil && string(have) == text {
		return nil
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		return fmt.Errorf("tell keepalived about %s: %w", address, err)
	}
	return nil
}

// Ensure starts Keepalived if it has a file and does not run whole. Addresses
// that a killed one left are removed first: another node has them.
func (k *Keepalived) Ensure(ctx context.Context, vips []string) (started bool, err error) {
	if _, err := os.Stat(k.conf()); err != nil || len(vips) == 0 {
		return false, nil //nolint:nilerr // nothing to run yet
	}
	if k.whole() {
		return false, nil
	}
	k.stop()
	if err := k.dropStale(ctx, vips); err != nil {
		return false, err
	}
	_, _, err = process.Start(k.path("log/keepalived.log"), k.config.Binary,
		"--vrrp", "--dont-fork", "--log-console", "--log-detail", "--no-syslog",
		"--use-file="+k.conf(), "--pid="+k.path("run/keepalived.pid"), "--vrrp_pid="+k.path("run/vrrp.pid"))
	if err != nil {
		return false, err
	}
	k.config.Logger.Info("keepalived started", "vips", vips)
	return true, k.await(ctx)
}

// whole tells whether nothing needs to be started.
func (k *Keepalived) whole() bool {
	if k.Parent() == 0 {
		return false
	}
	if k.Child() != 0 {
		k.childless = time.Time{}
		return true
	}
	if k.childless.IsZero() {
		k.childless = time.Now()
	}
	return time.Since(k.childless) < childPatience
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

// dropStale removes the VIPs that are on the interface.
func (k *Keepalived) dropStale(ctx context.Context, vips []string) error {
	for _, stale := range k.Holding(vips) {
		out, err := process.Run(ctx, ipDeadline, "ip", "address", "del", stale+"/32", "dev", k.config.Interface)
		if err != nil && len(k.Holding([]string{stale})) > 0 { // a new child may have been faster
			return fmt.Errorf("remove the stale VIP %s: %s: %w", stale, strings.TrimSpace(out), err)
		}
		k.config.Logger.Warn("removed the VIP that a killed keepalived left", "vip", stale)
	}
	return nil
}

// Holding gives those of the VIPs that the interface has now, in order.
func (k *Keepalived) Holding(vips []string) []string {
	var held []string
	for _, p := range k.addresses() {
		if slices.Contains(vips, p.Addr().String()) {
			held = append(held, p.Addr().String())
		}
	}
	slices.Sort(held)
	return held
}

// addresses of the interface; none when it cannot be read.
func (k *Keepalived) addresses() []netip.Prefix {
	i, err := net.InterfaceByName(k.config.Interface)
	if err != nil {
		return nil
	}
	all, err := i.Addrs()
	if err != nil {
		return nil
	}
	var prefixes []netip.Prefix
	for _, a := range all {
		if p, err := netip.ParsePrefix(a.String()); err == nil {
			prefixes = append(prefixes, p)
		}
	}
	return prefixes
}
