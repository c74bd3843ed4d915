package api

import (
	"context"
	"slices"
	"strings"

	"gantry.dev/pkg/fault"
	"gantry.dev/pkg/names"
	gantryv1 "gantry.dev/proto/gen/gantry/v1"
	"gantry.dev/services/cluster-mgr/internal/fleet"
	"gantry.dev/services/cluster-mgr/internal/store"
)

// users says who uses the secrets and volumes of a project ("projects/-": of
// all): by their names, the names of apps, as they are wanted now, and of
// routes, in order.
func (s *Services) users(ctx context.Context, project string) (map[string][]string, error) {
	return s.usersIn(ctx, store.NewChange(), below(project))
}

// usersIn also makes a change depend on that nobody uses more meanwhile.
func (s *Services) usersIn(ctx context.Context, change *store.Change, prefix string) (map[string][]string, error) {
	apps, appsAt, err := s.Store.Apps.List(ctx, prefix)
	if err != nil {
		return nil, err
	}
	routes, routesAt, err := s.Store.Routes.List(ctx, prefix)
	if err != nil {
		return nil, err
	}
	s.Store.Apps.ExpectNoneSince(change, prefix, appsAt)
	s.Store.Routes.ExpectNoneSince(change, prefix, routesAt)
	return usersOf(apps, routes), nil
}

func usersOf(apps []store.Item[*gantryv1.App], routes []store.Item[*gantryv1.Route]) map[string][]string {
	out := map[string][]string{}
	for _, app := range apps {
		for _, used := range slices.Concat(fleet.SecretNames(app.Value.GetSpec()), fleet.VolumeNames(app.Value.GetSpec())) {
			out[used] = append(out[used], app.Name)
		}
	}
	for _, route := range routes {
		if secret := route.Value.GetRules().GetTls().GetSecret(); secret != "" {
			out[secret] = append(out[secret], route.Name)
		}
	}
	return out
}

// unused refuses while an app or a route uses a secret or volume, also one that
// begins to meanwhile.
func (s *Services) unused(ctx context.Context, change *store.Change, name, reason string) error {
	users, err := s.usersIn(ctx, change, names.Parent(name)+"/")
	if err != nil {
		return err
	}
	if by := users[name]; len(by) > 0 {
		return fault.Precondition(reason, "%s is used by %s; take it out there first", name, strings.Join(by, ", "))
	}
	return nil
}
