package local

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"gantry.dev/pkg/fault"
	"gantry.dev/services/gantry/internal/local/cgroup"
	"gantry.dev/services/gantry/internal/local/host"
	"gantry.dev/services/gantry/internal/local/kube"
	"gantry.dev/services/gantry/internal/local/network"
	"gantry.dev/services/gantry/internal/local/parts"
	"gantry.dev/services/gantry/internal/local/pki"
	"gantry.dev/services/gantry/internal/local/platform"
	"gantry.dev/services/gantry/internal/local/supervisor"
)

const (
	// readyLimit is how long all processes may take to become ready.
	readyLimit = 5 * time.Minute
	pollPause  = 200 * time.Millisecond
	cgroupRoot = "/sys/fs/cgroup"
)

// notReal says what fake nodes do not do.
const notReal = `nodes are simulated (--nodes=fake). Not real: pods become Running without a container, no image
is pulled, and there are no logs, no exec, no load balancer, no traffic, and no figures
of CPU and memory use: they read 0.0, and autoscaling has nothing to go by.
Real: both Kubernetes API servers with their controllers and schedulers, and all of Gantry's decisions.`

// Up starts the platform and returns when every process is ready. What runs
// already is left alone; killed groups are started again. It checks the
// machine before it changes anything (KindPrecondition PREFLIGHT).
func Up(ctx context.Context, o Options) error {
	o, err := o.complete()
	if err != nil {
		return err
	}
	if err := o.refuseOtherNodes(); err != nil {
		return err
	}
	start := time.Now()
	client := supervisor.Dial(o.paths().Socket())
	if report, err := client.Status(ctx); err == nil && !report.Stopping {
		if err := revive(ctx, client, report); err != nil {
			return err
		}
	} else if err := launch(ctx, o); err != nil {
		return err
	}
	if err := waitReady(ctx, o, client, start); err != nil {
		return err
	}
	fmt.Fprintf(o.Progress, "local platform ready after %.1f s\n", time.Since(start).Seconds())
	if o.Nodes == NodesFake {
		fmt.Fprintln(o.Progress, notReal)
	}
	return nil
}

func revive(ctx context.Context, client supervisor.Client, report Report) error {
	for _, g := range report.Groups {
		if !g.Down {
			continue
		}
		if err := client.Start(ctx, g.Name); err != nil {
			return err
		}
	}
	return nil
}

// Parts builds and installs all programs that the platform runs, and nothing
// else. What is there already is kept.
func Parts(ctx context.Context, o Options) error {
	o, err := o.complete()
	if err != nil {
		return err
	}
	return o.parts().Ensure(ctx)
}

func (o Options) parts() parts.Store {
	return parts.Store{Dir: o.partsDir(), Repo: o.Repo, Fake: o.Nodes == NodesFake, Progress: o.Progress}
}

// launch prepares the machine and starts the supervisor.
func launch(ctx context.Context, o Options) error {
	if problems := Preflight(ctx, o); len(problems) > 0 {
		return fault.Precondition("PREFLIGHT", "this machine is not ready, nothing was changed:\n%s", list(problems))
	}
	if err := o.parts().Ensure(ctx); err != nil {
		return err
	}
	if err := prepare(ctx, o); err != nil {
		return err
	}
	return startSupervisor(o)
}

func list(problems []Problem) string {
	var out strings.Builder
	for _, p := range problems {
		fmt.Fprintf(&out, "  - %s: %s\n", p.What, p.Fix)
	}
	return strings.TrimRight(out.String(), "\n")
}

// prepare makes keys, networks, control groups and configuration. An earlier
// run may have ended without cleaning up, so its rest goes first.
func prepare(ctx context.Context, o Options) error {
	p := o.paths()
	if err := endEarlier(ctx, o); err != nil {
		return err
	}
	if err := o.noteNodes(); err != nil {
		return err
	}
	for _, dir := range []string{p.Run(), filepath.Join(o.Dir, "log")} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return fault.Internal("NO_FOLDER", "make the platform's folder: %w", err)
		}
	}
	steps := []step{
		{"keys and certificates", func() error { return pki.Ensure(p, o.plan(), time.Now()) }},
		{"configuration", func() error { return writeConfig(o) }},
	}
	if o.Nodes == NodesReal {
		steps = append(steps, machineSteps(ctx, o)...)
	}
	for _, step := range steps {
		if err := step.do(); err != nil {
			return fault.Internal("PREPARE_FAILED", "%s: %w; `gantry local down` takes back what was made", step.name, err)
		}
		fmt.Fprintf(o.Progress, "made %s\n", step.name)
	}
	return nil
}

