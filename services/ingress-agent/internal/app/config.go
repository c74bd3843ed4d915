// Package app puts the parts of an ingress-agent together and runs them.
package app

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"gantry.dev/pkg/serve"
	"gantry.dev/services/ingress-agent/internal/balancer"
	"gantry.dev/services/ingress-agent/internal/render"
	"golang.org/x/sys/unix"
)

// Config is what the flags say.
type Config struct {
	serve.Common

	Gateway, Node string
	// URLs.
	Etcd []string
	// Everything that the agent writes; it and what is in it survive the
	// agent and the control plane.
	StateDir string
	// Programs. An empty Keepalived leaves the VIP alone.
	Nginx, Keepalived string
	NginxModules      string
	// Interface that carries the VIP.
	Interface string
	HTTPPort  int
	// Where hosts with TLS answer; 0: nowhere.
	HTTPSPort int
	// File of the key that the certificates are sealed with; empty: none can
	// be opened.
	GatewayKey string
	// How long clients are asked to reconnect before a reload; 0: 1 s.
	Drain time.Duration
	// Least time between two reloads; 0: 2 s.
	ReloadPause time.Duration
}

const (
	defaultReloadPause = 2 * time.Second
	maxPort            = 65535
)

// CheckCommand is the subcommand that Keepalived runs.
const CheckCommand = "check"

// checkDeadline is shorter than Keepalived's patience with the script.
const checkDeadline = time.Second

// Check asks the local Nginx for its status.
func Check(ctx context.Context, stateDir string) error {
	ctx, cancel := context.WithTimeout(ctx, checkDeadline)
	defer cancel()
	_, err := balancer.NewClient(filepath.Join(stateDir, render.ControlSocket)).Status(ctx)
	return err
}

func (c Config) validate() error {
	switch {
	case c.Node == "":
		return errors.New("--node is missing; give this node's name in the gateway")
	case len(c.Etcd) == 0 || c.Etcd[0] == "":
		return errors.New("--etcd is missing; give the URLs of etcd")
	case c.Listen == "":
		return errors.New("--listen is missing; give host:port for the agent's API")
	case !filepath.IsAbs(c.StateDir):
		return fmt.Errorf("--state-dir %q must be an absolute path", c.StateDir)
	case c.HTTPPort < 1 || c.HTTPPort > maxPort:
		return fmt.Errorf("--http-port %d is not between 1 and %d", c.HTTPPort, maxPort)
	case c.HTTPSPort < 0 || c.HTTPSPort > maxPort || c.HTTPSPort == c.HTTPPort:
		return fmt.Errorf("--https-port %d is not between 0 and %d, or is that of HTTP", c.HTTPSPort, maxPort)
	}
	return nil
}

// prepare makes the directories that Nginx and Keepalived expect. Only the
// agent may enter run/: the control socket lies there.
func (c Config) prepare() error {
	for dir, mode := range map[string]os.FileMode{"": 0o755, "run": 0o700, "log": 0o755, "tmp": 0o755} {
		path := filepath.Join(c.StateDir, dir)
		if err := os.MkdirAll(path, mode); err != nil {
			return fmt.Errorf("prepare the state directory: %w", err)
		}
		if err := os.Chmod(path, mode); err != nil {
			return fmt.Errorf("prepare the state directory: %w", err)
		}
	}
	return os.MkdirAll(c.tempDir(), 0o755)
}

// tempDir is for bodies that do not fit into memory. The workers, which run as
// nobody, must be able to enter it; below a closed home directory they cannot.
func (c Config) tempDir() string {
	if os.Geteuid() != 0 || othersMayEnter(c.StateDir) {
		return filepath.Join(c.StateDir, "tmp")
	}
	return filepath.Join("/run/gantry-ingress-agent", c.Gateway+"-"+c.Node)
}

func othersMayEnter(dir string) bool {
	for ; dir != "/"; dir = filepath.Dir(dir) {
		info, err := os.Stat(dir)
		if err != nil || info.Mode().Perm()&0o001 == 0 {
			return false
		}
	}
	return true
}

func (c Config) env() (render.Env, error) {
	program, err := os.Executable()
	if err != nil {
		return render.Env{}, fmt.Errorf("find the agent's own program: %w", err)
	}
	env := render.Env{
		StateDir:   c.StateDir,
		ModulesDir: c.NginxModules,
		TempDir:    c.tempDir(),
		HTTPPort:   c.HTTPPort,
		HTTPSPort:  c.HTTPSPort,
		Interface:  c.Interface,
		Check:      []string{program, CheckCommand, "--state-dir", c.StateDir},
	}
	if os.Geteuid() == 0 {
		env.WorkerUser = "nobody"
	}
	env.Realtime = mayRaiseLimits()
	return env, nil
}

// mayRaiseLimits tells whether the agent, and so its children, has
// CAP_SYS_RESOURCE.
func mayRaiseLimits() bool {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var sets [2]unix.CapUserData
	if err := unix.Capget(&header, &sets[0]); err != nil {
		return false
	}
	return sets[0].Effective&(1<<unix.CAP_SYS_RESOURCE) != 0
}
