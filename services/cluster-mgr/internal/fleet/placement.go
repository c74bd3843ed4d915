package fleet

import (
	"fmt"

	"gantry.dev/pkg/names"
	gantryv1 "gantry.dev/proto/gen/gantry/v1"
	"gantry.dev/services/cluster-mgr/internal/placement"
	"gantry.dev/services/cluster-mgr/internal/store"
)

// ImageThere tells whether a cluster's registry holds an app's image, and why
// not, as part of a sentence.
type ImageThere func(cluster *gantryv1.Cluster, app *gantryv1.App) (bool, string)

// Placement is the input of placement.Decide for one app. Clusters go by their
// id ("site-a").
func (s Snapshot) Placement(app *gantryv1.App, desired int, there ImageThere) (placement.Input, error) {
	per, err := PerReplica(app.GetSpec().GetResources())
	if err != nil {
		return placement.Input{}, fmt.Errorf("resources of %s: %w", app.GetName(), err)
	}
	in := placement.Input{App: app.GetName(), Desired: desired, PerReplica: per}
	current := s.Assignments[app.GetName()].Value
	for _, item := range s.Clusters {
		c := s.place(app, item.Value, current.Replicas(item.Name), there)
		if c.Eligible {
			c.Min = max(c.Min, s.returning(app.GetName(), item.Name))
		}
		in.Clusters = append(in.Clusters, c)
		// Of a lost cluster as much is saved as fits.
		in.Partly = in.Partly || item.Value.GetEvacuated()
	}
	return in, nil
}

// place is one cluster as a place for an app of which it runs current replicas.
func (s Snapshot) place(app *gantryv1.App, cluster *gantryv1.Cluster, current int, there ImageThere) placement.Cluster {
	c := placement.Cluster{Name: names.ID(cluster.GetName()), Weight: int(cluster.GetWeight()), Nodes: s.nodes(cluster.GetName()), Current: current}
	allowed, limits := limitsIn(app.GetSpec().GetPlacement(), cluster.GetName())
	c.Min, c.Max = int(limits.GetMin()), int(limits.GetMax())
	if limits.GetWeight() > 0 {
		c.Weight = int(limits.GetWeight())
	}
	c.Hold, c.Eligible, c.Reason = s.admit(cluster)
	c.Idle = c.Hold && Idle(cluster)
	switch {
	case c.Hold || !c.Eligible:
	case !allowed:
		c.Eligible, c.Reason = false, "is not among the app's clusters"
	default:
		c.Eligible, c.Reason = there(cluster, app)
		// What runs there has its image; the next release waits for its own.
		c.Hold = !c.Eligible && current > 0
	}
	return c
}

// admit says what may happen in a cluster whatever the app: hold what is
// there, take replicas, or neither.
func (s Snapshot) admit(cluster *gantryv1.Cluster) (hold, eligible bool, reason string) {
	switch {
	case cluster.GetEvacuated():
		return false, false, "is evacuated"
	case !s.Observed(cluster.GetName()):
		// Unreachable is not empty (rule C1).
		return true, false, "cannot be observed"
	case Idle(cluster) && s.failBack(cluster.GetName()) == nil:
		return true, false, "gets no traffic now"
	}
	return false, true, ""
}

// Idle tells whether traffic was switched away from a cluster as planned work:
// its replicas stay, but serve nobody and count for nothing.
func Idle(c *gantryv1.Cluster) bool {
	return !c.GetEvacuated() && c.GetTrafficPercent() == 0
}

func (s Snapshot) nodes(cluster string) []placement.Node {
	var nodes []placement.Node
	for _, n := range s.View.Clusters[cluster].State.GetNodes() {
		if !n.GetReady() {
			continue
		}
		nodes = append(nodes, placement.Node{
			Name:        n.GetName(),
			Allocatable: placement.Resources{MilliCPU: n.GetAllocatableMilliCpu(), MemoryBytes: n.GetAllocatableMemoryBytes()},
			Requested:   placement.Resources{MilliCPU: n.GetRequestedMilliCpu(), MemoryBytes: n.GetRequestedMemoryBytes()},
			Used:        placement.Resources{MilliCPU: n.GetUsedMilliCpu(), MemoryBytes: n.GetUsedMemoryBytes()},
		})
	}
	return nodes
}

// limitsIn finds an app's bounds in a cluster. Without any placement every
// cluster is allowed.
func limitsIn(p *gantryv1.Placement, cluster string) (allowed bool, limits *gantryv1.ClusterPlacement) {
	if len(p.GetClusters()) == 0 {
		return true, nil
	}
	for _, l := range p.GetClusters() {
		if l.GetCluster() == cluster {
			return true, l
		}
	}
	return false, nil
}

// Shares are a plan's shares as they are stored.
func Shares(p placement.Plan) []store.ShareRecord {
	shares := make([]store.ShareRecord, 0, len(p.Shares))
	for _, s := range p.Shares {
		shares = append(shares, store.ShareRecord{Cluster: "clusters/" + s.Cluster, Replicas: s.Replicas, Reason: s.Reason})
	}
	return shares
}
