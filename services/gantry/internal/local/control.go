package local

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"os"
	"path/filepath"

	"gantry.dev/pkg/fault"
	"gantry.dev/services/gantry/internal/local/cgroup"
	"gantry.dev/services/gantry/internal/local/kube"
	"gantry.dev/services/gantry/internal/local/layout"
	"gantry.dev/services/gantry/internal/local/network"
	"gantry.dev/services/gantry/internal/local/platform"
	"gantry.dev/services/gantry/internal/local/supervisor"
)

// Status asks the supervisor; a platform that is not up gives a Report with
// Running false and no error.
func Status(ctx context.Context, o Options) (Report, error) {
	o, err := o.complete()
	if err != nil {
		return Report{}, err
	}
	report, err := supervisor.Dial(o.paths().Socket()).Status(ctx)
	if fault.HasReason(err, "NOT_RUNNING") && ctx.Err() == nil {
		return Report{}, nil
	}
	return report, err
}

// Kill ends every process and container of a group (or one process) with
// SIGKILL; it stays down until Start. The link of a load balancer node goes
// down with it.
func Kill(ctx context.Context, o Options, group string) error {
	o, err := o.complete()
	if err != nil {
		return err
	}
	return supervisor.Dial(o.paths().Socket()).Kill(ctx, group)
}

// Start brings a killed group (or process) back and returns at once; Status
// tells when it is ready.
func Start(ctx context.Context, o Options, group string) error {
	o, err := o.complete()
	if err != nil {
		return err
	}
	return supervisor.Dial(o.paths().Socket()).Start(ctx, group)
}

// Supervise is the body of the hidden command that Up starts detached. It
// takes its options from the file that Up left in o.Dir, and returns when ctx
// ends or somebody asks it to stop; all processes have ended then.
func Supervise(ctx context.Context, o Options) error {
	o, err := o.load()
	if err != nil {
		return err
	}
	if err := supervisor.WriteRecord(o.supervisorRecord(), os.Getpid()); err != nil {
		return fault.Internal("SUPERVISOR_START", "record the supervisor: %w", err)
	}
	s, err := newSupervisor(o)
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	// The socket answers until all has ended, so that `status` can tell.
	serving, stopServing := context.WithCancel(context.WithoutCancel(ctx))
	served := make(chan error, 1)
	go func() { served <- s.Serve(serving, o.paths().Socket(), stop) }()
	adopted := make(chan error, 1)
	go func() { adopted <- supervisor.Adopt(serving) }()
	s.Run(ctx)
	// The containers outlive the kubelet; they are ended here so that nobody
	// else has to bury them.
	swept := endContainers()
	stopServing()
	return errors.Join(<-served, <-adopted, swept, os.Remove(o.supervisorRecord()))
}

func endContainers() error {
	tree, err := cgroup.Find(cgroupRoot)
	if err != nil {
		return err
	}
	return tree.Kill("", killLimit)
}

func newSupervisor(o Options) (*supervisor.Supervisor, error) {
	tree, err := cgroup.Find(cgroupRoot)
	if err != nil {
		return nil, fault.Precondition("NO_CGROUP", "mount a cgroup v2 hierarchy: %w", err)
	}
	specs, err := supervisor.Select(o.specs(), o.Only)
	if err != nil {
		return nil, fault.Invalid("UNKNOWN_GROUP", "choose other groups: %w", err)
	}
	s, err := supervisor.New(supervisor.Config{
		Specs: specs, Order: layout.Groups(), Groups: tree,
		LogDir: filepath.Join(o.Dir, "log"), RunDir: o.paths().Run(),
		Killed: killed, Revived: o.revived,
		Logger: slog.New(slog.NewJSONHandler(os.Stderr, nil)),
	})
	if err != nil {
		return nil, fault.Internal("SPECS", "%w", err)
	}
	return s, nil
}

// specs are all processes of the platform.
func (o Options) specs() []supervisor.Spec {
	specs := platform.Specs(platform.Config{Paths: o.paths(), BinDir: o.BinDir, AutoscaleInterval: o.AutoscaleInterval})
	for _, s := range layout.Sites() {
		specs = append(specs, kube.Specs(o.paths(), s)...)
	}
	return specs
}

// killed pulls the plug of a load balancer node.
func killed(ctx context.Context, group string) error {
	for _, n := range layout.Balancers() {
		if n.Name == group {
			return network.SetLink(ctx, n, false)
		}
	}
	return nil
}

// revived is what a reboot of the machine would do.
func (o Options) revived(ctx context.Context, group string) error {
	for _, n := range layout.Balancers() {
		if n.Name == group {
			return network.SetLink(ctx, n, true)
		}
	}
	for _, s := range layout.Sites() {
		if s.Name == group {
			return forgetContainers(o.paths(), s)
		}
	}
	return nil
}

func (o Options) paths() layout.Paths { return layout.Paths{Dir: o.Dir} }

func (o Options) hostFile() string { return filepath.Join(o.Dir, "host.json") }

func (o Options) optionsFile() string { return o.paths().Run("options.json") }

func (o Options) supervisorRecord() string { return o.paths().Run("supervisor.pid") }

// load reads the options that Up left behind.
func (o Options) load() (Options, error) {
	o, err := o.complete()
	if err != nil {
		return o, err
	}
	data, err := os.ReadFile(o.optionsFile())
	if err != nil {
		return o, fault.Precondition("NOT_UP", "start the platform with `gantry local up`: %w", err)
	}
	if err := json.Unmarshal(data, &o); err != nil {
		return o, fault.Internal("OPTIONS", "read the options: %w", err)
	}
	return o, nil
}
