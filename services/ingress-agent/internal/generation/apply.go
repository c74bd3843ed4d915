package generation

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"gantry.dev/services/ingress-agent/internal/disk"
	"gantry.dev/services/ingress-agent/internal/render"
)

// Web is the web server that generations are served by.
type Web interface {
	// Test gives nil, a *nginx.Refusal when Nginx does not take the files,
	// or another error.
	Test(ctx context.Context, dir string) error
	Start(ctx context.Context, layout string) error
	// Reload calls swap just before the new files are read.
	Reload(ctx context.Context, swap func() error, layout string) error
	Pid() int
}

// VRRP is the daemon that shares the VIP.
type VRRP interface {
	Test(ctx context.Context, file string) error
	// Reload brings the file of the current generation into effect.
	Reload() error
}

// Config is what New needs; all is required.
type Config struct {
	// Dir is set for each generation.
	Env render.Env
	// The balancer's Lua by file name.
	Code   map[string][]byte
	Web    Web
	VRRP   VRRP
	Logger *slog.Logger
}

// Manager owns the generations of a node. Its methods may run at the same
// time; changes wait for each other.
type Manager struct {
	config Config
	store  disk.Generations

	// Held while something changes; that takes seconds.
	work sync.Mutex

	// Guards what is in effect; only a holder of work writes it.
	mu     sync.Mutex
	served render.Model
	layout string
}

// New opens the state directory and reads what is served.
func New(c Config) (*Manager, error) {
	m := &Manager{config: c, store: disk.Generations{StateDir: c.Env.StateDir}}
	if err := os.MkdirAll(m.store.Root(), 0o755); err != nil {
		return nil, fmt.Errorf("open the state directory: %w", err)
	}
	files, err := m.store.Read()
	if err != nil {
		return nil, err
	}
	if files == nil {
		return m, nil
	}
	if err := m.adopt(files); err != nil {
		// Nginx may still serve it; the next good configuration replaces it.
		c.Logger.Error("the served generation cannot be read", "error", err.Error())
	}
	return m, nil
}

func (m *Manager) adopt(files map[string][]byte) error {
	model, err := render.Parse(files)
	if err != nil {
		return err
	}
	layout, err := render.Layout(files[render.NginxConf])
	if err != nil {
		return err
	}
	m.set(model, layout)
	return nil
}

func (m *Manager) set(model render.Model, layout string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.served, m.layout = model, layout
}

// Served gives the model and layout in effect; the layout is empty when there
// is none. The model must not be changed.
func (m *Manager) Served() (render.Model, string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.served, m.layout
}

// Ensure starts Nginx on what is served if it does not run. It tells whether
// it had to.
func (m *Manager) Ensure(ctx context.Context) (started bool, err error) {
	m.work.Lock()
	defer m.work.Unlock()
	if m.layout == "" || m.config.Web.Pid() != 0 {
		return false, nil
	}
	return true, m.config.Web.Start(ctx, m.layout)
}

// Outcome is what became of a configuration.
type Outcome struct {
	Model render.Model
	// Routes that are kept in their last good form, or are not served.
	Quarantined []render.Rejected
	// Why the VIP is shared as before; empty when it is as wanted.
	VRRPProblem string
	// Files were changed and Nginx reloaded.
	Reloaded bool
	// How long a reload took from the new files to new workers that answer; 0
	// when there were none before.
	Took time.Duration
}

// Changes tells whether bringing the build into effect needs a reload.
func (m *Manager) Changes(b render.Build) (bool, error) {
	m.work.Lock()
	defer m.work.Unlock()
	model := render.KeepLastGood(b, m.served)
	g, err := render.Files(model, m.env(m.store.Current()), m.config.Code)
	if err != nil {
		return false, err
	}
	return g.Layout != m.layout || !m.sameVRRP(g), nil
}

// Apply brings the build into effect. Routes that cannot be served are
// quarantined alone (rule I4). When it fails, what was served still is
// (rule I3).
func (m *Manager) Apply(ctx context.Context, b render.Build) (Outcome, error) {
	m.work.Lock()
	defer m.work.Unlock()
	for {
		out := Outcome{Model: render.KeepLastGood(b, m.served), Quarantined: b.Rejected, VRRPProblem: b.VRRPProblem}
		dir, g, err := m.candidate(ctx, out.Model)
		if err == nil && dir == "" { // nothing changed
			return out, nil
		}
		if err == nil {
			out.Reloaded = true
			out.Took, err = m.activate(ctx, dir, g, out.Model)
			return out, err
		}
		if b, err = m.yield(ctx, b, out.Model, err); err != nil {
			return Outcome{}, err
		}
	}
}

