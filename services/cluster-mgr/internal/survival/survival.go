// Package survival says, for each cluster, what the others could not take over if it died now. It is
// pure, and it asks the very code that plans the failover: what the report names is what the plan would
// leave without a place.
package survival

import (
	"cmp"
	"slices"

	"gantry.dev/services/cluster-mgr/internal/failover"
	"gantry.dev/services/cluster-mgr/internal/placement"
)

// Input is everything that a report depends on.
type Input struct {
	Clusters []failover.Cluster `json:"clusters"`
	Apps     []failover.App     `json:"apps"`
}

// Report has one Loss per cluster, in name order.
type Report struct {
	Losses []Loss `json:"losses"`
}

// Loss is what the death of one cluster would mean.
type Loss struct {
	Cluster string `json:"cluster"`
	// Replicas of all apps that are there, and how many of them would find no place.
	Replicas int `json:"replicas"`
	Unplaced int `json:"unplaced"`
	// Missing for those.
	Missing placement.Resources `json:"missing"`
	// Apps that would not be whole, by priority, then name.
	Apps []AppLoss `json:"apps"`
}

// AppLoss is one app's part of a loss.
type AppLoss struct {
	App      string              `json:"app"`
	Replicas int                 `json:"replicas"`
	Unplaced int                 `json:"unplaced"`
	Missing  placement.Resources `json:"missing"`
	// Reason is a sentence for people.
	Reason string `json:"reason"`
}

// Decide plans the loss of each cluster by itself.
func Decide(in Input) Report {
	clusters := slices.Clone(in.Clusters)
	slices.SortStableFunc(clusters, func(a, b failover.Cluster) int { return cmp.Compare(a.Name, b.Name) })
	report := Report{Losses: make([]Loss, 0, len(clusters))}
	for _, c := range clusters {
		report.Losses = append(report.Losses, loss(in, c))
	}
	return report
}

func loss(in Input, c failover.Cluster) Loss {
	l := Loss{Cluster: c.Name, Apps: []AppLoss{}}
	plan := failover.Migrate(failover.MigrateInput{Cluster: c.Name, Down: true, Clusters: in.Clusters, Apps: in.Apps})
	moves := make(map[string]failover.Move, len(plan.Moves))
	for _, m := range plan.Moves {
		moves[m.App] = m
	}
	for _, app := range byPriority(in.Apps) {
		has := replicas(app, c.Name)
		l.Replicas += has
		a := AppLoss{App: app.Name, Replicas: has}
		move, planned := moves[app.Name]
		switch {
		case !serves(app, c):
			continue
		case !planned:
			a.Unplaced, a.Reason = has, "no other cluster can take over from "+c.Name
		default:
			a.Unplaced, a.Reason = has-moved(move), move.Note
		}
		l.add(a, app.PerReplica)
	}
	return l
}

// serves tells whether an app loses anything: in a cluster without traffic nobody is served, but an app
// of class single runs nowhere else.
func serves(app failover.App, c failover.Cluster) bool {
	return replicas(app, c.Name) > 0 && (app.Single || c.TrafficPercent > 0)
}

func (l *Loss) add(a AppLoss, per placement.Resources) {
	if a.Unplaced <= 0 {
		return
	}
	a.Missing = placement.Resources{
		MilliCPU:    int64(a.Unplaced) * max(0, per.MilliCPU),
		MemoryBytes: int64(a.Unplaced) * max(0, per.MemoryBytes),
	}
	l.Unplaced += a.Unplaced
	l.Missing.MilliCPU += a.Missing.MilliCPU
	l.Missing.MemoryBytes += a.Missing.MemoryBytes
	l.Apps = append(l.Apps, a)
}

func moved(m failover.Move) int {
	sum := 0
	for _, t := range m.To {
		sum += t.Replicas
	}
	return sum
}

func replicas(app failover.App, cluster string) int {
	for _, h := range app.Clusters {
		if h.Cluster == cluster {
			return max(0, h.Replicas)
		}
	}
	return 0
}

func byPriority(apps []failover.App) []failover.App {
	out := slices.Clone(apps)
	slices.SortStableFunc(out, func(a, b failover.App) int {
		return cmp.Or(cmp.Compare(b.Priority, a.Priority), cmp.Compare(a.Name, b.Name))
	})
	return out
}
