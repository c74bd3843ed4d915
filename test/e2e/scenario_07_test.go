package e2e

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// disk is a small file system under the folder of one part of the platform.
type disk struct {
	t *testing.T
	// target is the group or process that uses it, dir where it is mounted.
	target, dir string
}

// smallDisk moves a part's folder to a file system of its own. The part is
// killed for that, and again to move it back at the end; `gantry local down`
// unmounts it when the test cannot.
func smallDisk(t *testing.T, target, folder, size string, users ...string) disk {
	t.Helper()
	dir, err := filepath.Abs(filepath.Join(local, "data", folder))
	if err != nil {
		t.Fatal(err)
	}
	d := disk{t, target, dir}
	d.moved(func() {
		d.run("cp", "-a", dir, dir+".aside")
		d.run("mount", "-t", "tmpfs", "-o", "mode=700,size="+size, "gantry-e2e", dir)
		d.run("cp", "-a", dir+".aside/.", dir)
		d.run("rm", "-rf", dir+".aside")
	}, users)
	t.Cleanup(func() {
		d.moved(func() {
			d.run("rm", "-f", d.filler())
			d.run("cp", "-a", dir, dir+".aside")
			d.run("umount", dir)
			d.run("rm", "-rf", dir)
			d.run("mv", dir+".aside", dir)
		}, users)
	})
	return d
}

// moved does something while the part is down.
func (d disk) moved(do func(), users []string) {
	d.t.Helper()
	must(d.t, "local", "kill", d.target)
	do()
	must(d.t, "local", "start", d.target)
	ready(d.t, users...)
}

func (d disk) run(name string, args ...string) {
	d.t.Helper()
	if out, err := run(d.t, name, args...); err != nil {
		d.t.Fatalf("%s %s: %v: %s", name, strings.Join(args, " "), err, out)
	}
}

func (d disk) filler() string { return filepath.Join(d.dir, "filler") }

// fill writes until there is no space.
func (d disk) fill() {
	d.t.Helper()
	f, err := os.OpenFile(d.filler(), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		d.t.Fatal(err)
	}
	defer f.Close()
	for _, size := range []int{1 << 20, 4 << 10} {
		block := make([]byte, size)
		for err = nil; err == nil; {
			_, err = f.Write(block)
		}
	}
	if !errors.Is(err, syscall.ENOSPC) {
		d.t.Fatalf("filling %s: %v", d.dir, err)
	}
	var fs syscall.Statfs_t
	if err := syscall.Statfs(d.dir, &fs); err != nil || fs.Bavail != 0 {
		d.t.Fatalf("%s has %d free blocks left: %v", d.dir, fs.Bavail, err)
	}
}

// free makes room again.
func (d disk) free() {
	d.t.Helper()
	if err := os.Remove(d.filler()); err != nil {
		d.t.Fatal(err)
	}
}

func Test07FullDisk(t *testing.T) {
	platform(t)
	settled(t)
	nodes := []disk{
		smallDisk(t, "lb-1", "lb-1", "4m", "lb-1-ingress-agent"), smallDisk(t, "lb-2", "lb-2", "4m", "lb-2-ingress-agent"),
	}
	store := smallDisk(t, "etcd", "etcd", "192m", "etcd", "cluster-mgr-1", "cluster-mgr-2", "portal")
	eventually(t, time.Minute, func() string { return answers(t, "hello.demo.test") })
	tr := newTraffic(t)
	time.Sleep(2 * time.Second) // of load before
	tr.whole(firstPhase, "nodes")
	t.Run("balancers", func(t *testing.T) { fullBalancers(t, nodes) })
	tr.whole("nodes", "store")
	t.Run("store", func(t *testing.T) { fullStore(t, store) })
	tr.finish("store")
}

// answers complains unless a host is served through the VIP.
func answers(t *testing.T, host string) string {
	t.Helper()
	out, err := run(t, "ip", "netns", "exec", "gantry-client", "curl", "-s", "-o", "/dev/null", "-m", "5",
		"-w", "%{http_code}", "-H", "Host: "+host, "http://10.110.0.100/")
	if err != nil || out != "200" {
		return fmt.Sprintf("%s answers %s, %v", host, out, err)
	}
	return ""
}

