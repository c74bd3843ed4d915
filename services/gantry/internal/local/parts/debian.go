package parts

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"

	"gantry.dev/pkg/fault"
)

// policyFile makes Debian's packages leave their services stopped: ours run
// under their own configuration. It exists only while we install.
const policyFile = "/usr/sbin/policy-rc.d"

func (s Store) missingPackages() []Package {
	if s.Fake {
		return nil
	}
	var missing []Package
	for _, p := range Packages() {
		if !there(p.Files) {
			missing = append(missing, p)
		}
	}
	return missing
}

func there(files []string) bool {
	for _, f := range files {
		if _, err := os.Stat(f); err != nil {
			return false
		}
	}
	return true
}

func (s Store) installPackages(ctx context.Context) error {
	missing := s.missingPackages()
	if len(missing) == 0 {
		if !s.Fake {
			s.line("Debian packages", "present", 0)
		}
		return nil
	}
	names := make([]string, 0, len(missing))
	for _, p := range missing {
		names = append(names, p.Name)
	}
	list := strings.Join(names, " ")
	if os.Geteuid() != 0 {
		return fault.Precondition("PACKAGES_MISSING", "as root, run: apt-get install --no-install-recommends %s", list)
	}
	start := time.Now()
	s.line("Debian packages", "installing: "+list, 0)
	if err := install(ctx, names); err != nil {
		return fault.Unavailable("PACKAGES_MISSING",
			"installing failed; make Debian's mirror reachable, or run: apt-get install --no-install-recommends %s: %w", list, err)
	}
	s.line("Debian packages", "installed", time.Since(start))
	return nil
}

func install(ctx context.Context, names []string) error {
	undo, err := keepServicesStopped()
	if err != nil {
		return err
	}
	defer undo()
	args := append([]string{"install", "-y", "--no-install-recommends"}, names...)
	if err := apt(ctx, args...); err == nil {
		return nil
	}
	// A fresh machine has no package lists, or old ones.
	if err := apt(ctx, "update"); err != nil {
		return err
	}
	return apt(ctx, args...)
}

// keepServicesStopped respects a policy that is already there.
func keepServicesStopped() (undo func(), err error) {
	f, err := os.OpenFile(policyFile, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o755)
	if errors.Is(err, os.ErrExist) {
		return func() {}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("keep services stopped: %w", err)
	}
	_, err = f.WriteString("#!/bin/sh\nexit 101\n")
	return func() { _ = os.Remove(policyFile) }, errors.Join(err, f.Close())
}

func apt(ctx context.Context, args ...string) error {
	cmd := exec.CommandContext(ctx, "apt-get", args...)
	cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("apt-get %s: %w: %s", args[0], err, lastLines(string(out), 5))
	}
	return nil
}
