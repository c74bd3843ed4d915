package disk

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sync/errgroup"
)

// Generations is the generation directories below a state directory, and the
// link `current` that points at one of them. Each is written once and never
// changed, so what was tested is what is served.
type Generations struct {
	// Directory of everything that the owner writes.
	StateDir string
}

// Keep is how many generations stay on disk.
const Keep = 3

// Root is where the generations lie.
func (s Generations) Root() string { return filepath.Join(s.StateDir, "generations") }

// Current is the link to the generation in use.
func (s Generations) Current() string { return filepath.Join(s.StateDir, "current") }

// Next gives the path of a generation directory that is not there yet.
func (s Generations) Next() (string, error) {
	serials, err := s.Serials()
	if err != nil {
		return "", err
	}
	last := 0
	if len(serials) > 0 {
		last = serials[len(serials)-1]
	}
	return s.dir(last + 1), nil
}

func (s Generations) dir(serial int) string {
	return filepath.Join(s.Root(), fmt.Sprintf("%06d", serial))
}

// Serials are the numbers of the generations on disk, in order.
func (s Generations) Serials() ([]int, error) {
	entries, err := os.ReadDir(s.Root())
	if err != nil && !os.IsNotExist(err) {
		return nil, fmt.Errorf("list the generations: %w", err)
	}
	var serials []int
	for _, e := range entries {
		if n, err := strconv.Atoi(e.Name()); err == nil {
			serials = append(serials, n)
		}
	}
	slices.Sort(serials)
	return serials, nil
}

// Write creates the directory with the files; one that is the same in the
// served generation is linked, so that a change writes only what changed. What
// is to be served needs Sync first.
func (s Generations) Write(dir string, files map[string][]byte) error {
	served, _ := s.Target()
	for _, name := range slices.Sorted(maps.Keys(files)) {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return fmt.Errorf("write the generation: %w", err)
		}
		if served != "" && link(filepath.Join(served, name), path, files[name]) {
			continue
		}
		if err := os.WriteFile(path, files[name], 0o644); err != nil {
			return fmt.Errorf("write the generation: %w", err)
		}
	}
	return nil
}

// syncers is how many files are made durable at the same time: the disk then
// commits many in one go.
const syncers = 16

// Sync makes a generation durable.
func (s Generations) Sync(dir string) error {
	var group errgroup.Group
	group.SetLimit(syncers)
	err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if err == nil {
			group.Go(func() error { return Sync(path) })
		}
		return err
	})
	return errors.Join(err, group.Wait(), Sync(s.Root()))
}

func link(old, path string, text []byte) bool {
	have, err := os.ReadFile(old)
	return err == nil && bytes.Equal(have, text) && os.Link(old, path) == nil
}

// Target is the directory that current points at; empty when there is none.
func (s Generations) Target() (string, error) {
	target, err := os.Readlink(s.Current())
	if os.IsNotExist(err) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("read the current generation: %w", err)
	}
	if !filepath.IsAbs(target) {
		target = filepath.Join(s.StateDir, target)
	}
	return target, nil
}

// Point makes current point at a generation.
func (s Generations) Point(dir string) error {
	relative, err := filepath.Rel(s.StateDir, dir)
	if err != nil {
		return fmt.Errorf("point at %s: %w", dir, err)
	}
	return Link(relative, s.Current())
}

// Read gives the files of the served generation; none when there is none.
func (s Generations) Read() (map[string][]byte, error) {
	dir, err := s.Target()
	if err != nil || dir == "" {
		return nil, err
	}
	files := map[string][]byte{}
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		files[strings.TrimPrefix(path, dir+"/")] = text
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read the current generation: %w", err)
	}
	return files, nil
}

// Prune removes all but the newest generations and the served one.
func (s Generations) Prune() error {
	serials, err := s.Serials()
	if err != nil || len(serials) <= Keep {
		return err
	}
	served, err := s.Target()
	if err != nil {
		return err
	}
	var all error
	for _, n := range serials[:len(serials)-Keep] {
		if dir := s.dir(n); dir != served {
			all = errors.Join(all, os.RemoveAll(dir))
		}
	}
	return all
}
