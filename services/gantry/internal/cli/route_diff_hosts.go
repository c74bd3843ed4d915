package cli

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strings"

	"gantry.dev/pkg/fault"
	gantryv1 "gantry.dev/proto/gen/gantry/v1"
	"gantry.dev/services/gantry/internal/client"
	"gantry.dev/services/gantry/internal/output"
	"gantry.dev/services/ingress-agent/offline"
)

// A trial is what applying one route would make of it; before is nil of a new
// one.
type trial struct{ before, after *gantryv1.Route }

// A place is a host on a gateway: one file of each of its nodes.
type place struct{ gateway, host string }

func placeOf(r *gantryv1.Route) place { return place{r.GetGateway(), r.GetHost()} }

func comparePlaces(a, b place) int {
	return cmp.Or(cmp.Compare(a.gateway, b.gateway), cmp.Compare(a.host, b.host))
}

// diffHosts shows what applying all trials would change of the Nginx files of
// their hosts, which all routes of a host are in.
func (s *runner) diffHosts(ctx context.Context, c *client.Client, trials []trial) error {
	before, err := routesBefore(ctx, c, trials)
	if err != nil {
		return err
	}
	after := maps.Clone(before)
	touched := map[place]bool{}
	for _, t := range trials {
		after[t.after.GetName()] = t.after
		touched[placeOf(t.after)] = true
		if t.before != nil {
			touched[placeOf(t.before)] = true
		}
	}
	for _, p := range slices.SortedFunc(maps.Keys(touched), comparePlaces) {
		old, err := hostFile(p, before)
		if err != nil {
			return err
		}
		next, err := hostFile(p, after)
		if err != nil {
			return err
		}
		if err := s.showDifference(old, next); err != nil {
			return err
		}
	}
	return nil
}

// routesBefore are all routes of the trials' projects as they are, by name. A
// host's routes are of one project.
func routesBefore(ctx context.Context, c *client.Client, trials []trial) (map[string]*gantryv1.Route, error) {
	all, asked := map[string]*gantryv1.Route{}, map[string]bool{}
	for _, t := range trials {
		project, _, _ := strings.Cut(t.after.GetName(), "/routes/")
		if asked[project] {
			continue
		}
		asked[project] = true
		routes, err := listRoutes(ctx, c, &scope{parent: project})
		if err != nil {
			return nil, err
		}
		for _, m := range routes {
			if r, ok := m.(*gantryv1.Route); ok {
				all[r.GetName()] = r
			}
		}
	}
	return all, nil
}

// hostFile is what a load balancer node makes of a host's routes, and why it
// would not serve one of them; without name where the host has none.
func hostFile(p place, all map[string]*gantryv1.Route) (routeText, error) {
	var routes []*gantryv1.Route
	for _, r := range all {
		if placeOf(r) == p {
			routes = append(routes, r)
		}
	}
	if len(routes) == 0 {
		return routeText{}, nil
	}
	rendered, err := offline.Render(offline.Config(nil, output.Last(p.gateway), routes, nil), usualNode())
	if err != nil {
		return routeText{}, fault.Internal("NOT_RENDERED", "%s: %w", p.host, err)
	}
	file := offline.HostFile(p.host)
	text := string(rendered.Files[file])
	for _, problem := range rendered.Problems {
		text += "# " + output.ShortName(all[problem.Route]) + " is not served: " + oneLine(problem.Reason) + "\n"
	}
	return routeText{file, text}, nil
}
