package local

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"gantry.dev/pkg/fault"
	"gantry.dev/services/gantry/internal/local/cgroup"
	"gantry.dev/services/gantry/internal/local/host"
	"gantry.dev/services/gantry/internal/local/kube"
	"gantry.dev/services/gantry/internal/local/layout"
	"gantry.dev/services/gantry/internal/local/network"
	"gantry.dev/services/gantry/internal/local/supervisor"
)

const (
	// stopLimit is how long the supervisor may take to end everything in order.
	stopLimit = 60 * time.Second
	// killLimit is how long killed processes may take to vanish.
	killLimit = 15 * time.Second
)

// Down stops the platform and removes every process, mount, network, control
// group and file that it made outside Dir, also when the supervisor crashed.
// The clusters' state is kept under Dir unless o.Purge is set.
func Down(ctx context.Context, o Options) error {
	o, err := o.complete()
	if err != nil {
		return err
	}
	if err := refuseOther(ownerFile, o.Dir); err != nil {
		return err
	}
	// What was started decides what is swept, also when it is down already:
	// the sweep of real nodes reaches far outside Dir.
	if last := o.lastNodes(); last != "" {
		o.Nodes = last
	}
	stopSupervisor(ctx, o)
	if err := sweep(ctx, o); err != nil {
		return err
	}
	if !o.Purge {
		return nil
	}
	for _, name := range []string{"data", "conf", "pki", "tokens", "log", "gantry.yaml", nodesFile} {
		if err := os.RemoveAll(filepath.Join(o.Dir, name)); err != nil {
			return fault.Internal("PURGE_FAILED", "remove data: %w", err)
		}
	}
	return nil
}

// stopSupervisor asks first; a supervisor that does not end is killed, and
// what it leaves is swept up.
func stopSupervisor(ctx context.Context, o Options) {
	asked := supervisor.Dial(o.paths().Socket()).Stop(ctx) == nil
	deadline := time.Now().Add(stopLimit)
	for {
		pid, alive := supervisor.ReadRecord(o.supervisorRecord())
		if !alive {
			return
		}
		if !asked || time.Now().After(deadline) || ctx.Err() != nil {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
		time.Sleep(pollPause)
	}
}

// sweep removes everything outside Dir, and what is only true while running.
func sweep(ctx context.Context, o Options) error {
	var errs []error
	if o.Nodes == NodesFake {
		endRecorded(o)
	} else {
		errs = sweepMachine(ctx, o)
	}
	errs = append(errs, os.RemoveAll(o.paths().Run()))
	if err := errors.Join(errs...); err != nil {
		return fault.Internal("DOWN_INCOMPLETE", "not everything could be removed; run it again as root: %w", err)
	}
	return nil
}

func sweepMachine(ctx context.Context, o Options) []error {
	errs := []error{endProcesses(o), network.Down(ctx)}
	if tree, err := cgroup.Find(cgroupRoot); err == nil {
		errs = append(errs, tree.Remove(""))
	}
	return append(errs, endLeftBehind(), host.Restore(o.hostFile()), disown(ownerFile))
}

// endRecorded kills what an earlier run noted, if it still is the same process.
func endRecorded(o Options) {
	records, _ := filepath.Glob(o.paths().Run("*.pid"))
	for _, record := range records {
		if pid, alive := supervisor.ReadRecord(record); alive && pid != os.Getpid() {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
		_ = os.Remove(record)
	}
}

// endProcesses kills what an earlier run left, by control group and by record,
// and forgets what was true of it.
func endProcesses(o Options) error {
	if tree, err := cgroup.Find(cgroupRoot); err == nil {
		if err := tree.Kill("", killLimit); err != nil {
			return fault.Internal("KILL_FAILED", "end leftover processes: %w", err)
		}
	}
	endRecorded(o)
	for _, s := range layout.Sites() {
		if err := forgetContainers(o.paths(), s); err != nil {
			return fault.Internal("UNMOUNT_FAILED", "clean up after %s: %w", s.Name, err)
		}
	}
	// Tests put small file systems over the folders of single processes.
	if err := host.Unmount(o.paths().Data()); err != nil {
		return fault.Internal("UNMOUNT_FAILED", "clean up the data: %w", err)
	}
	return nil
}

// forgetContainers makes a site look as after a reboot of its node: no mount,
// no network namespace, no address given out.
func forgetContainers(p layout.Paths, s layout.Site) error {
	for _, dir := range []string{p.Run(s.Name), kube.KubeletDir(p, s), p.Data(s.Name)} {
		if err := host.Unmount(dir); err != nil {
			return err
		}
	}
	if err := removeResults(s); err != nil {
		return err
	}
	return os.RemoveAll(p.Run(s.Name))
}

// removeResults deletes what CNI noted about the site's pods; the path is
// fixed in its library and shared with others.
func removeResults(s layout.Site) error {
	files, err := filepath.Glob("/var/lib/cni/results/" + s.Bridge + "-*")
	if err != nil {
		return fmt.Errorf("CNI results: %w", err)
	}
	for _, f := range files {
		if err := os.Remove(f); err != nil {
			return fmt.Errorf("CNI results: %w", err)
		}
	}
	return nil
}

// endLeftBehind removes the kubelet's links to container logs that lead nowhere.
func endLeftBehind() error {
	links, err := filepath.Glob("/var/log/containers/*.log")
	if err != nil {
		return fmt.Errorf("container logs: %w", err)
	}
	for _, link := range links {
		target, err := os.Readlink(link)
		if err == nil && strings.Contains(target, "/data/site-") {
			_ = os.Remove(link)
		}
	}
	return nil
}
