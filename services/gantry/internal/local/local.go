// Package local runs a whole Gantry on one machine: two Kubernetes clusters
// with real containers, two load balancer nodes and the platform's services,
// each a process of its own under one supervisor.
//
// Up makes what is missing and returns when every process is ready; Down
// takes all of it away, also after a crash. Both may be called repeatedly.
package local

import (
	"io"
	"os"
	"path/filepath"
	"time"

	"gantry.dev/pkg/fault"
	"gantry.dev/services/gantry/internal/local/supervisor"
)

// NodesReal and NodesFake are the values of Options.Nodes.
const (
	// NodesReal runs a kubelet and containerd per cluster; needs root.
	NodesReal = "real"
	// NodesFake simulates nodes with kwok: no containers, no load balancers,
	// no root.
	NodesFake = "fake"
)

// Options says what to run and where. The zero value is completed with the
// defaults named at each field.
type Options struct {
	// Dir holds all data, logs and keys; default ".local".
	Dir string `json:"dir"`
	// Repo is the checkout whose tools/ modules the parts are built from, into
	// its .local/parts, which all platforms share; default: the checkout around
	// Dir, or around the running executable.
	Repo string `json:"repo"`
	// BinDir holds Gantry's own programs (ipaas, cluster-mgr, ingress-agent,
	// portal); default: the folder of the running executable.
	BinDir string `json:"bin_dir"`
	// Nodes is NodesReal (default) or NodesFake.
	Nodes string `json:"nodes"`
	// Only limits Up to these groups or processes and to what they depend on;
	// empty means everything.
	Only []string `json:"only,omitempty"`
	// AutoscaleInterval is the pause between two autoscaling passes; default 5 s.
	AutoscaleInterval time.Duration `json:"autoscale_interval"`
	// Supervisor is the command that calls Supervise with the same Dir;
	// default: this executable with `local supervise --dir DIR`.
	Supervisor []string `json:"-"`
	// Purge makes Down remove all data under Dir too, except built parts.
	Purge bool `json:"-"`
	// Progress takes one line per finished step; nil means silence.
	Progress io.Writer `json:"-"`
}

func (o Options) complete() (Options, error) {
	if o.Dir == "" {
		o.Dir = ".local"
	}
	dir, err := filepath.Abs(o.Dir)
	if err != nil {
		return o, fault.Invalid("BAD_DIR", "the folder %q has no absolute path: %w", o.Dir, err)
	}
	o.Dir = dir
	if o.Nodes == "" {
		o.Nodes = NodesReal
	}
	if o.Nodes != NodesReal && o.Nodes != NodesFake {
		return o, fault.Invalid("BAD_NODES", "nodes may be %q or %q, not %q", NodesReal, NodesFake, o.Nodes)
	}
	if o.AutoscaleInterval <= 0 {
		o.AutoscaleInterval = 5 * time.Second
	}
	if o.Progress == nil {
		o.Progress = io.Discard
	}
	return o.completeCommands()
}

func (o Options) completeCommands() (Options, error) {
	exe, err := os.Executable()
	if err != nil {
		return o, fault.Internal("NO_EXECUTABLE", "the path of the running program is unknown: %w", err)
	}
	if o.Repo == "" {
		o.Repo = checkout(o.Dir, exe)
	}
	if o.BinDir == "" {
		o.BinDir = filepath.Dir(exe)
	}
	if len(o.Supervisor) == 0 {
		o.Supervisor = []string{exe, "local", "supervise", "--dir", o.Dir}
	}
	return o, nil
}

// checkout finds the checkout around the first of these paths that has one;
// without any it is the folder that holds the first.
func checkout(paths ...string) string {
	for _, path := range paths {
		for dir := filepath.Dir(path); ; dir = filepath.Dir(dir) {
			if _, err := os.Stat(filepath.Join(dir, "tools", "kubernetes", "go.mod")); err == nil {
				return dir
			}
			if dir == filepath.Dir(dir) {
				break
			}
		}
	}
	return filepath.Dir(paths[0])
}

// Problem is one thing that this machine lacks.
type Problem struct {
	// What is missing, for example "port 10.110.0.1:2379 is taken".
	What string `json:"what"`
	// Fix says how to get it.
	Fix string `json:"fix"`
}

// Report is the state of the whole local platform at one moment.
type Report = supervisor.Report

// Group is one unit that Kill and Start take: platform, site-a, site-b, lb-1 or lb-2.
type Group = supervisor.Group

// Process is one supervised process.
type Process = supervisor.Process
