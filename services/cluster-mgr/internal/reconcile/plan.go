package reconcile

import (
	"slices"

	gantryv1 "gantry.dev/proto/gen/gantry/v1"
	"gantry.dev/services/cluster-mgr/internal/fleet"
	"gantry.dev/services/cluster-mgr/internal/store"
)

// target is one app in one cluster.
type target struct{ app, cluster string }

// wanted is what a cluster is to run of an app.
type wanted struct {
	target
	replicas int
	release  int
	spec     *gantryv1.App
	// Version of each secret that the release has.
	versions map[string]string
}

// plan says what each cluster is to run of an app now. It differs from the
// assignment while replicas move: the giving cluster keeps its replicas until
// as many are ready elsewhere (rule C2).
func plan(s fleet.Snapshot, app *gantryv1.App, a store.Assignment) []wanted {
	var out []wanted
	for _, c := range s.Clusters {
		share, has := share(a, c.Name)
		running := s.View.Clusters[c.Name].Workloads[app.GetName()]
		if share == 0 && (!has || running.GetReplicas() == 0) && running == nil {
			continue // never was here
		}
		out = append(out, wanted{
			target:   target{app.GetName(), c.Name},
			replicas: replicasIn(s, app, a, c.Name),
			release:  a.Release,
			spec:     app,
		})
	}
	return out
}

// replicasIn is how many replicas a cluster is to run now. An app of class
// single is never kept beyond its share: the old copy would come back behind
// its fence (rule C5).
func replicasIn(s fleet.Snapshot, app *gantryv1.App, a store.Assignment, cluster string) int {
	if fleet.Single(app) {
		return a.Replicas(cluster)
	}
	running := s.View.Clusters[cluster].Workloads[app.GetName()].GetReplicas()
	return keep(a.Replicas(cluster), int(running), a.Desired-readyElsewhere(s, a, cluster))
}

// keep is how many replicas a cluster keeps: at least its share, and on the
// way down no fewer than are missing elsewhere.
func keep(share, running, missingElsewhere int) int {
	if share >= running {
		return share
	}
	return min(running, max(share, missingElsewhere))
}

func share(a store.Assignment, cluster string) (replicas int, has bool) {
	i := slices.IndexFunc(a.Shares, func(s store.ShareRecord) bool { return s.Cluster == cluster })
	if i < 0 {
		return 0, false
	}
	return a.Shares[i].Replicas, true
}

// readyElsewhere counts ready replicas in the other clusters, but no more of a
// cluster than it is to keep.
func readyElsewhere(s fleet.Snapshot, a store.Assignment, cluster string) int {
	sum := 0
	for _, c := range s.Clusters {
		if c.Name != cluster {
			sum += min(s.Ready(a.App, c.Name), a.Replicas(c.Name))
		}
	}
	return sum
}
