// Package generation brings a model into effect: files of a new generation,
// the daemons' verdict, an atomic swap, a confirmed reload, and the way back.
package generation

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

	"gantry.dev/services/ingress-agent/internal/disk"
	"gantry.dev/services/ingress-agent/internal/render"
)

// store is the generation directories; each is written once and never
// changed, so what was tested is what is served.
type store struct {
	stateDir string
}

// keep is how many generations stay on disk.
const keep = 3

func (s store) root() string    { return filepath.Join(s.stateDir, "generations") }
func (s store) current() string { return filepath.Join(s.stateDir, "current") }

// next gives the path of a generation directory that is not there yet.
func (s store) next() (string, error) {
	serials, err := s.serials()
	if err != nil {
		return "", err
	}
	last := 0
	if len(serials) > 0 {
		last = serials[len(serials)-1]
	}
	return s.dir(last + 1), nil
}

func (s store) dir(serial int) string { return filepath.Join(s.root(), fmt.Sprintf("%06d", serial)) }

func (s store) serials() ([]int, error) {
	entries, err := os.ReadDir(s.root())
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

// write creates the directory with the files; one that is the same in the
// served generation is linked, so that a change writes only what changed.
func (s store) write(dir string, files map[string][]byte) error {
	served, _ := s.target()
	dirs := map[string]bool{dir: true, s.root(): true}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return fmt.Errorf("write the generation: %w", err)
		}
		for d := filepath.Dir(path); d != dir; d = filepath.Dir(d) {
			dirs[d] = true
		}
		if served != "" && link(filepath.Join(served, name), path, files[name]) {
			continue
		}
		if err := disk.Write(path, files[name]); err != nil {
			return err
		}
	}
	for d := range dirs {
		if err := disk.SyncDir(d); err != nil {
			return err
		}
	}
	return nil
}

func link(old, path string, text []byte) bool {
	have, err := os.ReadFile(old)
	return err == nil && bytes.Equal(have, text) && os.Link(old, path) == nil
}

// target is the directory that current points at; empty when there is none.
func (s store) target() (string, error) {
	target, err := os.Readlink(s.current())
	if os.IsNotExist(err) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("read the current generation: %w", err)
	}
	if !filepath.IsAbs(target) {
		target = filepath.Join(s.stateDir, target)
	}
	return target, nil
}

// point makes current point at a generation.
func (s store) point(dir string) error {
	relative, err := filepath.Rel(s.stateDir, dir)
	if err != nil {
		return fmt.Errorf("point at %s: %w", dir, err)
	}
	return disk.Link(relative, s.current())
}

// read gives the files of the served generation; none when there is none.
func (s store) read() (map[string][]byte, error) {
	dir, err := s.target()
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

// prune removes all but the newest generations and the served one.
func (s store) prune() error {
	serials, err := s.serials()
	if err != nil || len(serials) <= keep {
		return err
	}
	served, err := s.target()
	if err != nil {
		return err
	}
	var all error
	for _, n := range serials[:len(serials)-keep] {
		if dir := s.dir(n); dir != served {
			all = errors.Join(all, os.RemoveAll(dir))
		}
	}
	return all
}

// verify reads the files back before they are used (rule I2).
func verify(files map[string][]byte, m render.Model) error {
	got, err := render.Parse(files)
	if err != nil {
		return fmt.Errorf("read back what was rendered: %w", err)
	}
	if !render.Equal(got, m) {
		return errors.New("what was rendered does not read back as what was meant; this is a defect, nothing was changed")
	}
	return nil
}
