// Package cgroup keeps every process of the platform in a control group of its
// own, so that a group of them, with all containers and whatever they forked,
// can be counted and killed at once and nothing is ever missed.
//
// Processes live in the cgroup v2 hierarchy (also where v1 is mounted beside
// it). Pods live where the machine's kubelet wants them: in v2, or in one
// folder per v1 controller.
package cgroup

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"gantry.dev/services/gantry/internal/local/layout"
)

// Tree is the machine's control group file system.
type Tree struct {
	// V2 is where the v2 hierarchy is mounted.
	V2 string
	// V1 holds the folders of v1 controllers; empty on a pure v2 machine.
	V1 []string
}

// Find looks at the usual places below root ("/sys/fs/cgroup").
func Find(root string) (Tree, error) {
	if isV2(root) {
		return Tree{V2: root}, nil
	}
	t := Tree{V2: filepath.Join(root, "unified")}
	if !isV2(t.V2) {
		return t, fmt.Errorf("no cgroup v2 hierarchy in %s or %s", root, t.V2)
	}
	entries, err := os.ReadDir(root)
	if err != nil {
		return t, fmt.Errorf("list controllers: %w", err)
	}
	for _, e := range entries {
		dir := filepath.Join(root, e.Name())
		// Combined controllers have links beside them (cpu -> cpu,cpuacct).
		if e.IsDir() && e.Name() != "unified" && exists(filepath.Join(dir, "cgroup.procs")) {
			t.V1 = append(t.V1, dir)
		}
	}
	return t, nil
}

func isV2(dir string) bool { return exists(filepath.Join(dir, "cgroup.controllers")) }

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// procs is the folder of a group's own processes; v2 wants them in a leaf.
func (t Tree) procs(group string) string {
	return filepath.Join(t.V2, layout.Cgroup, group, "procs")
}

// Make makes the folders of all groups, and those of the sites' pods.
func (t Tree) Make() error {
	for _, g := range layout.Groups() {
		if err := os.MkdirAll(t.procs(g), 0o755); err != nil {
			return fmt.Errorf("cgroup of %s: %w", g, err)
		}
	}
	for _, s := range layout.Sites() {
		if err := t.makePods(s.Cgroup()); err != nil {
			return fmt.Errorf("cgroup of %s's pods: %w", s.Name, err)
		}
	}
	return nil
}

func (t Tree) makePods(group string) error {
	if len(t.V1) == 0 {
		return t.delegate(group)
	}
	for _, controller := range t.V1 {
		if err := makeV1(controller, group); err != nil {
			return err
		}
	}
	return nil
}

// delegate makes a v2 group and hands every controller down to it.
func (t Tree) delegate(group string) error {
	controllers, err := os.ReadFile(filepath.Join(t.V2, "cgroup.controllers"))
	if err != nil {
		return err
	}
	enable := "+" + strings.Join(strings.Fields(string(controllers)), " +")
	dir := t.V2
	for _, name := range append(strings.Split(group, "/"), "") {
		if err := os.WriteFile(filepath.Join(dir, "cgroup.subtree_control"), []byte(enable), 0o644); err != nil {
			return err
		}
		dir = filepath.Join(dir, name)
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
		if err := weigh(dir, "cpu.weight", weightV2); err != nil {
			return err
		}
	}
	return nil
}

// makeV1 makes a group level by level: cpuset starts empty at each level and
// takes no process until it has processors and memory.
func makeV1(controller, group string) error {
	dir := controller
	for name := range strings.SplitSeq(group, "/") {
		parent := dir
		dir = filepath.Join(dir, name)
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
		for _, file := range []string{"cpuset.cpus", "cpuset.mems"} {
			if err := inherit(parent, dir, file); err != nil {
				return err
			}
		}
		if err := weigh(dir, "cpu.shares", sharesV1); err != nil {
			return err
		}
	}
	return nil
}

// A site stands for machines of its own: on a busy computer its pods must not
// starve behind whatever else runs. Eight times the default weight.
const (
	sharesV1 = "8192"
	weightV2 = "800"
)

// weigh sets a group's share of the processors where it has such a file.
func weigh(dir, file, value string) error {
	path := filepath.Join(dir, file)
	if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return os.WriteFile(path, []byte(value), 0o644)
}

func inherit(parent, dir, file string) error {
	value, err := os.ReadFile(filepath.Join(parent, file))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	have, err := os.ReadFile(filepath.Join(dir, file))
	if err != nil || strings.TrimSpace(string(have)) != "" {
		return err
	}
	return os.WriteFile(filepath.Join(dir, file), value, 0o644)
}

// Open returns the folder of a group's processes, to start a process inside
// it; the caller closes it.
func (t Tree) Open(group string) (*os.File, error) { return os.Open(t.procs(group)) }

// roots are all folders that hold processes of a group; the empty group means all.
func (t Tree) roots(group string) []string {
	roots := []string{filepath.Join(t.V2, layout.Cgroup, group)}
	for _, controller := range t.V1 {
		roots = append(roots, filepath.Join(controller, layout.Cgroup, group))
	}
	return roots
}

// PIDs returns every process of a group, containers included, each once.
func (t Tree) PIDs(group string) []int {
	seen := map[int]bool{}
	var pids []int
	for _, root := range t.roots(group) {
		for _, pid := range below(root) {
			if !seen[pid] {
				seen[pid] = true
				pids = append(pids, pid)
			}
		}
	}
	return pids
}

func below(root string) []int {
	var pids []int
	// A folder that vanishes on the way is just gone.
	_ = filepath.WalkDir(root, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.Name() != "cgroup.procs" {
			return nil //nolint:nilerr // what has vanished holds no process
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return nil //nolint:nilerr // what has vanished holds no process
		}
		for field := range strings.FieldsSeq(string(data)) {
			if pid, err := strconv.Atoi(field); err == nil && pid > 0 {
				pids = append(pids, pid)
			}
		}
		return nil
	})
	return pids
}

// Kill ends every process of a group with SIGKILL and waits until none is
// left. The group is frozen meanwhile, so that nothing escapes by forking.
// (Not cgroup.kill: on Linux 6.18 a group that was killed that way also kills
// what is started in it later.)
func (t Tree) Kill(group string, wait time.Duration) error {
	freezer := filepath.Join(t.V2, layout.Cgroup, group, "cgroup.freeze")
	// A group that does not exist has nothing to freeze.
	_ = os.WriteFile(freezer, []byte("1"), 0o644)
	defer func() { _ = os.WriteFile(freezer, []byte("0"), 0o644) }()
	deadline := time.Now().Add(wait)
	for {
		left := t.PIDs(group)
		if len(left) == 0 {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("processes %v of %q survive SIGKILL", left, group)
		}
		for _, pid := range left {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// Remove removes the folders of a group; its processes must be gone.
func (t Tree) Remove(group string) error {
	var errs []error
	for _, root := range t.roots(group) {
		errs = append(errs, removeTree(root))
	}
	return errors.Join(errs...)
}

func removeTree(root string) error {
	var dirs []string
	_ = filepath.WalkDir(root, func(path string, d os.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			dirs = append(dirs, path)
		}
		return nil
	})
	for i := len(dirs) - 1; i >= 0; i-- {
		if err := os.Remove(dirs[i]); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("remove cgroup: %w", err)
		}
	}
	return nil
}