// fullBalancers: a new route cannot be written, and comes when it can.
func fullBalancers(t *testing.T, nodes []disk) {
	for _, node := range nodes {
		node.fill()
	}
	route := strings.NewReplacer("routes/hello", "routes/full", "hello.demo.test", "full.demo.test")
	b, err := os.ReadFile(filepath.Join(repo, "examples", "hello", "route.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	full := writeFile(t, route.Replace(string(b)))
	must(t, "apply", "-f", full)
	time.Sleep(10 * time.Second) // in which the nodes try to write it
	// An agent that deletes an old generation makes room for a small one.
	t.Logf("the new route with full disks: %q (empty: it is served)", answers(t, "full.demo.test"))
	for _, node := range nodes {
		node.free()
	}
	eventually(t, time.Minute, func() string { return answers(t, "full.demo.test") })
	must(t, "delete", "route", "full", "-p", "demo")
}

// fullStore: changes are refused, and none that was accepted is lost.
func fullStore(t *testing.T, store disk) {
	before := settled(t)
	store.fill()
	accepted, refused := writeUntilRefused(t)
	t.Logf("refused after %d accepted changes: %s", accepted, strings.TrimSpace(refused))
	if !strings.Contains(refused, "next:") {
		t.Fatal("a full disk refuses nothing, or does not say what to do")
	}
	// A store that has just started again may have room for a small change.
	drain := 10 + before.Status.Release%40 // another value than what an earlier run left
	r := gantry(t, manifest(t, "drainSeconds: 5", fmt.Sprintf("drainSeconds: %d", drain)), "apply", "-f", "-")
	if r.code != 0 && r.code != 6 && r.code != 7 {
		t.Errorf("a change with a full disk: exit code %d, %s", r.code, r.err)
	}
	store.free()
	ready(t, "etcd", "cluster-mgr-1", "cluster-mgr-2", "portal")
	eventually(t, time.Minute, func() string {
		if r := gantry(t, manifest(t, "drainSeconds: 5", fmt.Sprintf("drainSeconds: %d", drain+1)), "apply", "-f", "-"); r.code != 0 {
			return r.err
		}
		return ""
	})
	// The refused change may have been stored before its answer was lost.
	kept := read[project](t, "get", "project", "full").DisplayName
	if kept != title(accepted) && kept != title(accepted+1) {
		t.Errorf("%d changes were accepted, but the project is called %q", accepted, kept)
	}
	must(t, "delete", "project", "full")
	// The same holds for the app: one or both changes, each whole.
	if after := settled(t); after.Status.Release < before.Status.Release+1 || after.Status.Release > before.Status.Release+2 {
		t.Errorf("release %d, then %d", before.Status.Release, after.Status.Release)
	}
}

// project is the part of a project that the scenarios look at.
type project struct {
	DisplayName string `json:"displayName"`
}

func title(n int) string { return fmt.Sprintf("change %d", n) }

// strangers are members with names that cannot be compressed.
func strangers(n int) string {
	const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_."
	var out strings.Builder
	for range n {
		out.WriteString("  - subject: user:")
		for range 120 {
			out.WriteByte(letters[rand.IntN(len(letters))])
		}
		out.WriteString("\n    role: ROLE_VIEWER\n")
	}
	return out.String()
}

// writeUntilRefused changes a project, 60 KB at a time, until it cannot. It
// gives the number of the last change that was accepted, and the complaint.
func writeUntilRefused(t *testing.T) (accepted int, refused string) {
	t.Helper()
	// More than the free pages that the store may have.
	for n := 1; n < 1000; n++ {
		change := "kind: Project\nname: projects/full\ndisplayName: " + title(n) + "\nmembers:\n" + strangers(500)
		switch r := gantry(t, change, "apply", "-f", "-"); r.code {
		case 0:
			accepted = n
		case 6, 7:
			return accepted, r.err
		default:
			t.Fatalf("change %d: exit code %d, %s", n, r.code, r.err)
		}
	}
	return accepted, ""
}
