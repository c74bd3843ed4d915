package render

import "slices"

// KeepLastGood puts the rejected routes into the model in the form that last
// serves, where it has one and its place is free (rule I4). A model without
// VRRP keeps that of last. The result may share its hosts with b.
func KeepLastGood(b Build, last Model) Model {
	m := b.Model
	if b.VRRPProblem != "" {
		m.VRRP = last.VRRP
	}
	if len(b.Rejected) == 0 {
		return m
	}
	m = clone(m)
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

// Reject takes routes out of what can be served, each for its reason.
func (b Build) Reject(all []Rejected) Build {
	if len(all) == 0 {
		return b
	}
	gone := map[string]bool{}
	for _, r := range all {
		gone[r.Route] = true
	}
	b.Model = b.Model.Only(func(route string) bool { return !gone[route] })
	b.Rejected = slices.Concat(b.Rejected, all)
	return b
}

// Only is the model with the routes that keep holds for; hosts without any
// are left out.
func (m Model) Only(keep func(route string) bool) Model {
	out := m
	out.Hosts = nil
	for _, h := range m.Hosts {
		h.Locations = slices.DeleteFunc(slices.Clone(h.Locations), func(l Location) bool { return !keep(l.Route) })
		if len(h.Locations) > 0 {
			out.Hosts = append(out.Hosts, h)
		}
	}
	return out
}

// Changed names the routes that last does not serve in the same form on the
// same host; those of a host follow each other.
func (m Model) Changed(last Model) []string {
	var changed []string
	for _, h := range m.Hosts {
		before, _ := last.Host(h.Name)
		for _, l := range h.Locations {
			if !slices.ContainsFunc(before.Locations, func(b Location) bool { return equalLocation(b, l) }) {
				changed = append(changed, l.Route)
			}
		}
	}
	return changed
}

func clone(m Model) Model {
	m.Hosts = slices.Clone(m.Hosts)
	for i := range m.Hosts {
		m.Hosts[i].Locations = slices.Clone(m.Hosts[i].Locations)
	}
	return m
}
