package app

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

// BenchmarkVIP loses the holder of a VIP again and again and tells how long
// nobody answered, how many of the requests on eight connections were lost and
// how long two nodes had it; beside it Keepalived as its manual has it, with a
// second between two advertisements.
func BenchmarkVIP(b *testing.B) {
	needNginx(b)
	needNamespaces(b)
	if os.Getenv(insideEnv) == "" {
		client, env := pairNetwork(b)
		cmd := exec.Command("ip", "netns", "exec", client, os.Args[0], "-test.run=^$", "-test.bench=^BenchmarkVIP$", "-test.benchtime=5x", "-test.timeout=20m")
		cmd.Env = append(os.Environ(), env, insideEnv+"=1")
		cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
		if err := cmd.Run(); err != nil {
			b.Error(err)
		}
		return
	}
	b.Run("gantry", func(b *testing.B) {
		p := thisPair(b)
		p.startAgents()
		for _, l := range append(p.losses(), p.planned()) {
			b.Run(l.name, func(b *testing.B) { p.lose(b, l, p.settle) })
		}
	})
	b.Run("keepalived", func(b *testing.B) {
		p := thisPair(b)
		for i := range p.nodes {
			p.dirs = append(p.dirs, plainNode(b, i))
		}
		settle := func() { p.restartPlain(); p.settle() }
		settle()
		for _, l := range p.losses() {
			b.Run(l.name, func(b *testing.B) { p.lose(b, l, settle) })
		}
	})
}

// planned gives the VIP away on purpose.
func (p *pair) planned() loss {
	return loss{"planned", func(n int) { p.drain(n, true) }, func(n int) { p.drain(n, false) }}
}

// lose measures one loss b.N times.
func (p *pair) lose(b *testing.B, l loss, settle func()) {
	b.Helper()
	p.t = b
	var silences, twos []time.Duration
	lost := 0
	for range b.N {
		first := owner(p.nodes)
		w := p.watch(50 * time.Millisecond)
		time.Sleep(300 * time.Millisecond)
		l.lose(first)
		time.Sleep(6 * time.Second)
		w.end()
		silences, lost = append(silences, w.silence), lost+len(w.failures)
		two := w.two
		if l.back != nil { // until then each is alone on its side
			l.back(first)
			start := time.Now()
			eventually(b, time.Minute, func() bool { return len(owners(p.nodes)) == 1 }, nil)
			two = time.Since(start)
		}
		twos = append(twos, two)
		settle()
	}
	slices.Sort(silences)
	milliseconds := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(milliseconds(silences[len(silences)/2]), "ms-silent-median")
	b.ReportMetric(milliseconds(slices.Max(silences)), "ms-silent-most")
	b.ReportMetric(milliseconds(slices.Max(twos)), "ms-two-owners-most")
	b.ReportMetric(float64(lost)/float64(b.N), "lost/op")
}

// plainNode writes the two configurations of a node without an agent.
func plainNode(b *testing.B, i int) string {
	b.Helper()
	dir := b.TempDir()
	for _, sub := range []string{"run", "log"} {
		if err := os.Mkdir(filepath.Join(dir, sub), 0o755); err != nil {
			b.Fatal(err)
		}
	}
	nginx := fmt.Sprintf("pid %[1]s/run/nginx.pid; error_log %[1]s/log/nginx.error.log; events {} http { access_log off; server { listen 80; return 503; } }", dir)
	keepalived := fmt.Sprintf(`global_defs {
    script_user root
}
vrrp_script alive {
    script "%[1]s/check"
    interval 1
}
vrrp_instance main {
    state BACKUP
    interface eth0
    virtual_router_id 51
    priority %[2]d
    unicast_src_ip 10.99.0.%[3]d
    unicast_peer {
        10.99.0.%[4]d
    }
    virtual_ipaddress {
        %[5]s/32 dev eth0
    }
    track_script {
        alive
    }
}
`, dir, 100-10*i, 11+i, 12-i, vipAddress)
	check := fmt.Sprintf("#!/bin/sh\nexec test -d /proc/$(cat %s/run/nginx.pid)\n", dir)
	for _, file := range []struct {
		name, text string
		mode       os.FileMode
	}{{"nginx.conf", nginx, 0o644}, {"keepalived.conf", keepalived, 0o644}, {"check", check, 0o755}} {
		if err := os.WriteFile(filepath.Join(dir, file.name), []byte(file.text), file.mode); err != nil {
			b.Fatal(err)
		}
	}
	return dir
}

// restartPlain begins anew on both nodes: nothing mends them otherwise.
func (p *pair) restartPlain() {
	p.t.Helper()
	for i, ns := range p.nodes {
		killAll(ns)
		for range 50 {
			if out, _ := exec.Command("ip", "netns", "pids", ns).Output(); len(out) == 0 {
				break
			}
			time.Sleep(20 * time.Millisecond)
		}
		_ = exec.Command("ip", "-n", ns, "addr", "del", vipAddress+"/32", "dev", "eth0").Run()
		dir := p.dirs[i]
		for _, pid := range []string{"keepalived.pid", "vrrp.pid"} { // an old one may name a new process
			_ = os.Remove(filepath.Join(dir, "run", pid))
		}
		run(p.t, "ip netns exec %s nginx -c %s/nginx.conf", ns, dir)
		run(p.t, "ip netns exec %s keepalived -P -f %[2]s/keepalived.conf -p %[2]s/run/keepalived.pid -r %[2]s/run/vrrp.pid", ns, dir)
	}
}
