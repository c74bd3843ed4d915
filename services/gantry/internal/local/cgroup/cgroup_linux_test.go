package cgroup

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"gantry.dev/services/gantry/internal/local/layout"
	"github.com/google/go-cmp/cmp"
)

func touch(t *testing.T, root string, files map[string]string) {
	t.Helper()
	for name, content := range files {
		file := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func TestFind(t *testing.T) {
	pure, hybrid, old := t.TempDir(), t.TempDir(), t.TempDir()
	touch(t, pure, map[string]string{"cgroup.controllers": "cpu memory", "system.slice/cgroup.procs": ""})
	touch(t, hybrid, map[string]string{
		"unified/cgroup.controllers": "", "unified/cgroup.procs": "",
		"cpu/cgroup.procs": "", "memory/cgroup.procs": "", "other/file": "",
	})
	touch(t, old, map[string]string{"cpu/cgroup.procs": ""})

	if got, err := Find(pure); err != nil || got.V2 != pure || len(got.V1) != 0 {
		t.Errorf("pure v2: %+v %v", got, err)
	}
	got, err := Find(hybrid)
	want := Tree{V2: filepath.Join(hybrid, "unified"), V1: []string{filepath.Join(hybrid, "cpu"), filepath.Join(hybrid, "memory")}}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Error(diff, err)
	}
	if _, err := Find(old); err == nil {
		t.Error("a machine without v2 was accepted")
	}
}

// cpuset starts empty at each level and would take no process.
func TestCpusetIsInherited(t *testing.T) {
	controller := t.TempDir()
	touch(t, controller, map[string]string{"cpuset.cpus": "0-1\n", "cpuset.mems": "0\n", "a/cpuset.cpus": "", "a/cpuset.mems": "", "a/b/cpuset.cpus": "1\n", "a/b/cpuset.mems": ""})
	if err := makeV1(controller, "a/b"); err != nil {
		t.Fatal(err)
	}
	for file, want := range map[string]string{"a/cpuset.cpus": "0-1\n", "a/b/cpuset.mems": "0\n", "a/b/cpuset.cpus": "1\n"} {
		if got, err := os.ReadFile(filepath.Join(controller, file)); err != nil || string(got) != want {
			t.Errorf("%s is %q %v, want %q", file, got, err, want)
		}
	}
}

func TestPIDsCountOnce(t *testing.T) {
	v2, v1 := t.TempDir(), t.TempDir()
	touch(t, v2, map[string]string{layout.Cgroup + "/site-a/procs/cgroup.procs": "11\n12\n", layout.Cgroup + "/site-b/procs/cgroup.procs": "21\n"})
	touch(t, v1, map[string]string{layout.Cgroup + "/site-a/pods/p/cgroup.procs": "12\n13\n"})
	tree := Tree{V2: v2, V1: []string{v1}}
	if diff := cmp.Diff([]int{11, 12, 13}, tree.PIDs("site-a")); diff != "" {
		t.Error(diff)
	}
	if got := tree.PIDs(""); len(got) != 4 {
		t.Errorf("all are %v", got)
	}
	if got := tree.PIDs("nobody"); got != nil {
		t.Errorf("nobody has %v", got)
	}
}

// On the real kernel: a process that forks and ignores everything is killed
// with its children, and the group can be used again.
func TestKillAndReuse(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("control groups need root")
	}
	tree, err := Find("/sys/fs/cgroup")
	if err != nil {
		t.Skipf("this machine cannot run the platform: %v", err)
	}
	// Beside the platform's own groups, which may be in use.
	group := fmt.Sprintf("../gantry-test-%d", os.Getpid())
	if err := os.MkdirAll(tree.procs(group), 0o755); err != nil {
		t.Skipf("the cgroup file system is read-only: %v", err)
	}
	t.Cleanup(func() {
		if err := tree.Remove(group); err != nil {
			t.Error(err)
		}
	})
	for range 2 {
		killOnce(t, tree, group)
	}
}

func killOnce(t *testing.T, tree Tree, group string) {
	t.Helper()
	folder, err := tree.Open(group)
	if err != nil {
		t.Fatal(err)
	}
	defer folder.Close()
	cmd := exec.CommandContext(t.Context(), "sh", "-c", "trap '' TERM; sleep 1000 & sleep 1000 & wait")
	cmd.SysProcAttr = &syscall.SysProcAttr{UseCgroupFD: true, CgroupFD: int(folder.Fd())}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	deadline := time.Now().Add(10 * time.Second)
	for len(tree.PIDs(group)) < 3 && time.Now().Before(deadline) {
		time.Sleep(5 * time.Millisecond)
	}
	if pids := tree.PIDs(group); len(pids) != 3 {
		t.Fatalf("processes are %v", pids)
	}
	if err := tree.Kill(group, 10*time.Second); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err == nil {
		t.Error("it ended by itself")
	}
	if pids := tree.PIDs(group); len(pids) != 0 {
		t.Errorf("left are %v", pids)
	}
}
