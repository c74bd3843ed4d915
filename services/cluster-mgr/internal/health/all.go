package health

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Cluster is one cluster's previous state and what is new about it.
type Cluster struct {
	Name         string        `json:"name"`
	Prev         State         `json:"prev"`
	Observations []Observation `json:"observations"`
}

// Input is everything that the verdicts of all clusters depend on.
type Input struct {
	NowUnixMilli int64     `json:"now_unix_milli"`
	Settings     Settings  `json:"settings"`
	Clusters     []Cluster `json:"clusters"`
	// OwnLeaseLost: this process does not lead any more, so somebody else may act already.
	OwnLeaseLost bool `json:"own_lease_lost,omitempty"`
	// Freeze is the Freeze of the last Decision.
	Freeze Freeze `json:"freeze"`
	// Acknowledged: an operator looked and says that it is the clusters, not us.
	Acknowledged bool `json:"acknowledged,omitempty"`
}

// Freeze is whether automation must keep its hands off (rule C3). The zero Freeze is none.
type Freeze struct {
	Frozen         bool   `json:"frozen"`
	SinceUnixMilli int64  `json:"since_unix_milli,omitempty"`
	Reason         string `json:"reason,omitempty"`
	// CalmSinceUnixMilli is since when the cause has been gone; 0 = it is not.
	CalmSinceUnixMilli int64 `json:"calm_since_unix_milli,omitempty"`
}

// Named is the state of one cluster.
type Named struct {
	Name  string `json:"name"`
	State State  `json:"state"`
}

// Decision is the outcome for all clusters, in name order.
type Decision struct {
	States []Named `json:"states"`
	Freeze Freeze  `json:"freeze"`
	// Alarm is a sentence to raise, or empty.
	Alarm string `json:"alarm,omitempty"`
}

// DecideAll decides all clusters together (rule C3). While frozen no cluster newly becomes DOWN,
// and whoever moves replicas or traffic by itself must not.
func DecideAll(in Input) Decision {
	set := in.Settings.withDefaults()
	in.Clusters = slices.Clone(in.Clusters)
	slices.SortStableFunc(in.Clusters, func(a, b Cluster) int { return cmp.Compare(a.Name, b.Name) })
	d := Decision{States: in.states(set, true)}
	d.Freeze = in.freeze(d.States, set)
	if d.Freeze.Frozen {
		d.States = in.states(set, false)
		d.Alarm = "automation is frozen: " + d.Freeze.Reason
	}
	return d
}

func (in Input) states(set Settings, allowDown bool) []Named {
	out := make([]Named, 0, len(in.Clusters))
	for _, c := range in.Clusters {
		out = append(out, Named{c.Name, decide(c.Prev, c.Observations, in.NowUnixMilli, set, allowDown)})
	}
	return out
}

// freeze begins with its cause and ends UnfreezeAfter the cause is gone, or when an operator
// acknowledges. The cause lasts as long as so many are bad: that the window has passed proves
// nothing about whose fault it is.
func (in Input) freeze(states []Named, set Settings) Freeze {
	f := in.Freeze
	cause := in.cause(states, set)
	switch {
	case cause != "" && !f.Frozen:
		return Freeze{Frozen: true, SinceUnixMilli: in.NowUnixMilli, Reason: cause}
	case cause != "":
		f.Reason, f.CalmSinceUnixMilli = cause, 0
		return f
	case !f.Frozen:
		return Freeze{}
	}
	if f.CalmSinceUnixMilli == 0 || f.CalmSinceUnixMilli > in.NowUnixMilli {
		f.CalmSinceUnixMilli = in.NowUnixMilli
	}
	if in.Acknowledged || in.NowUnixMilli-f.CalmSinceUnixMilli >= set.UnfreezeAfterMS {
		return Freeze{}
	}
	return f
}

func (in Input) cause(states []Named, set Settings) string {
	if in.OwnLeaseLost {
		return "our own lease is lost, so what we see may be old"
	}
	var bad, turned []string
	known := 0
	for _, s := range states {
		if s.State.ReachedUnixMilli == 0 {
			continue // registered but never reached: that is no turn for the worse
		}
		known++
		if !s.State.Verdict.Bad() {
			continue
		}
		bad = append(bad, s.Name)
		if in.NowUnixMilli-s.State.BadSinceUnixMilli < set.MassWindowMS {
			turned = append(turned, s.Name)
		}
	}
	names := turned
	if in.Freeze.Frozen {
		names = bad
	}
	if in.Acknowledged || len(names) < 2 || 2*len(names) < known {
		return ""
	}
	return fmt.Sprintf("%d of %d clusters (%s) turned bad at about the same time; we suspect ourselves, not them",
		len(names), known, strings.Join(names, ", "))
}
