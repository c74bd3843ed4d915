package stream

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"

	"gantry.dev/services/ingress-agent/internal/disk"
)

// Daemon is what serves the generations; *Nginx in earnest.
type Daemon interface {
	// Test gives nil, a *RouteError that blames one route, or another error.
	Test(ctx context.Context, dir string) error
	// Clear makes the ports free that a killed daemon left taken.
	Clear(ctx context.Context)
	Start(ctx context.Context, layout string) error
	Reload(ctx context.Context, layout string) error
	Stop() error
	Pid() int
	// Old counts the workers of earlier generations.
	Old() int
}

// Config is what Open needs; all is required.
type Config struct {
	Env    Env
	Daemon Daemon
	// Free tells whether a program of this node could listen so.
	Free   func(context.Context, Listener) error
	Logger *slog.Logger
}

// Manager owns the generations of the stream routes. Apply and Keep must not
// run at the same time; Served may be called at any.
type Manager struct {
	config Config
	store  disk.Generations

	mu     sync.Mutex
	served Model
	// Empty: nothing was ever served.
	layout string
}

// Open opens the state directory and reads what is served (rule I6).
func Open(c Config) (*Manager, error) {
	m := &Manager{config: c, store: disk.Generations{StateDir: c.Env.StateDir}}
	for _, dir := range []string{m.store.Root(), m.store.StateDir + "/run", m.store.StateDir + "/log"} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return nil, fmt.Errorf("open the state directory of the stream routes: %w", err)
		}
	}
	files, err := m.store.Read()
	if err != nil || files == nil {
		return m, err
	}
	model, layout, err := parse(files)
	if err != nil {
		// Nginx may still serve it; the next good configuration replaces it.
		c.Logger.Error("the served stream routes cannot be read", "error", err.Error())
		return m, nil
	}
	m.set(model, layout)
	return m, nil
}

func (m *Manager) set(model Model, layout string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.served, m.layout = model, layout
}

// Served gives the model in effect; it must not be changed.
func (m *Manager) Served() Model {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.served
}

// Running tells whether the daemon does as it should: it runs when there is a
// route, and may run when there is none.
func (m *Manager) Running() bool { return len(m.Served().Routes) == 0 || m.config.Daemon.Pid() != 0 }

// Keep starts Nginx on what is served if it does not run, and ends it when no
// route and no connection is left.
func (m *Manager) Keep(ctx context.Context) (started bool, err error) {
	switch {
	case !m.Running():
		m.config.Daemon.Clear(ctx)
		return true, m.config.Daemon.Start(ctx, m.layout)
	case len(m.Served().Routes) == 0 && m.config.Daemon.Pid() != 0 && m.config.Daemon.Old() == 0:
		m.config.Logger.Info("no stream route and no connection is left; its nginx ends")
		return false, m.config.Daemon.Stop()
	}
	return false, nil
}

// Wanted is the model that the build and the pods ask for now.
func (m *Manager) Wanted(b Build, pods Pods) Model {
	served := m.Served()
	return fill(b.Gateway, keepLastGood(b, served), pods, served)
}

// Apply brings the build into effect and gives the routes that are kept in
// their last good form or are not served (rule I4). When it fails, what was
// served still is (rule I3). reloaded tells whether workers were replaced.
func (m *Manager) Apply(ctx context.Context, b Build, pods Pods) (quarantined []Rejected, reloaded bool, err error) {
	served := m.Served()
	quarantined = slices.Clone(b.Rejected)
	forms := keepLastGood(b, served)
	for {
		model := fill(b.Gateway, forms, pods, served)
		if len(model.Routes) == 0 && m.layout == "" || Equal(model, served) && m.Running() {
			return quarantined, false, nil
		}
		dir, layout, err := m.candidate(ctx, model)
		var blamed *RouteError
		if errors.As(err, &blamed) {
			name := named(forms, blamed.File)
			if name == "" {
				return nil, false, err
			}
			m.config.Logger.Warn("a stream route is kept in its last good form", "route", name, "reason", blamed.Reason)
			quarantined = append(quarantined, Rejected{Route: name, Reason: blamed.Reason})
			forms = revert(forms, served, name)
			continue
		}
		if err != nil {
			return nil, false, err
		}
		return quarantined, true, m.activate(ctx, dir, layout, model)
	}
}

func named(forms []Form, file string) string {
	for _, f := range forms {
		if strings.HasSuffix(routeFile(f.Name), "/"+file) {
			return f.Name
		}
	}
	return ""
}

// candidate writes and tests a generation.
func (m *Manager) candidate(ctx context.Context, model Model) (dir, layout string, err error) {
	if err := m.checkPorts(ctx, model); err != nil {
		return "", "", err
	}
	all, layout, err := files(model, m.config.Env)
	if err != nil {
		return "", "", err
	}
	if got, _, err := parse(all); err != nil || !Equal(got, model) { // rule I2
		return "", "", fmt.Errorf("what was rendered does not read back as what was meant (%w); this is a defect, nothing was changed", err)
	}
	if dir, err = m.store.Next(); err != nil {
		return "", "", err
	}
	err = m.store.Write(dir, all)
	if err == nil {
		err = m.config.Daemon.Test(ctx, dir)
	}
	if err == nil {
		err = m.store.Sync(dir)
	}
	if err != nil {
		return "", "", errors.Join(err, os.RemoveAll(dir))
	}
	return dir, layout, nil
}

// checkPorts blames a route whose port another program has: `nginx -t` does
// not look, and a reload would fail as a whole.
func (m *Manager) checkPorts(ctx context.Context, model Model) error {
	ours := map[Listener]bool{}
	if m.config.Daemon.Pid() == 0 {
		m.config.Daemon.Clear(ctx)
	} else {
		for _, r := range m.Served().Routes {
			ours[r.Listen] = true
		}
	}
	for _, r := range model.Routes {
		if ours[r.Listen] {
			continue
		}
		if err := m.config.Free(ctx, r.Listen); err != nil {
			return &RouteError{File: strings.TrimPrefix(routeFile(r.Name), routesDir+"/"), Reason: err.Error()}
		}
	}
	return nil
}

// activate swaps and reloads, or swaps and starts, and goes back if the new
// generation does not answer.
func (m *Manager) activate(ctx context.Context, dir, layout string, model Model) error {
	before, err := m.store.Target()
	if err != nil {
		return err
	}
	if err := m.serve(ctx, dir, layout, model); err != nil {
		if before == "" {
			return err
		}
		return errors.Join(err, m.serve(ctx, before, m.layout, m.served))
	}
	m.set(model, layout)
	return m.store.Prune()
}

func (m *Manager) serve(ctx context.Context, dir, layout string, model Model) error {
	if err := m.store.Point(dir); err != nil {
		return err
	}
	switch {
	case m.config.Daemon.Pid() != 0:
		return m.config.Daemon.Reload(ctx, layout)
	case len(model.Routes) > 0:
		return m.config.Daemon.Start(ctx, layout)
	}
	return nil
}
