package generation

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	ingressv1 "gantry.dev/proto/gen/gantry/ingress/v1"
	"gantry.dev/services/ingress-agent/internal/disk"
	"gantry.dev/services/ingress-agent/internal/nginx"
	"gantry.dev/services/ingress-agent/internal/render"
)

// fakeWeb serves the layout that current/ names, as Nginx does; it refuses
// hosts and layouts that it is told to.
type fakeWeb struct {
	stateDir string
	pid      int
	serving  string
	// Part of a host name that Test refuses.
	bad string
	// The reload that fails, counted from 1; 0: none.
	failAt, reloads int
	tests           int
}

func (f *fakeWeb) Pid() int { return f.pid }

func (f *fakeWeb) Test(_ context.Context, dir string) error {
	f.tests++
	entries, err := os.ReadDir(filepath.Join(dir, "hosts"))
	if err != nil && !os.IsNotExist(err) {
		return err
	}
	for _, e := range entries {
		if f.bad != "" && strings.Contains(e.Name(), f.bad) {
			return &nginx.Refusal{File: e.Name(), Reason: "no good"}
		}
	}
	return nil
}

func (f *fakeWeb) read() error {
	text, err := os.ReadFile(filepath.Join(f.stateDir, "current", render.NginxConf))
	if err != nil {
		return err
	}
	f.serving, err = render.Layout(text)
	return err
}

func (f *fakeWeb) Start(_ context.Context, layout string) error {
	if err := f.read(); err != nil {
		return err
	}
	f.pid = 1
	if f.serving != layout {
		return errors.New("another layout")
	}
	return nil
}

func (f *fakeWeb) Reload(_ context.Context, swap func() error, layout string) error {
	f.reloads++
	if err := swap(); err != nil {
		return err
	}
	if f.reloads == f.failAt {
		return errors.New("the old one is still served")
	}
	if err := f.read(); err != nil || f.serving != layout {
		return errors.Join(err, errors.New("another layout"))
	}
	return nil
}

type fakeVRRP struct {
	refuse  bool
	reloads int
}

func (f *fakeVRRP) Test(context.Context, string) error {
	if f.refuse {
		return errors.New("unknown interface")
	}
	return nil
}

func (f *fakeVRRP) Reload() error { f.reloads++; return nil }

func setup(t *testing.T) (*Manager, *fakeWeb, *fakeVRRP) {
	t.Helper()
	dir := t.TempDir()
	web, vrrp := &fakeWeb{stateDir: dir}, &fakeVRRP{}
	return open(t, dir, web, vrrp), web, vrrp
}

