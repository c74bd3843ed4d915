package api

import (
	"context"
	"maps"

	"gantry.dev/pkg/fault"
	"gantry.dev/pkg/names"
	gantryv1 "gantry.dev/proto/gen/gantry/v1"
	"gantry.dev/services/cluster-mgr/internal/store"
)

// claim takes the place for a route, and gives up what old had (rule I7).
func (s *routeService) claim(ctx context.Context, change *store.Change, route, old *gantryv1.Route) error {
	if old != nil && old.GetHost() != route.GetHost() {
		if err := s.unclaim(ctx, change, old); err != nil {
			return err
		}
	}
	item, err := s.Store.Hosts.Get(ctx, route.GetHost())
	if err != nil && !fault.Is(err, fault.KindNotFound) {
		return err
	}
	next, err := claimed(item.Value, route)
	if err != nil {
		return err
	}
	s.Store.Hosts.Put(change, route.GetHost(), next, item.ModRevision)
	return nil
}

// claimed is a host's claim with a route's place in it.
func claimed(now store.HostClaim, route *gantryv1.Route) (store.HostClaim, error) {
	project := names.Parent(route.GetName())
	if now.Project != "" && now.Project != project {
		return now, taken("HOST_TAKEN", "route.host", "the host %s belongs to another project; choose another, or ask an operator", route.GetHost())
	}
	next := released(now, route.GetName())
	next.Project = project
	place := store.Place(route)
	if other := next.Paths[place]; other != "" {
		return now, taken("PATH_TAKEN", "route.path_prefix", "%s leads %s%s elsewhere already", other, route.GetHost(), route.GetPathPrefix())
	}
	next.Paths[place] = route.GetName()
	secret := route.GetRules().GetTls().GetSecret()
	for other, named := range next.Secrets {
		if secret != "" && named != secret {
			return now, invalid("route.rules.tls.secret", "%s serves %s with %s; all routes of a host name the same secret", other, route.GetHost(), named)
		}
	}
	if secret != "" {
		next.Secrets[route.GetName()] = secret
	}
	return next, nil
}

// released is a claim without a route.
func released(now store.HostClaim, route string) store.HostClaim {
	next := store.HostClaim{Project: now.Project, Paths: map[string]string{}, Secrets: map[string]string{}}
	maps.Copy(next.Paths, now.Paths)
	maps.Copy(next.Secrets, now.Secrets)
	maps.DeleteFunc(next.Paths, func(_, by string) bool { return by == route })
	delete(next.Secrets, route)
	return next
}

// unclaim gives up a route's place, and its host with the last place.
func (s *routeService) unclaim(ctx context.Context, change *store.Change, route *gantryv1.Route) error {
	item, err := s.Store.Hosts.Get(ctx, route.GetHost())
	if fault.Is(err, fault.KindNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	next := released(item.Value, route.GetName())
	if len(next.Paths) == 0 {
		s.Store.Hosts.Delete(change, item.Name, item.ModRevision)
		return nil
	}
	s.Store.Hosts.Put(change, item.Name, next, item.ModRevision)
	return nil
}

// taken refuses what somebody else has, with the field named.
func taken(reason, field, format string, args ...any) error {
	f := fault.Exists(reason, format, args...)
	return f.With(fault.Violation{Field: field, Description: f.Message})
}
