package fleet

import (
	"slices"

	gantryv1 "gantry.dev/proto/gen/gantry/v1"
	"gantry.dev/services/cluster-mgr/internal/placement"
	"gantry.dev/services/cluster-mgr/internal/store"
)

// Grown is the placement of an app whose replicas get larger than those that
// are stored: every one of them needs room anew, for which the present ones
// make way. Any other app's placement comes back as it is.
func (s Snapshot) Grown(in placement.Input) placement.Input {
	i := slices.IndexFunc(s.Apps, func(a store.Item[*gantryv1.App]) bool { return a.Name == in.App })
	if i < 0 {
		return in
	}
	was, err := PerReplica(s.Apps[i].Value.GetSpec().GetResources())
	if err != nil || in.PerReplica.MilliCPU <= was.MilliCPU && in.PerReplica.MemoryBytes <= was.MemoryBytes {
		return in
	}
	in.Clusters = slices.Clone(in.Clusters)
	for i := range in.Clusters {
		c := &in.Clusters[i]
		if c.Eligible && !c.Hold {
			c.Nodes, c.Current = s.without(in.App, "clusters/"+c.Name, c.Nodes, was), 0
		}
	}
	return in
}

// without is the nodes as if an app's pods, of one size, were not there.
func (s Snapshot) without(app, cluster string, nodes []placement.Node, size placement.Resources) []placement.Node {
	nodes = slices.Clone(nodes)
	for _, p := range s.View.Clusters[cluster].Pods {
		i := slices.IndexFunc(nodes, func(n placement.Node) bool { return n.Name == p.GetNode() })
		if i < 0 || p.GetApp() != app || ended(p) {
			continue
		}
		n := &nodes[i]
		n.Requested.MilliCPU -= min(n.Requested.MilliCPU, size.MilliCPU)
		n.Requested.MemoryBytes -= min(n.Requested.MemoryBytes, size.MemoryBytes)
		n.Pods = max(0, n.Pods-1)
	}
	return nodes
}