// step is one thing to make.
type step struct {
	name string
	do   func() error
}

// machineSteps are those that change the machine outside Dir.
func machineSteps(ctx context.Context, o Options) []step {
	return []step{
		{"record of the machine", func() error { return errors.Join(own(ownerFile, o.Dir), host.Remember(o.hostFile())) }},
		{"control groups", func() error {
			tree, err := cgroup.Find(cgroupRoot)
			if err != nil {
				return err
			}
			return tree.Make()
		}},
		{"networks", func() error { return network.Up(ctx) }},
	}
}

// endEarlier removes what an earlier run left, in this folder or another one.
func endEarlier(ctx context.Context, o Options) error {
	if o.Nodes == NodesFake {
		endRecorded(o)
		return nil
	}
	if other, crashed := o.inherit(ownerFile); crashed {
		return sweep(ctx, other)
	}
	return endProcesses(o)
}

func writeConfig(o Options) error {
	for _, s := range o.plan().Sites {
		if err := kube.WriteConfig(o.paths(), s); err != nil {
			return err
		}
	}
	return platform.WriteConfig(o.paths(), o.plan())
}

// startSupervisor leaves a process behind that outlives this one.
func startSupervisor(o Options) error {
	data, err := json.Marshal(o)
	if err != nil {
		return fault.Internal("OPTIONS", "encode the options: %w", err)
	}
	if err := os.WriteFile(o.optionsFile(), data, 0o600); err != nil {
		return fault.Internal("OPTIONS", "write the options: %w", err)
	}
	log, err := os.OpenFile(o.paths().Log("supervisor"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return fault.Internal("SUPERVISOR_LOG", "open the supervisor's log: %w", err)
	}
	defer log.Close()
	cmd := exec.Command(o.Supervisor[0], o.Supervisor[1:]...) //nolint:noctx // it outlives this command, on purpose
	cmd.Dir, cmd.Stdout, cmd.Stderr = o.Dir, log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return fault.Internal("SUPERVISOR_START", "start the supervisor: %w", err)
	}
	if err := supervisor.WriteRecord(o.supervisorRecord(), cmd.Process.Pid); err != nil {
		return fault.Internal("SUPERVISOR_START", "record the supervisor: %w", err)
	}
	// Reaps it, should it end while we are still there.
	go func() { _ = cmd.Wait() }()
	return nil
}

// waitReady prints each process as it becomes ready.
func waitReady(ctx context.Context, o Options, client supervisor.Client, start time.Time) error {
	ctx, cancel := context.WithTimeout(ctx, readyLimit)
	defer cancel()
	told := map[string]bool{}
	var last Report
	for {
		report, err := client.Status(ctx)
		if err == nil {
			last = report
			tell(o, report, told, time.Since(start))
			if report.Ready {
				return nil
			}
		} else if _, alive := supervisor.ReadRecord(o.supervisorRecord()); !alive {
			return fault.Internal("SUPERVISOR_DIED", "the supervisor ended; see %s", o.paths().Log("supervisor"))
		}
		select {
		case <-ctx.Done():
			return notReady(ctx, last)
		case <-time.After(pollPause):
		}
	}
}

func tell(o Options, report Report, told map[string]bool, after time.Duration) {
	for _, p := range report.Processes {
		if p.State == supervisor.Ready && !told[p.Name] {
			told[p.Name] = true
			fmt.Fprintf(o.Progress, "%-28s ready after %5.1f s\n", p.Name, after.Seconds())
		}
	}
}

func notReady(ctx context.Context, report Report) error {
	var out strings.Builder
	for _, p := range report.Processes {
		if p.State != supervisor.Ready {
			fmt.Fprintf(&out, "\n  - %s is %s: %s (log: %s)", p.Name, p.State, p.Detail, p.Log)
		}
	}
	return fault.Timeout("NOT_READY", "gave up waiting (%w), still not ready:%s", ctx.Err(), out.String())
}
