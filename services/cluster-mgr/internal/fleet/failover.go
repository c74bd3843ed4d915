package fleet

import (
	"cmp"

	"gantry.dev/pkg/names"
	gantryv1 "gantry.dev/proto/gen/gantry/v1"
	"gantry.dev/services/cluster-mgr/internal/failover"
)

// FailoverClusters are the clusters as sources and targets of a plan.
func (s Snapshot) FailoverClusters() []failover.Cluster {
	var out []failover.Cluster
	for _, item := range s.Clusters {
		c := failover.Cluster{Name: names.ID(item.Name), Nodes: s.nodes(item.Name), TrafficPercent: int(item.Value.GetTrafficPercent())}
		_, c.Use = s.View.UseOf(item.Name, s.Time)
		switch {
		case item.Value.GetEvacuated():
			c.Reason = "is evacuated"
		case !s.Observed(item.Name):
			c.Reason = "cannot be observed"
		case item.Value.GetHealth().GetState() == gantryv1.ClusterHealth_STATE_DOWN:
			c.Reason = "is DOWN"
		default:
			c.Eligible = true
		}
		out = append(out, c)
	}
	return out
}

// FailoverApps are the apps as a plan sees them.
func (s Snapshot) FailoverApps(there ImageThere) ([]failover.App, error) {
	var out []failover.App
	for _, item := range s.Apps {
		per, err := PerReplica(item.Value.GetSpec().GetResources())
		if err != nil {
			return nil, err
		}
		out = append(out, failover.App{
			Name: item.Name, PerReplica: per, Clusters: s.heres(item.Value, there),
			Priority: int(item.Value.GetSpec().GetPriority()),
			Single:   item.Value.GetSpec().GetClass() == gantryv1.AppClass_APP_CLASS_SINGLE,
			Shares:   s.Shares(item.Name),
		})
	}
	return out, nil
}

// heres is an app in each cluster that it may run in.
func (s Snapshot) heres(app *gantryv1.App, there ImageThere) []failover.Here {
	var out []failover.Here
	for _, c := range s.Clusters {
		current := s.Assignments[app.GetName()].Value.Replicas(c.Name)
		limited, limits := limitsIn(app.GetSpec().GetPlacement(), c.Name)
		if !limited && current == 0 {
			continue
		}
		here := failover.Here{
			Cluster: names.ID(c.Name), Replicas: current,
			Min: int(limits.GetMin()), Max: int(limits.GetMax()), Weight: int(cmp.Or(limits.GetWeight(), c.Value.GetWeight())),
		}
		if ok, _ := there(c.Value, app); !ok && current == 0 {
			here.Missing = append(here.Missing, "image "+app.GetSpec().GetImage())
		}
		for _, volume := range s.Lacks(app, c.Name) {
			here.Missing = append(here.Missing, "volume "+volume)
		}
		out = append(out, here)
	}
	return out
}

// FailoverReady is what is assigned to and ready in each cluster, for
// failover.Next.
func (s Snapshot) FailoverReady() []failover.Ready {
	var out []failover.Ready
	for _, app := range s.Apps {
		for _, c := range s.Clusters {
			out = append(out, failover.Ready{
				Cluster: names.ID(c.Name), App: app.Name,
				Assigned: s.Assignments[app.Name].Value.Replicas(c.Name),
				Ready:    s.Ready(app.Name, c.Name),
				Idle:     Idle(c.Value),
			})
		}
	}
	return out
}

// FailoverWanted is how many replicas of each app are wanted in all, for
// failover.Next.
func (s Snapshot) FailoverWanted() []failover.Assignment {
	var out []failover.Assignment
	for _, app := range s.Apps {
		out = append(out, failover.Assignment{App: app.Name, Replicas: s.Assignments[app.Name].Value.Desired})
	}
	return out
}
