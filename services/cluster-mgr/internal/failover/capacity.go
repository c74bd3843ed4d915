package failover

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"gantry.dev/services/cluster-mgr/internal/placement"
)

// fleet is the clusters with the room that is left as apps are planned one after the other.
type fleet struct{ clusters []Cluster }

func newFleet(clusters []Cluster) *fleet {
	f := &fleet{slices.Clone(clusters)}
	slices.SortStableFunc(f.clusters, func(a, b Cluster) int { return cmp.Compare(a.Name, b.Name) })
	return f
}

func (f *fleet) find(name string) (Cluster, bool) {
	for _, c := range f.clusters {
		if c.Name == name {
			return c, true
		}
	}
	return Cluster{}, false
}

// takes tells whether a cluster can take over work, and why not.
func (c Cluster) takes() (bool, string) {
	if c.Eligible && c.TrafficPercent <= 0 {
		return false, "gets no traffic"
	}
	return c.Eligible, c.Reason
}

// targets are the clusters that can take over from source, in name order.
func (f *fleet) targets(source string) []string {
	names := []string{}
	for _, c := range f.clusters {
		if takes, _ := c.takes(); takes && c.Name != source {
			names = append(names, c.Name)
		}
	}
	return names
}

// input is a placement of one app over the fleet that wants what is there.
func (f *fleet) input(app App) placement.Input {
	in := placement.Input{App: app.Name, PerReplica: app.PerReplica}
	for _, c := range f.clusters {
		here, listed := app.in(c.Name)
		p := placement.Cluster{
			Name: c.Name, Nodes: c.Nodes, Min: here.Min, Max: here.Max, Weight: here.Weight, Current: max(0, here.Replicas),
		}
		p.Eligible, p.Reason = c.takes()
		switch {
		case !listed:
			p.Eligible, p.Reason = false, "is not among the app's clusters"
		case len(here.Missing) > 0 && p.Eligible:
			p.Eligible, p.Reason = false, "lacks "+strings.Join(here.Missing, ", ")
		}
		// Whoever cannot take more keeps what it has: this plan is about one cluster.
		p.Hold = !p.Eligible && p.Current > 0
		in.Desired += p.Current
		in.Clusters = append(in.Clusters, p)
	}
	return in
}

// reserve takes the room of the additional replicas of a plan.
func (f *fleet) reserve(p placement.Plan, per placement.Resources) {
	for i := range f.clusters {
		c := &f.clusters[i]
		for _, s := range p.Shares {
			if s.Cluster == c.Name && s.Replicas > s.From {
				c.Nodes = placement.Reserve(placement.Cluster{Nodes: c.Nodes}, per, s.Replicas-s.From).Nodes
			}
		}
	}
}

func (a App) in(cluster string) (Here, bool) {
	for _, h := range a.Clusters {
		if h.Cluster == cluster {
			return h, true
		}
	}
	return Here{}, false
}

// missing lists what any cluster lacks for the app, as sentences.
func (a App) missing() []string {
	here := slices.Clone(a.Clusters)
	slices.SortFunc(here, func(x, y Here) int { return cmp.Compare(x.Cluster, y.Cluster) })
	var out []string
	for _, h := range here {
		for _, missing := range h.Missing {
			out = append(out, fmt.Sprintf("%s cannot go to %s: %s is not in %s", a.Name, h.Cluster, missing, h.Cluster))
		}
	}
	return out
}

// byPriority is the order in which apps get room.
func byPriority(apps []App) []App {
	out := slices.Clone(apps)
	slices.SortStableFunc(out, func(a, b App) int {
		return cmp.Or(cmp.Compare(b.Priority, a.Priority), cmp.Compare(a.Name, b.Name))
	})
	return out
}

// only keeps bounds that are not met now from moving anything: this plan is about one cluster.
func only(in placement.Input) placement.Input {
	for i := range in.Clusters {
		c := &in.Clusters[i]
		c.Min = min(c.Min, c.Current)
		if c.Max > 0 {
			c.Max = max(c.Max, c.Current)
		}
	}
	return in
}

func amend(in placement.Input, cluster string, change func(*placement.Cluster)) placement.Input {
	for i := range in.Clusters {
		if in.Clusters[i].Name == cluster {
			change(&in.Clusters[i])
		}
	}
	return in
}
