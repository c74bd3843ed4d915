package parts

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"gantry.dev/pkg/fault"
)

// Store gets parts; its programs end in Dir/bin.
type Store struct {
	// Dir keeps programs and their stamps; Repo is the checkout with tools/.
	Dir, Repo string
	// Fake selects the parts for simulated nodes.
	Fake bool
	// Progress takes one line per part.
	Progress io.Writer
}

// Missing names the parts and packages that Ensure would have to get.
func (s Store) Missing() (built []Part, packages []Package) {
	for _, p := range List(s.Fake) {
		if !s.present(p) {
			built = append(built, p)
		}
	}
	return built, s.missingPackages()
}

// Ensure builds and installs what is missing.
func (s Store) Ensure(ctx context.Context) error {
	if err := s.installPackages(ctx); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Join(s.Dir, "bin"), 0o755); err != nil {
		return fault.Internal("PARTS_FOLDER", "make the folder of the parts: %w", err)
	}
	for _, p := range List(s.Fake) {
		if err := s.ensure(ctx, p); err != nil {
			return err
		}
	}
	return nil
}

func (s Store) ensure(ctx context.Context, p Part) error {
	if s.present(p) {
		s.line(p.Name, "present", 0)
		return nil
	}
	start := time.Now()
	s.line(p.Name, "building", 0)
	if err := s.build(ctx, p); err != nil {
		return fault.Unavailable("PART_BUILD_FAILED",
			"building %s failed; its modules must be in the cache or the module proxy reachable (go env GOPROXY): %w", p.Name, err)
	}
	s.line(p.Name, "built", time.Since(start))
	return nil
}

func (s Store) build(ctx context.Context, p Part) error {
	next := s.program(p) + ".new"
	args := append([]string{"build", "-o", next}, p.Flags...)
	cmd := exec.CommandContext(ctx, "go", append(args, p.Package)...)
	cmd.Dir = filepath.Join(s.Repo, p.Module)
	cmd.Env = append(os.Environ(), "GOWORK=off", "CGO_ENABLED=0", "GOFLAGS=-buildvcs=false")
	if p.Module == "services" {
		cmd.Env = append(cmd.Env, "GOWORK="+filepath.Join(s.Repo, "go.work"))
	}
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%w: %s", err, lastLines(said.String(), 8))
	}
	if err := os.Rename(next, s.program(p)); err != nil {
		return err
	}
	return s.stamp(p)
}

func (s Store) program(p Part) string { return filepath.Join(s.Dir, "bin", p.Name) }

func (s Store) stampFile(p Part) string { return filepath.Join(s.Dir, "stamp", p.Name) }

// present tells whether the program was built from what go.mod, go.sum and the
// flags say now.
func (s Store) present(p Part) bool {
	if _, err := os.Stat(s.program(p)); err != nil {
		return false
	}
	have, err := os.ReadFile(s.stampFile(p))
	if err != nil {
		return false
	}
	want, err := s.fingerprint(p)
	return err == nil && string(have) == want
}

func (s Store) stamp(p Part) error {
	want, err := s.fingerprint(p)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(s.stampFile(p)), 0o755); err != nil {
		return err
	}
	return os.WriteFile(s.stampFile(p), []byte(want), 0o644)
}

// fingerprint covers what decides a program's content. A part of this
// repository depends on its own source only, not on the module's requirements.
func (s Store) fingerprint(p Part) (string, error) {
	files := []string{"go.mod", "go.sum"}
	if p.Module == "services" {
		files = []string{strings.TrimPrefix(p.Package, "gantry.dev/services/") + "/main.go"}
	}
	sum := sha256.New()
	for _, name := range files {
		data, err := os.ReadFile(filepath.Join(s.Repo, p.Module, name))
		if err != nil {
			return "", fmt.Errorf("fingerprint of %s: %w", p.Name, err)
		}
		sum.Write(data)
	}
	fmt.Fprintln(sum, p.Package, p.Flags)
	return hex.EncodeToString(sum.Sum(nil)), nil
}

func (s Store) line(name, what string, took time.Duration) {
	if took == 0 {
		fmt.Fprintf(s.Progress, "part %-26s %s\n", name, what)
		return
	}
	fmt.Fprintf(s.Progress, "part %-26s %s in %.1f s\n", name, what, took.Seconds())
}

func lastLines(text string, n int) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}