func open(t *testing.T, dir string, web Web, vrrp VRRP) *Manager {
	t.Helper()
	m, err := New(Config{
		Env: render.Env{
			StateDir: dir, ModulesDir: "/m", TempDir: "/t", HTTPPort: 80, Interface: "eth0", Check: []string{"/bin/true"},
		},
		Code: map[string][]byte{"gantry.lua": []byte("return 1")}, Web: web, VRRP: vrrp, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func build(hosts ...string) render.Build {
	c := &ingressv1.GatewayConfig{
		Gateway: "main", Vip: "10.0.0.9", VirtualRouterId: 1,
		Nodes: []*ingressv1.Node{{Name: "lb-1", Address: "10.0.0.1", Priority: 9}},
	}
	for _, h := range hosts {
		c.Routes = append(c.Routes, &ingressv1.Route{
			Name: "projects/p/routes/" + h, Host: h + ".example", PathPrefix: "/", App: "projects/p/apps/a", Port: 80,
		})
	}
	return render.FromConfig(c, "lb-1")
}

func apply(t *testing.T, m *Manager, b render.Build) Outcome {
	t.Helper()
	out, err := m.Apply(t.Context(), b)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestFirstStartsThenReloads(t *testing.T) {
	m, web, vrrp := setup(t)
	apply(t, m, build("a"))
	if web.pid != 1 || web.reloads != 0 {
		t.Fatalf("%+v", web)
	}
	if out := apply(t, m, build("a")); out.Reloaded || web.tests != 1 {
		t.Errorf("the same again was reloaded: %+v", web)
	}
	apply(t, m, build("a", "b"))
	_, layout := m.Served()
	if web.reloads != 1 || web.serving != layout || vrrp.reloads != 1 {
		t.Errorf("%+v %+v", web, vrrp)
	}
}

// rule I3: a reload that does not show leaves the last good generation.
func TestFailedReloadGoesBack(t *testing.T) {
	m, web, _ := setup(t)
	apply(t, m, build("a"))
	_, before := m.Served()
	target, _ := m.store.Target()
	web.failAt = 1
	if _, err := m.Apply(t.Context(), build("a", "b")); err == nil {
		t.Fatal("a failed reload was taken for good")
	}
	_, after := m.Served()
	now, _ := m.store.Target()
	if after != before || now != target || web.serving != before {
		t.Errorf("served %s at %s, want %s at %s; nginx has %s", after, now, before, target, web.serving)
	}
	apply(t, m, build("a", "b")) // and the next attempt works
}

// rule I4: a host that Nginx refuses is kept in its last good form.
func TestRefusedHostIsQuarantined(t *testing.T) {
	m, web, _ := setup(t)
	apply(t, m, build("a", "web"))
	web.bad = "evil"
	out := apply(t, m, build("a", "b", "evil", "web"))
	if len(out.Quarantined) != 1 || out.Quarantined[0].Route != "projects/p/routes/evil" || len(out.Model.Hosts) != 3 {
		t.Errorf("%+v", out)
	}
}

// A last good form that is refused too (a new Nginx) refuses the change.
func TestRefusedLastGoodChangesNothing(t *testing.T) {
	m, web, _ := setup(t)
	apply(t, m, build("a"))
	web.bad = "a.example"
	if _, err := m.Apply(t.Context(), build("a", "b")); err == nil {
		t.Error("went out")
	}
	if serials, _ := m.store.Serials(); len(serials) != 1 {
		t.Errorf("a refused generation stays on disk: %v", serials)
	}
}

func TestRefusedVRRPKeepsTheOldOne(t *testing.T) {
	m, _, vrrp := setup(t)
	apply(t, m, build("a"))
	b := build("a", "b")
	b.Model.VRRP.Instances[0].Priority = 77
	vrrp.refuse = true
	if _, err := m.Apply(t.Context(), b); err == nil {
		t.Error("the old VRRP part is refused too, so nothing can go out")
	}
	vrrp.refuse = false
	b.VRRPProblem, b.Model.VRRP = "two nodes have one address", render.VRRP{}
	out := apply(t, m, b)
	if out.Model.VRRP.Instances[0].Priority != 9 || out.VRRPProblem == "" || len(out.Model.Hosts) != 2 {
		t.Errorf("%+v", out)
	}
}

// rule I6: a new agent takes up what is served.
func TestAdopts(t *testing.T) {
	m, web, vrrp := setup(t)
	for _, hosts := range [][]string{{"a"}, {"a", "b"}, {"b"}, {"b", "c"}, {"d"}} {
		apply(t, m, build(hosts...))
	}
	want, layout := m.Served()
	again := open(t, web.stateDir, web, vrrp)
	got, gotLayout := again.Served()
	if !render.Equal(want, got) || layout != gotLayout {
		t.Errorf("adopted %v, want %v", got, want)
	}
	if changes, err := again.Changes(build("d")); changes || err != nil {
		t.Errorf("the same model would be reloaded: %v", err)
	}
	if serials, _ := again.store.Serials(); len(serials) != disk.Keep {
		t.Errorf("%v stay on disk", serials)
	}
	web.pid = 0
	if started, err := again.Ensure(t.Context()); !started || err != nil || web.pid != 1 {
		t.Errorf("a dead nginx was not started: %v", err)
	}
}
