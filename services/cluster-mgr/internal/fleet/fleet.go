// Package fleet is one consistent look at everything that the loops decide
// about: what is stored, and what was last seen of each cluster. It turns that
// into the inputs of the pure decisions.
package fleet

import (
	"context"
	"fmt"
	"time"

	gantryv1 "gantry.dev/proto/gen/gantry/v1"
	"gantry.dev/services/cluster-mgr/internal/observe"
	"gantry.dev/services/cluster-mgr/internal/store"
)

// Snapshot is the fleet at a moment. Nobody changes it.
type Snapshot struct {
	// In name order.
	Clusters []store.Item[*gantryv1.Cluster]
	Apps     []store.Item[*gantryv1.App]
	// By app name.
	Assignments map[string]store.Item[store.Assignment]
	// Operations that run or wait for approval.
	Operations []Operation
	// Revision of the store that they were read at.
	OperationsAt int64
	// Names of the alarms that fire.
	Firing map[string]bool
	View   observe.View
	// When it was made.
	Time time.Time

	ledger *ledger
}

// Load reads the stored part from etcd and adds the view.
func Load(ctx context.Context, s *store.Store, view observe.View) (Snapshot, error) {
	snapshot := Snapshot{View: view, Assignments: map[string]store.Item[store.Assignment]{}, Time: time.Now(), ledger: &ledger{}}
	var err error
	if snapshot.Clusters, _, err = s.Clusters.List(ctx, ""); err != nil {
		return Snapshot{}, fmt.Errorf("list clusters: %w", err)
	}
	if snapshot.Apps, _, err = s.Apps.List(ctx, ""); err != nil {
		return Snapshot{}, fmt.Errorf("list apps: %w", err)
	}
	assignments, _, err := s.Assignments.List(ctx, "")
	if err != nil {
		return Snapshot{}, fmt.Errorf("list assignments: %w", err)
	}
	for _, a := range assignments {
		snapshot.Assignments[a.Name] = a
	}
	if snapshot.Firing, err = firing(ctx, s); err != nil {
		return Snapshot{}, err
	}
	snapshot.Operations, snapshot.OperationsAt, err = liveOperations(ctx, s)
	return snapshot, err
}

func firing(ctx context.Context, s *store.Store) (map[string]bool, error) {
	alarms, _, err := s.Alarms.List(ctx, "")
	if err != nil {
		return nil, fmt.Errorf("list alarms: %w", err)
	}
	out := map[string]bool{}
	for _, a := range alarms {
		if a.Value.GetState() == gantryv1.Alarm_STATE_FIRING {
			out[a.Name] = true
		}
	}
	return out, nil
}

// Cluster finds a cluster by its resource name; nil when there is none.
func (s Snapshot) Cluster(name string) *gantryv1.Cluster {
	for _, c := range s.Clusters {
		if c.Name == name {
			return c.Value
		}
	}
	return nil
}

// Observed tells whether a cluster answers now: ipaas, its API server, and as
// the cluster that was registered (rule K2).
func (s Snapshot) Observed(cluster string) bool {
	v, ok := s.View.Clusters[cluster]
	return ok && v.StateErr == nil && v.WorkloadsErr == nil && v.IdentityOK && v.State.GetApiServerReady()
}

// Ready is the number of an app's ready replicas that a cluster is known to
// run now; 0 for a cluster that cannot be asked.
func (s Snapshot) Ready(app, cluster string) int {
	if !s.Observed(cluster) {
		return 0
	}
	return int(s.View.Clusters[cluster].Workloads[app].GetReadyReplicas())
}
