package fleet

import (
	"slices"
	"strings"

	"gantry.dev/pkg/names"
	gantryv1 "gantry.dev/proto/gen/gantry/v1"
	"gantry.dev/services/cluster-mgr/internal/failover"
	"gantry.dev/services/cluster-mgr/internal/store"
)

// Shares are the shares that hold of an app's requests, in order of the
// clusters; empty: they go by ready pods.
func (s Snapshot) Shares(app string) []failover.Share {
	return SharesOf(s.TrafficShares[app].Value)
}

// SharesOf are a record's shares in order of the clusters.
func SharesOf(r store.TrafficShares) []failover.Share {
	var out []failover.Share
	for cluster, percent := range r.Clusters {
		out = append(out, failover.Share{Cluster: cluster, Percent: int(percent)})
	}
	slices.SortFunc(out, func(a, b failover.Share) int { return strings.Compare(a.Cluster, b.Cluster) })
	return out
}

// Recorded is the record of an app's shares.
func Recorded(app string, shares []failover.Share) store.TrafficShares {
	out := store.TrafficShares{App: app, Clusters: map[string]int32{}}
	for _, s := range shares {
		out.Clusters[s.Cluster] = int32(s.Percent)
	}
	return out
}

// Serving is an app in each cluster, as its requests see it.
func (s Snapshot) Serving(app string) []failover.Serving {
	var out []failover.Serving
	for _, c := range s.Clusters {
		out = append(out, failover.Serving{
			Cluster: names.ID(c.Name),
			// Of the last good look: pods serve, whether they can be seen or not (rule C1).
			Ready:          int(s.View.Clusters[c.Name].Workloads[app].GetReadyReplicas()),
			TrafficPercent: int(c.Value.GetTrafficPercent()),
			Unknown:        !s.Observed(c.Name),
			Closed:         closed(c.Value),
		})
	}
	return out
}

func closed(c *gantryv1.Cluster) string {
	switch {
	case c.GetEvacuated():
		return "is evacuated"
	case c.GetHealth().GetState() == gantryv1.ClusterHealth_STATE_DOWN:
		return "is DOWN"
	}
	return ""
}

// App tells whether there is an app of that name.
func (s Snapshot) App(name string) bool {
	return slices.ContainsFunc(s.Apps, func(a store.Item[*gantryv1.App]) bool { return a.Name == name })
}

// SharedWith are the names of the apps whose requests are led to a cluster by
// shares.
func (s Snapshot) SharedWith(cluster string) []string {
	var out []string
	for name, r := range s.TrafficShares {
		if r.Value.Clusters[cluster] > 0 {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return out
}
