package fleet

import (
	"fmt"
	"strings"
	"time"

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
	current := s.Assignments[app.GetName()].Value
	in := placement.Input{
		App: app.GetName(), Desired: desired, PerReplica: per, Rebalance: current.Rebalance,
		Strategy: strategy(app.GetSpec().GetPlacement().GetStrategy()),
	}
	for _, item := range s.Clusters {
		in.Clusters = append(in.Clusters, s.place(app, item.Value, current.Replicas(item.Name), there))
		// Of a lost cluster as much is saved as fits.
		in.Partly = in.Partly || item.Value.GetEvacuated()
	}
	if Single(app) {
		in = s.only(in)
	}
	return s.steer(in), nil
}

// strategy of an app in placement's terms; SPREAD, the default, is left out.
func strategy(s gantryv1.Placement_Strategy) placement.Strategy {
	switch s {
	case gantryv1.Placement_STRATEGY_PACK:
		return placement.StrategyPack
	case gantryv1.Placement_STRATEGY_ORDERED:
		return placement.StrategyOrdered
	}
	return ""
}

// place is one cluster as a place for an app of which it runs current replicas.
func (s Snapshot) place(app *gantryv1.App, cluster *gantryv1.Cluster, current int, there ImageThere) placement.Cluster {
	c := placement.Cluster{Name: names.ID(cluster.GetName()), Weight: int(cluster.GetWeight()), Nodes: s.nodes(cluster.GetName()), Current: current}
	allowed, limits := limitsIn(app.GetSpec().GetPlacement(), cluster.GetName())
	_, c.Use = s.View.UseOf(cluster.GetName(), s.Time)
	c.Min, c.Max, c.Priority = int(limits.GetMin()), int(limits.GetMax()), int(limits.GetPriority())
	if limits.GetWeight() > 0 {
		c.Weight = int(limits.GetWeight())
	}
	c.Hold, c.Eligible, c.Reason = s.admit(cluster)
	c.Idle = c.Hold && Idle(cluster)
	lacks := s.Lacks(app, cluster.GetName())
	switch {
	case c.Hold || !c.Eligible:
	case !allowed:
		c.Eligible, c.Reason = false, "is not among the app's clusters"
	case len(lacks) > 0:
		c.Eligible, c.Reason = false, "does not have the volume "+strings.Join(lacks, " and ")
	default:
		c.Avoid = s.avoided(app.GetName(), cluster.GetName())
		c.Eligible, c.Reason = there(cluster, app)
		// What runs there has its image; the next release waits for its own.
		c.Hold = !c.Eligible && current > 0
	}
	return c
}

// avoided says why no more of an app goes to a cluster for now; empty: it may.
func (s Snapshot) avoided(app, cluster string) string {
	for _, spot := range s.Assignments[app].Value.Avoid {
		if until := time.Unix(spot.UntilUnix, 0).UTC(); spot.Cluster == cluster && s.Time.Before(until) {
			return fmt.Sprintf("it is avoided until %s UTC, because %s", until.Format("15:04"), spot.Reason)
		}
	}
	return ""
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

// MayRun tells whether an app may run in a cluster, or runs there still.
func (s Snapshot) MayRun(app *gantryv1.App, cluster string) bool {
	allowed, _ := limitsIn(app.GetSpec().GetPlacement(), cluster)
	return allowed && len(s.Lacks(app, cluster)) == 0 || s.Assignments[app.GetName()].Value.Replicas(cluster) > 0 || s.running(app.GetName(), cluster) > 0
}

// Shares are a plan's shares as they are stored.
func Shares(p placement.Plan) []store.ShareRecord {
	shares := make([]store.ShareRecord, 0, len(p.Shares))
	for _, s := range p.Shares {
		shares = append(shares, store.ShareRecord{Cluster: "clusters/" + s.Cluster, Replicas: s.Replicas, Reason: s.Reason})
	}
	return shares
}
