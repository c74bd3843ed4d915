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
	if running, e := o.load(); err == nil && e == nil && running.Nodes == NodesFake {
		report.NotReal = notReal
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

// Cut takes the network of a site away: packets are dropped, nothing refuses.
// Mend, a Start of the site after a Kill, Up and Down give it back.
func Cut(ctx context.Context, o Options, site string) error {
	return withSite(o, site, func(s layout.Site) error {
		return network.Cut(ctx, s, layout.Cgroup+"/"+layout.GroupPlatform)
	})
}

// Mend gives a site its network back; it does nothing when it is there.
func Mend(ctx context.Context, o Options, site string) error {
	return withSite(o, site, func(s layout.Site) error { return network.Mend(ctx, s) })
}

func withSite(o Options, site string, do func(layout.Site) error) error {
	o, err := o.load()
	if err != nil {
		return err
	}
	for _, s := range o.plan().Sites {
		if s.Name != site {
			continue
		}
		if s.Fake {
			return fault.Precondition("NO_NETWORK", "simulated nodes have no network of their own")
		}
		return do(s)
	}
	return fault.Invalid("UNKNOWN_SITE", "there is no site %q; choose %s or %s", site, layout.GroupSiteA, layout.GroupSiteB)
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
	swept := endContainers(o)
	stopServing()
	return errors.Join(<-served, <-adopted, swept, os.Remove(o.supervisorRecord()))
}

// Registries returns host:port of every cluster's image registry (plain HTTP)
// of the platform that was last started; KindPrecondition NOT_UP if none was.
func Registries(o Options) ([]string, error) {
	o, err := o.load()
	if err != nil {
		return nil, err
	}
	var all []string
	for _, s := range o.plan().Sites {
		all = append(all, s.Registry())
	}
	return all, nil
}

func endContainers(o Options) error {
	groups, err := o.groups()
	if err != nil || groups == nil {
		return err
	}
	return groups.Kill("", killLimit)
}

func newSupervisor(o Options) (*supervisor.Supervisor, error) {
	groups, err := o.groups()
	if err != nil {
		return nil, err
	}
	specs, err := supervisor.Select(o.specs(), o.Only)
	if err != nil {
		return nil, fault.Invalid("UNKNOWN_GROUP", "choose other groups: %w", err)
	}
	s, err := supervisor.New(supervisor.Config{
		Specs: specs, Order: layout.Groups(), Groups: groups,
		LogDir: filepath.Join(o.Dir, "log"), RunDir: o.paths().Run(),
		Killed: o.killed, Revived: o.revived,
		Logger: slog.New(slog.NewJSONHandler(os.Stderr, nil)),
	})
	if err != nil {
		return nil, fault.Internal("SPECS", "%w", err)
	}
	return s, nil
}

// groups holds processes together; simulated nodes have no containers that
// would need it, and no right to it.
func (o Options) groups() (supervisor.Groups, error) {
	if o.Nodes == NodesFake {
		return nil, nil
	}
	tree, err := cgroup.Find(cgroupRoot)
	if err != nil {
		return nil, fault.Precondition("NO_CGROUP", "mount a cgroup v2 hierarchy: %w", err)
	}
	return tree, nil
}

// specs are all processes of the platform.
func (o Options) specs() []supervisor.Spec {
	specs := platform.Specs(platform.Config{Paths: o.paths(), Plan: o.plan(), BinDir: o.BinDir, AutoscaleInterval: o.AutoscaleInterval})
	for _, s := range o.plan().Sites {
		specs = append(specs, kube.Specs(o.paths(), s)...)
	}
	return specs
}

// killed pulls the plug of a load balancer node.
func (o Options) killed(ctx context.Context, group string) error {
	for _, n := range o.plan().Balancers {
		if n.Name == group {
			return network.SetLink(ctx, n, false)
		}
	}
	return nil
}

// revived is what a reboot of the machine would do.
func (o Options) revived(ctx context.Context, group string) error {
	for _, n := range o.plan().Balancers {
		if n.Name == group {
			return network.SetLink(ctx, n, true)
		}
	}
	for _, s := range o.plan().Sites {
		if s.Name == group && !s.Fake {
			return errors.Join(network.Mend(ctx, s), forgetContainers(o.paths(), s))
		}
	}
	return nil
}

func (o Options) plan() layout.Plan {
	if o.Nodes == NodesFake {
		return layout.Fake()
	}
	return layout.Real()
}

func (o Options) paths() layout.Paths { return layout.Paths{Dir: o.Dir, Parts: o.partsDir()} }

// partsDir is in the checkout, wherever Dir is: hours of building are not
// repeated for a second platform.
func (o Options) partsDir() string { return filepath.Join(o.Repo, ".local", "parts") }

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
