package render

import "slices"

// KeepLastGood puts the rejected routes into the model in the form that last
// serves, where it has one and its place is free (rule I4). A model without
// VRRP keeps that of last.
func KeepLastGood(b Build, last Model) Model {
	m := clone(b.Model)
	if b.VRRPProblem != "" {
		m.VRRP = last.VRRP
	}
	rejected := map[string]bool{}
	for _, r := range b.Rejected {
		rejected[r.Route] = true
	}
	served := m.Routes()
	place := newPlacer(&m)
	for _, h := range last.Hosts {
		for _, l := range h.Locations {
			if rejected[l.Route] && !served[l.Route] {
				_ = place.add(h.Name, l) // its place is taken: another route is right to have it
			}
		}
	}
	place.sort()
	return m
}

// Revert takes a host back to the form that last serves, because Nginx
// refuses the new one, and names the routes that are not served as wanted.
// Routes that nobody wants any more do not come back.
func Revert(m, last Model, host string, wanted map[string]bool) (Model, []string) {
	now, _ := m.Host(host)
	before, _ := last.Host(host)
	kept := Host{Name: host}
	for _, l := range before.Locations {
		if wanted[l.Route] {
			kept.Locations = append(kept.Locations, l)
		}
	}
	var changed []string
	for _, l := range now.Locations {
		if !slices.ContainsFunc(kept.Locations, func(k Location) bool { return equalLocation(k, l) }) {
			changed = append(changed, l.Route)
		}
	}
	out := Model{Gateway: m.Gateway, VRRP: m.VRRP}
	for _, h := range m.Hosts {
		if h.Name != host {
			out.Hosts = append(out.Hosts, h)
		}
	}
	if len(kept.Locations) > 0 {
		out.Hosts = append(out.Hosts, kept)
	}
	newPlacer(&out).sort()
	return out, changed
}

func clone(m Model) Model {
	m.Hosts = slices.Clone(m.Hosts)
	for i := range m.Hosts {
		m.Hosts[i].Locations = slices.Clone(m.Hosts[i].Locations)
	}
	return m
}
