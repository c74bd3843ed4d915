package stream

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func asRouteError(err error, to **RouteError) bool { return errors.As(err, to) }

// fakeDaemon refuses files that hold a word, and fails to serve when told so.
type fakeDaemon struct {
	pid, old        int
	refuse          string
	fail            error
	starts, reloads int
	layout          string
}

func (d *fakeDaemon) Test(_ context.Context, dir string) error {
	found, _ := filepath.Glob(filepath.Join(dir, routesDir, "*.conf"))
	for _, path := range found {
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if d.refuse != "" && strings.Contains(string(text), d.refuse) {
			return &RouteError{File: filepath.Base(path), Reason: "refused"}
		}
	}
	return nil
}

func (d *fakeDaemon) Clear(context.Context) {}

func (d *fakeDaemon) Start(_ context.Context, layout string) error {
	if d.fail != nil {
		return d.fail
	}
	d.pid, d.layout = 1, layout
	d.starts++
	return nil
}

func (d *fakeDaemon) Reload(_ context.Context, layout string) error {
	if d.fail != nil {
		err := d.fail
		d.fail = nil // the way back works
		return err
	}
	d.layout = layout
	d.reloads++
	return nil
}

func (d *fakeDaemon) Stop() error { d.pid = 0; return nil }
func (d *fakeDaemon) Pid() int    { return d.pid }
func (d *fakeDaemon) Old() int    { return d.old }

type world struct {
	t      *testing.T
	dir    string
	daemon *fakeDaemon
	taken  map[Listener]bool
	*Manager
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, dir: t.TempDir(), daemon: &fakeDaemon{}, taken: map[Listener]bool{}}
	w.reopen()
	return w
}

func (w *world) reopen() {
	w.t.Helper()
	m, err := Open(Config{Env: Env{StateDir: w.dir, ModulesDir: "/m"}, Daemon: w.daemon, Logger: slog.New(slog.DiscardHandler), Free: func(_ context.Context, l Listener) error {
		if w.taken[l] {
			return errors.New("taken")
		}
		return nil
	}})
	if err != nil {
		w.t.Fatal(err)
	}
	w.Manager = m
}

func (w *world) apply(ports map[string]int32, pods ...string) []Rejected {
	w.t.Helper()
	c := config()
	for name, port := range ports {
		c.StreamRoutes = append(c.StreamRoutes, route(name, port))
	}
	quarantined, _, err := w.Apply(w.t.Context(), FromConfig(c, nil), PodsOf(c, knownPods(pods, []string{}), nil))
	if err != nil {
		w.t.Fatal(err)
	}
	return quarantined
}

func (w *world) port(name string) int {
	r, _ := w.Served().Route("projects/shop/streamRoutes/" + name)
	return r.Listen.Port
}

// The instance runs while there is a route, and ends when the last connection
// has.
func TestRunsOnlyWithARoute(t *testing.T) {
	w := newWorld(t)
	w.apply(nil)
	if w.daemon.starts != 0 || !w.Running() {
		t.Fatal("it runs for nothing")
	}
	w.apply(map[string]int32{"db": 1}, "10.0.0.1")
	w.apply(map[string]int32{"db": 1}, "10.0.0.1")
	if w.daemon.starts != 1 || w.daemon.reloads != 0 {
		t.Fatalf("%+v", w.daemon)
	}
	w.apply(nil)
	w.daemon.old = 1
	for _, running := range []int{1, 0} {
		if _, err := w.Keep(t.Context()); err != nil || w.daemon.pid != running {
			t.Fatalf("pid %d, want %d (%v)", w.daemon.pid, running, err)
		}
		w.daemon.old = 0
	}
}

// rule I4
func TestARefusedRouteIsQuarantinedAlone(t *testing.T) {
	w := newWorld(t)
	w.apply(map[string]int32{"a": 11, "b": 12}, "10.0.0.1")
	w.daemon.refuse = "listen 22 "
	if q := w.apply(map[string]int32{"a": 21, "b": 22, "c": 23}, "10.0.0.1"); len(q) != 1 || q[0].Route != "projects/shop/streamRoutes/b" {
		t.Errorf("%v", q)
	}
	if w.port("a") != 21 || w.port("b") != 12 || w.port("c") != 23 {
		t.Errorf("%+v", w.Served())
	}
	// Its last good form has the pods of now.
	w.apply(map[string]int32{"a": 21, "b": 22, "c": 23}, "10.0.0.9")
	if r, _ := w.Served().Route("projects/shop/streamRoutes/b"); r.Listen.Port != 12 || r.Servers[0].Address != "10.0.0.9:5432" {
		t.Errorf("%+v", r)
	}
}

// A port that another program has costs its own route only.
func TestATakenPort(t *testing.T) {
	w := newWorld(t)
	w.taken[Listener{Port: 11}] = true
	if q := w.apply(map[string]int32{"a": 11, "b": 12}, "10.0.0.1"); len(q) != 1 || w.port("a") != 0 || w.port("b") != 12 {
		t.Errorf("%v %+v", q, w.Served())
	}
	w.taken = map[Listener]bool{}
	if q := w.apply(map[string]int32{"a": 11, "b": 12}, "10.0.0.1"); len(q) != 0 || w.port("a") != 11 {
		t.Errorf("%v %+v", q, w.Served())
	}
}

// rule I3
func TestAFailedReloadGoesBack(t *testing.T) {
	w := newWorld(t)
	w.apply(map[string]int32{"a": 11}, "10.0.0.1")
	before := w.daemon.layout
	w.daemon.fail = errors.New("no")
	c := config(route("a", 12))
	if _, _, err := w.Apply(t.Context(), FromConfig(c, nil), PodsOf(c, knownPods([]string{"10.0.0.1"}, nil), nil)); err == nil {
		t.Fatal("it passed")
	}
	if w.port("a") != 11 || w.daemon.layout != before {
		t.Errorf("%+v serves %s, want %s", w.Served(), w.daemon.layout, before)
	}
	w.reopen()
	if w.port("a") != 11 {
		t.Errorf("what failed is on disk: %+v", w.Served())
	}
}

// rule I6: after a restart with everything dead the last good state serves.
func TestLastGoodStateAfterARestart(t *testing.T) {
	w := newWorld(t)
	w.apply(map[string]int32{"a": 11}, "10.0.0.1")
	want := w.Served()
	w.daemon.pid = 0
	w.reopen()
	if started, err := w.Keep(t.Context()); !started || err != nil || !Equal(w.Served(), want) {
		t.Errorf("started %v (%v): %+v", started, err, w.Served())
	}
}
