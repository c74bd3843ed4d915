package api

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"gantry.dev/pkg/fault"
	"gantry.dev/pkg/names"
	gantryv1 "gantry.dev/proto/gen/gantry/v1"
	"gantry.dev/services/cluster-mgr/internal/store"
)

// check refuses a route that cannot be served. The change then depends on what
// the route leads from and to (rule S1).
func (s *routeService) check(ctx context.Context, change *store.Change, r *gantryv1.Route) error {
	if err := checkForm(r); err != nil {
		return err
	}
	if err := s.onGateway(ctx, change, r.GetGateway()); err != nil {
		return err
	}
	if r.GetApp() == "" {
		if err := s.inStoredProject(ctx, change, r.GetName()); err != nil {
			return err
		}
	}
	leads := newLeads(s.Services, change, "route")
	for _, l := range leadsOf(r) {
		if err := leads.check(ctx, l); err != nil {
			return err
		}
	}
	return s.checkTLS(ctx, change, r)
}

// onGateway makes a change depend on a gateway.
func (s *Services) onGateway(ctx context.Context, change *store.Change, name string) error {
	gateway, err := s.Store.Gateways.Get(ctx, name)
	if err != nil {
		return err
	}
	s.Store.Gateways.Expect(change, gateway.Name, gateway.ModRevision)
	return nil
}

// inStoredProject makes a change depend on a resource's project.
func (s *Services) inStoredProject(ctx context.Context, change *store.Change, name string) error {
	project, err := s.Store.Projects.Get(ctx, names.Parent(name))
	if err != nil {
		return err
	}
	s.Store.Projects.Expect(change, project.Name, project.ModRevision)
	return nil
}

// lead is one way from a route to an app.
type lead struct {
	// Name of the route or stream route.
	from string
	// Where the route says it: "" or "rules.canaries[0]".
	field string
	app   string
	port  int32
}

func leadsOf(r *gantryv1.Route) []lead {
	var out []lead
	if r.GetApp() != "" {
		out = append(out, lead{from: r.GetName(), app: r.GetApp(), port: r.GetPort()})
	}
	for i, c := range r.GetRules().GetCanaries() {
		out = append(out, lead{from: r.GetName(), field: fmt.Sprintf("rules.canaries[%d]", i), app: c.GetApp(), port: c.GetPort()})
	}
	return out
}

// leads checks ways to apps, each app read once.
type leads struct {
	*Services
	change *store.Change
	apps   map[string]*gantryv1.App
	// What the request calls the resource.
	root string
}

func newLeads(s *Services, change *store.Change, root string) leads {
	return leads{Services: s, change: change, apps: map[string]*gantryv1.App{}, root: root}
}

// check refuses a way to another project's app, or to a port that the app does
// not have.
func (s leads) check(ctx context.Context, l lead) error {
	field := strings.TrimSuffix(s.root+"."+l.field, ".")
	if names.Project(l.app) != names.Project(l.from) {
		return invalid(field+".app", "%s is in another project than %s", l.app, l.from)
	}
	app := s.apps[l.app]
	if app == nil {
		item, err := s.Store.Apps.Get(ctx, l.app)
		if fault.Is(err, fault.KindNotFound) {
			return fault.From(err).With(fault.Violation{Field: field + ".app", Description: "there is no " + l.app})
		}
		if err != nil {
			return err
		}
		s.Store.Apps.Expect(s.change, item.Name, item.ModRevision)
		app, s.apps[l.app] = item.Value, item.Value
	}
	if !hasPort(app, l.port) {
		return invalid(field+".port", "%d is none of the ports of %s", l.port, l.app)
	}
	return nil
}

func hasPort(app *gantryv1.App, port int32) bool {
	return slices.ContainsFunc(app.GetSpec().GetPorts(), func(p *gantryv1.Port) bool { return p.GetPort() == port })
}

// leadingTo are the ways to an app. A change then depends on that there are no
// more meanwhile.
func (s *Services) leadingTo(ctx context.Context, change *store.Change, app string) ([]lead, error) {
	project := names.Parent(app) + "/"
	routes, routesAt, err := s.Store.Routes.List(ctx, project)
	if err != nil {
		return nil, err
	}
	streams, streamsAt, err := s.Store.StreamRoutes.List(ctx, project)
	if err != nil {
		return nil, err
	}
	s.Store.Routes.ExpectNoneSince(change, project, routesAt)
	s.Store.StreamRoutes.ExpectNoneSince(change, project, streamsAt)
	var out []lead
	for _, r := range routes {
		out = append(out, leadsOf(r.Value)...)
	}
	for _, r := range streams {
		out = append(out, lead{from: r.Name, app: r.Value.GetApp(), port: r.Value.GetPort()})
	}
	return slices.DeleteFunc(out, func(l lead) bool { return l.app != app }), nil
}
