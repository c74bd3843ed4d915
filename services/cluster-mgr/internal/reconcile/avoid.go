package reconcile

import (
	"fmt"
	"slices"
	"time"

	gantryv1 "gantry.dev/proto/gen/gantry/v1"
	"gantry.dev/services/cluster-mgr/internal/fleet"
	"gantry.dev/services/cluster-mgr/internal/placement"
	"gantry.dev/services/cluster-mgr/internal/store"
)

const (
	// stuckAfter is how long no node may take a replica before it is wanted
	// elsewhere.
	stuckAfter = time.Minute
	// avoidFor is how long a cluster is avoided after that; each time in a
	// row it is twice as long, up to avoidMost.
	avoidFor  = 10 * time.Minute
	avoidMost = 24 * time.Hour
)

// avoidStuck sends replicas elsewhere that no node of their cluster takes.
// While an operation moves work, that is the operation's to judge; an app of
// class single moves only behind a fence (rule C5).
func (l *Loop) avoidStuck(s fleet.Snapshot, app *gantryv1.App, in *placement.Input, now time.Time) {
	if s.Moving() != "" || fleet.Single(app) {
		return
	}
	for i := range in.Clusters {
		c := &in.Clusters[i]
		t := target{app.GetName(), "clusters/" + c.Name}
		n := l.stuckIn(s, t, c.Current, now)
		if n == 0 || c.Hold || !c.Eligible {
			continue
		}
		c.Stuck = n
		c.Avoid = fmt.Sprintf("for more than a minute no node has taken %d of its replicas (%s)", n, s.View.Clusters[t.cluster].Workloads[t.app].GetUnschedulableReason())
	}
}

// stuckIn is how many of an app's assigned replicas no node of a cluster has
// taken for longer than stuckAfter. What is on its way out does not count. The
// time is measured by our own clock, since the cluster's may be wrong.
func (l *Loop) stuckIn(s fleet.Snapshot, t target, assigned int, now time.Time) int {
	if !s.Observed(t.cluster) {
		return 0
	}
	w := s.View.Clusters[t.cluster].Workloads[t.app]
	n := int(w.GetUnschedulableReplicas()) - max(0, int(w.GetReplicas())-assigned)
	l.mu.Lock()
	defer l.mu.Unlock()
	if n <= 0 {
		delete(l.stuck, t)
		return 0
	}
	since, known := l.stuck[t]
	if !known {
		l.stuck[t] = now
		return 0
	}
	if now.Sub(since) < stuckAfter {
		return 0
	}
	return min(n, assigned)
}

// spots are the clusters that an app avoids after a plan: those that replicas
// have just left for want of a node, and those of before for as long as they
// are remembered.
func spots(before []store.Spot, in placement.Input, out placement.Plan, now time.Time) []store.Spot {
	after := slices.DeleteFunc(slices.Clone(before), func(s store.Spot) bool {
		// Remembered for longer than it was avoided, to see a repetition also
		// when replicas went to another cluster that failed meanwhile.
		return now.After(time.Unix(s.UntilUnix, 0).Add(3 * avoidance(s.Times)))
	})
	for _, c := range in.Clusters {
		if c.Stuck == 0 || out.Replicas(c.Name) >= c.Current {
			continue
		}
		spot := store.Spot{Cluster: "clusters/" + c.Name, Reason: c.Avoid, Times: 1}
		i := slices.IndexFunc(after, func(s store.Spot) bool { return s.Cluster == spot.Cluster })
		if i >= 0 {
			spot.Times += after[i].Times
			after = slices.Delete(after, i, i+1)
		}
		spot.UntilUnix = now.Add(avoidance(spot.Times)).Unix()
		after = append(after, spot)
	}
	if len(after) == 0 {
		return nil
	}
	return after
}

// avoidance is how long a cluster is avoided that failed so many times.
func avoidance(times int) time.Duration {
	d := avoidFor
	for range min(times, 10) - 1 {
		d *= 2
	}
	return min(d, avoidMost)
}
