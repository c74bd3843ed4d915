package fleet

import (
	"maps"
	"sync"

	"gantry.dev/pkg/names"
	gantryv1 "gantry.dev/proto/gen/gantry/v1"
	"gantry.dev/services/cluster-mgr/internal/failover"
	"gantry.dev/services/cluster-mgr/internal/observe"
	"gantry.dev/services/cluster-mgr/internal/placement"
)

// ledger is the room of the clusters. The assignment in etcd is the
// reservation: what is assigned to an app but is on no node yet is laid onto
// the nodes, so that nobody else gets its room. What is on a node is in the
// requests that ipaas reported, and is not counted again.
type ledger struct {
	once sync.Once
	// By cluster name.
	nodes map[string][]placement.Node

	steer sync.Once
	// Of the operations that run now.
	steerings []failover.Steering
}

// Draft is the snapshot with a ledger of its own, in which Take makes each
// placement leave less room to those after it. It is for one goroutine.
func (s Snapshot) Draft() Snapshot {
	own := &ledger{nodes: maps.Clone(s.books())}
	own.once.Do(func() {})
	s.ledger = own
	return s
}

// Take reserves, in a Draft, what a plan adds to an app's shares.
func (s Snapshot) Take(in placement.Input, out placement.Plan) {
	for _, share := range out.Shares {
		cluster := "clusters/" + share.Cluster
		s.lay(cluster, in.PerReplica, share.Replicas-max(share.From, s.running(in.App, cluster)))
	}
}

// nodes are a cluster's nodes that work, with all reservations.
func (s Snapshot) nodes(cluster string) []placement.Node { return s.books()[cluster] }

// books opens the ledger, which is made when it is first needed.
func (s Snapshot) books() map[string][]placement.Node {
	l := s.ledger
	if l == nil {
		l = &ledger{}
	}
	l.once.Do(func() { l.nodes = s.reserved() })
	return l.nodes
}

// reserved makes the ledger: the nodes of each cluster with what is assigned
// to each app, in name order, but is on no node.
func (s Snapshot) reserved() map[string][]placement.Node {
	books := make(map[string][]placement.Node, len(s.View.Clusters))
	on := make(map[string]map[string]int, len(s.View.Clusters))
	for name, v := range s.View.Clusters {
		books[name], on[name] = s.reported(name), onNodes(v)
	}
	own := Snapshot{View: s.View, Assignments: s.Assignments, ledger: &ledger{nodes: books}}
	own.ledger.once.Do(func() {})
	for _, app := range s.Apps {
		per, err := PerReplica(app.Value.GetSpec().GetResources())
		if err != nil {
			continue // its own placement says so
		}
		for _, c := range s.Clusters {
			due := max(s.Assignments[app.Name].Value.Replicas(c.Name), s.running(app.Name, c.Name))
			own.lay(c.Name, per, due-on[c.Name][app.Name])
		}
	}
	return books
}

func (s Snapshot) lay(cluster string, per placement.Resources, replicas int) {
	if replicas > 0 {
		s.ledger.nodes[cluster] = placement.Reserve(placement.Cluster{Nodes: s.ledger.nodes[cluster]}, per, replicas).Nodes
	}
}

// running is how many replicas a cluster was told to run when it was seen
// last: while replicas move, more than are assigned to it.
func (s Snapshot) running(app, cluster string) int {
	return int(s.View.Clusters[cluster].Workloads[app].GetReplicas())
}

// reported are a cluster's nodes that take pods, as ipaas reported them, with
// the use of busy times where Prometheus knows it.
func (s Snapshot) reported(cluster string) []placement.Node {
	busy, _ := s.View.UseOf(cluster, s.Time)
	var nodes []placement.Node
	for _, n := range s.View.Clusters[cluster].State.GetNodes() {
		if !n.GetReady() {
			continue
		}
		used := placement.Resources{MilliCPU: n.GetUsedMilliCpu(), MemoryBytes: n.GetUsedMemoryBytes()}
		if measured, ok := busy[n.GetName()]; ok {
			used = placement.Resources(measured)
		}
		nodes = append(nodes, placement.Node{
			Name:        n.GetName(),
			Allocatable: placement.Resources{MilliCPU: n.GetAllocatableMilliCpu(), MemoryBytes: n.GetAllocatableMemoryBytes()},
			Requested:   placement.Resources{MilliCPU: n.GetRequestedMilliCpu(), MemoryBytes: n.GetRequestedMemoryBytes()},
			Used:        used,
			MaxPods:     int(n.GetMaxPods()),
			Pods:        int(n.GetPods()),
		})
	}
	return nodes
}

// onNodes counts each app's pods whose requests are in those of a node that
// works. A pod that ends is on its node still, but the one in its place is not.
func onNodes(v observe.ClusterView) map[string]int {
	works := make(map[string]bool, len(v.State.GetNodes()))
	for _, n := range v.State.GetNodes() {
		works[n.GetName()] = n.GetReady()
	}
	on := map[string]int{}
	for _, p := range v.Pods {
		if works[p.GetNode()] && !p.GetTerminating() && !ended(p) {
			on[p.GetApp()]++
		}
	}
	return on
}

// ended tells whether a pod is kept only to be looked at: it holds no room.
func ended(p *gantryv1.Pod) bool {
	switch p.GetPhase() {
	case "Succeeded", "Failed", "Evicted", "Completed":
		return true
	}
	return false
}

// shows tells whether a cluster was seen with replicas or pods of an app.
func (s Snapshot) shows(app, cluster string) bool {
	if s.running(app, cluster) > 0 {
		return true
	}
	for _, p := range s.View.Clusters[cluster].Pods {
		if p.GetApp() == app && !ended(p) {
			return true
		}
	}
	return false
}

// elsewhere is another observed cluster in which an app was seen; empty: none.
func (s Snapshot) elsewhere(app, cluster string) string {
	for _, c := range s.Clusters {
		if c.Name != cluster && s.Observed(c.Name) && s.shows(app, c.Name) {
			return names.ID(c.Name)
		}
	}
	return ""
}