// candidate writes and tests a generation; dir is empty when it would be the
// same as the served one.
func (m *Manager) candidate(ctx context.Context, model render.Model) (dir string, g render.Generation, err error) {
	dir, err = m.store.Next()
	if err != nil {
		return "", g, err
	}
	g, err = render.Files(model, m.env(dir), m.config.Code)
	if err != nil {
		return "", g, err
	}
	if g.Layout == m.layout && m.sameVRRP(g) {
		return "", g, nil
	}
	if err := verify(g.Files, model); err != nil {
		return "", g, err
	}
	err = m.store.Write(dir, g.Files)
	if err == nil {
		err = m.test(ctx, dir, g)
	}
	if err == nil { // what is refused need not be durable
		err = m.store.Sync(dir)
	}
	if err != nil {
		return "", g, errors.Join(err, os.RemoveAll(dir))
	}
	return dir, g, nil
}

// sameVRRP tells whether keepalived.conf is the one in effect. It is compared
// as text: the agent's own path is in it too.
func (m *Manager) sameVRRP(g render.Generation) bool {
	have, err := os.ReadFile(filepath.Join(m.store.Current(), render.KeepalivedConf))
	if err != nil && !os.IsNotExist(err) {
		return false
	}
	return bytes.Equal(have, g.Files[render.KeepalivedConf])
}

func (m *Manager) test(ctx context.Context, dir string, g render.Generation) error {
	if err := m.config.Web.Test(ctx, dir); err != nil {
		return err
	}
	if g.Files[render.KeepalivedConf] == nil {
		return nil
	}
	if err := m.config.VRRP.Test(ctx, filepath.Join(dir, render.KeepalivedConf)); err != nil {
		return &vrrpError{err}
	}
	return nil
}

// vrrpError is Keepalived's refusal of its file; the routes can go out with
// the old one.
type vrrpError struct{ error }

func (e *vrrpError) Unwrap() error { return e.error }

// activate swaps and reloads, or swaps and starts, and goes back if the new
// generation does not answer. It tells how long a reload took after the swap.
func (m *Manager) activate(ctx context.Context, dir string, g render.Generation, model render.Model) (time.Duration, error) {
	before, err := m.store.Target()
	if err != nil {
		return 0, err
	}
	sameVRRP := m.sameVRRP(g)
	took, err := m.bring(ctx, dir, g.Layout)
	if err != nil {
		return took, errors.Join(err, m.back(ctx, before))
	}
	m.set(model, g.Layout)
	m.config.Logger.Info("generation in effect", "dir", filepath.Base(dir), "layout", g.Layout, "hosts", len(model.Hosts))
	if !sameVRRP {
		err = m.config.VRRP.Reload()
	}
	return took, errors.Join(err, m.store.Prune())
}

func (m *Manager) bring(ctx context.Context, dir, layout string) (took time.Duration, err error) {
	start := time.Now()
	swap := func() error {
		start = time.Now()
		return m.store.Point(dir)
	}
	switch {
	case m.config.Web.Pid() == 0:
		if err = swap(); err == nil {
			err = m.config.Web.Start(ctx, layout)
		}
		return 0, err
	case layout == m.layout: // only keepalived.conf differs
		return 0, swap()
	}
	err = m.config.Web.Reload(ctx, swap, layout)
	return time.Since(start), err
}

// back points at what was served before; Nginx, if it read the new files at
// all, reads the old ones again.
func (m *Manager) back(ctx context.Context, before string) error {
	now, err := m.store.Target()
	if err != nil || before == "" || now == before {
		return err
	}
	ctx = context.WithoutCancel(ctx)
	if m.config.Web.Pid() == 0 {
		if err := m.store.Point(before); err != nil {
			return err
		}
		return m.config.Web.Start(ctx, m.layout)
	}
	return m.config.Web.Reload(ctx, func() error { return m.store.Point(before) }, m.layout)
}

func (m *Manager) env(dir string) render.Env {
	env := m.config.Env
	env.Dir = dir
	return env
}
