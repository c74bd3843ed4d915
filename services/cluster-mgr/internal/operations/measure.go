package operations

import (
	"maps"
	"slices"

	"gantry.dev/services/cluster-mgr/internal/failover"
	"gantry.dev/services/cluster-mgr/internal/fleet"
)

// watch is what the load balancers had counted when the last step of an
// operation was done.
type watch struct {
	last counts
	done int
}

// counts are requests to the clusters that take over, those of them that
// failed, and how long all of them took.
type counts struct{ requests, failed, millis int64 }

func (c *counts) add(requests, failed, millis int64) {
	c.requests, c.failed, c.millis = c.requests+requests, c.failed+failed, c.millis+millis
}

func (c counts) since(b counts) counts {
	return counts{c.requests - b.requests, c.failed - b.failed, c.millis - b.millis}
}

// percent of the requests that failed, and their mean latency; 0 without
// requests.
func (c counts) rates() (percent, millis float64) {
	if c.requests <= 0 {
		return 0, 0
	}
	return 100 * float64(c.failed) / float64(c.requests), float64(c.millis) / float64(c.requests)
}

// enough requests to be a baseline of their own.
const enough = 50

// measured is an operation with its baseline: failures and latency since the
// balancers started. It is kept with the operation, so that errors which a
// change of leader falls into are not taken for what was before. An app that
// has hardly been served where its requests are led to is compared with itself
// in all clusters, and waits until a node has said how.
func measured(s fleet.Snapshot, o fleet.Operation) fleet.Operation {
	if o.BaselinePercent != nil || o.Shifting() && !answered(s) {
		return o
	}
	before := taken(s, o.Plan)
	if o.Shifting() && before.requests < enough {
		before = everywhere(s, o.Plan.App)
	}
	percent, millis := before.rates()
	o.BaselinePercent, o.BaselineMillis = &percent, millis
	return o
}

// answered tells whether a load balancer node has ever said what it serves.
func answered(s fleet.Snapshot) bool {
	for _, agent := range s.View.Agents {
		if agent.Status != nil {
			return true
		}
	}
	return false
}

// measure compares failures and latency since the last step with the baseline.
func (l *Loop) measure(s fleet.Snapshot, o fleet.Operation, see *failover.Observation) {
	now := taken(s, o.Plan)
	w, ok := l.watched[o.Name]
	// Counters that fell belong to a balancer that has started anew.
	if !ok || w.done != o.Progress.Done || now.requests < w.last.requests || now.failed < w.last.failed {
		w = watch{last: now, done: o.Progress.Done}
	}
	l.watched[o.Name] = w
	window := now.since(w.last)
	percent, millis := window.rates()
	see.Requests, see.ErrorPercent = window.requests, percent
	if o.BaselinePercent != nil {
		see.BaselinePercent = *o.BaselinePercent
	}
	if see.Shift != nil {
		see.Shift.LatencyMillis, see.Shift.BaselineMillis = millis, o.BaselineMillis
	}
}

// forgetEnded drops what was kept for operations that do not run any more.
func (l *Loop) forgetEnded(live []fleet.Operation) {
	maps.DeleteFunc(l.watched, func(name string, _ watch) bool {
		return !slices.ContainsFunc(live, func(o fleet.Operation) bool { return o.Name == name })
	})
}

// taken sums over all nodes what went to the clusters that take over: of a
// shift, the app's requests to those that gain; otherwise all requests, to the
// plan's own cluster when it gets traffic, to the others when it loses some.
func taken(s fleet.Snapshot, p failover.Plan) counts {
	if p.Kind == failover.KindShiftTraffic {
		return led(s, p.App, func(cluster string) bool { return slices.Contains(p.Targets, cluster) })
	}
	returning := p.Returning()
	var sum counts
	for _, agent := range s.View.Agents {
		for _, c := range agent.Status.GetClusters() {
			if (c.GetCluster() == p.Cluster) == returning {
				sum.add(c.GetRequests(), c.GetFailed(), 0)
			}
		}
	}
	return sum
}

// led sums over all nodes an app's requests to some clusters.
func led(s fleet.Snapshot, app string, to func(cluster string) bool) counts {
	var sum counts
	for _, agent := range s.View.Agents {
		for _, a := range agent.Status.GetApps() {
			for _, c := range a.GetClusters() {
				if a.GetApp() == app && to(c.GetCluster()) {
					sum.add(c.GetRequests(), c.GetFailed(), c.GetLatencyMillis())
				}
			}
		}
	}
	return sum
}

func everywhere(s fleet.Snapshot, app string) counts {
	return led(s, app, func(string) bool { return true })
}
