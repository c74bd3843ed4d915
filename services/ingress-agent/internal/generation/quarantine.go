package generation

import (
	"context"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"gantry.dev/services/ingress-agent/internal/nginx"
	"gantry.dev/services/ingress-agent/internal/render"
)

// yield gives the build without what the daemons refuse of the model that it
// led to; the refusal itself when nothing that changed is to blame.
func (m *Manager) yield(ctx context.Context, b render.Build, model render.Model, refusal error) (render.Build, error) {
	var vrrp *vrrpError
	if errors.As(refusal, &vrrp) && !render.EqualVRRP(model.VRRP, m.served.VRRP) {
		b.VRRPProblem = vrrp.Error()
		return b, nil
	}
	var web *nginx.Refusal
	if !errors.As(refusal, &web) {
		return b, refusal
	}
	bad, err := m.guilty(ctx, model)
	if err != nil {
		return b, err
	}
	if len(bad) == 0 {
		return b, refusal
	}
	for _, r := range bad {
		m.config.Logger.Warn("a route is kept in its last good form", "route", r.Route, "reason", r.Reason)
	}
	return b.Reject(bad), nil
}

// guilty finds the routes that make Nginx refuse the model: of those that
// changed, first each for itself, which is quick because the others are left
// out; then, if they are refused only together, one after the other beside all
// that has not changed.
func (m *Manager) guilty(ctx context.Context, model render.Model) ([]render.Rejected, error) {
	changed := model.Changed(m.served)
	alone := search{model: model, refuses: func(routes []string) (*nginx.Refusal, error) { return m.try(ctx, model, routes) }}
	if r, err := alone.refuses(nil); r != nil || err != nil {
		return nil, err // it is not about routes
	}
	if bad, err := alone.among(changed); len(bad) > 0 || err != nil {
		return bad, err
	}
	good := unchanged(model, changed)
	together := search{model: model, refuses: func(routes []string) (*nginx.Refusal, error) {
		all := slices.Concat(good, routes)
		r, err := m.try(ctx, model, all)
		if r == nil && err == nil {
			good = all
		}
		return r, err
	}}
	if r, err := together.refuses(nil); r != nil || err != nil {
		return nil, err
	}
	return together.among(changed)
}

func unchanged(m render.Model, changed []string) []string {
	all := m.Routes()
	for _, r := range changed {
		delete(all, r)
	}
	return slices.Collect(maps.Keys(all))
}

// try lets Nginx read the model with these routes only; nil when it takes it.
func (m *Manager) try(ctx context.Context, model render.Model, routes []string) (*nginx.Refusal, error) {
	keep := map[string]bool{}
	for _, r := range routes {
		keep[r] = true
	}
	part := model.Only(func(route string) bool { return keep[route] })
	part.VRRP = render.VRRP{}
	dir := filepath.Join(m.store.Root(), "trial")
	g, err := render.Files(part, m.env(dir), m.config.Code)
	if err == nil {
		err = os.RemoveAll(dir)
	}
	if err == nil {
		err = m.store.Write(dir, g.Files)
	}
	if err != nil {
		return nil, err
	}
	err = m.config.Web.Test(ctx, dir)
	var refusal *nginx.Refusal
	if errors.As(err, &refusal) {
		err = nil
	}
	return refusal, errors.Join(err, os.RemoveAll(dir))
}

// A search finds refused routes by halves: one among 500 takes some 20 tests
// of ever fewer routes, and four where Nginx names the file.
type search struct {
	model   render.Model
	refuses func(routes []string) (*nginx.Refusal, error)
}

func (s search) among(routes []string) ([]render.Rejected, error) {
	refusal, err := s.refuses(routes)
	switch {
	case err != nil || refusal == nil:
		return nil, err
	case len(routes) == 1:
		return []render.Rejected{{Route: routes[0], Reason: "nginx refuses it: " + refusal.Reason}}, nil
	}
	var all []render.Rejected
	for _, part := range s.split(routes, refusal.File) {
		bad, err := s.among(part)
		if err != nil {
			return nil, err
		}
		all = append(all, bad...)
	}
	return all, nil
}

// split parts the routes of the blamed file from halves of the others; the
// whole into halves when no file parts it.
func (s search) split(routes []string, file string) [][]string {
	blamed := s.inFile(file)
	var of, others []string
	for _, r := range routes {
		if blamed[r] {
			of = append(of, r)
		} else {
			others = append(others, r)
		}
	}
	if len(of) == 0 || len(others) == 0 {
		return halves(routes)
	}
	return append([][]string{of}, halves(others)...)
}

func (s search) inFile(file string) map[string]bool {
	for _, h := range s.model.Hosts {
		if file != "" && strings.HasSuffix(render.HostFile(h.Name), "/"+file) {
			return render.Model{Hosts: []render.Host{h}}.Routes()
		}
	}
	return nil
}

func halves(routes []string) [][]string {
	half := len(routes) / 2
	return [][]string{routes[:half], routes[half:]}
}
