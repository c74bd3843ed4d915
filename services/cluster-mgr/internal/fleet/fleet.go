// Package fleet is one consistent look at everything that the loops decide
// about: what is stored, and what was last seen of each cluster. It turns that
// into the inputs of the pure decisions.
package fleet

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	gantryv1 "gantry.dev/proto/gen/gantry/v1"
	"gantry.dev/services/cluster-mgr/internal/observe"
	"gantry.dev/services/cluster-mgr/internal/store"
)

// Snapshot is the fleet at a moment. Nobody changes it: what was read is shared
// with the others that look.
type Snapshot struct {
	// In name order.
	Clusters []store.Item[*gantryv1.Cluster]
	Apps     []store.Item[*gantryv1.App]
	// By app name.
	Assignments map[string]store.Item[store.Assignment]
	// By name.
	Volumes map[string]*gantryv1.Volume
	// By app name, of those that have one.
	TrafficShares map[string]store.Item[store.TrafficShares]
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

// Load reads the fleet once; a loop has a Reader.
func Load(ctx context.Context, s *store.Store, view observe.View) (Snapshot, error) {
	return NewReader(s).Load(ctx, view)
}

// readState reads what is stored besides operations.
func (s *Snapshot) readState(ctx context.Context, from *store.Store) (err error) {
	if s.Clusters, _, err = from.Clusters.Fresh(ctx); err != nil {
		return fmt.Errorf("list clusters: %w", err)
	}
	if s.Apps, _, err = from.Apps.Fresh(ctx); err != nil {
		return fmt.Errorf("list apps: %w", err)
	}
	assignments, _, err := from.Assignments.Fresh(ctx)
	if err != nil {
		return fmt.Errorf("list assignments: %w", err)
	}
	s.Assignments = make(map[string]store.Item[store.Assignment], len(assignments))
	for _, a := range assignments {
		s.Assignments[a.Name] = a
	}
	if s.Volumes, err = volumes(ctx, from); err != nil {
		return err
	}
	if s.TrafficShares, err = shared(ctx, from); err != nil {
		return err
	}
	s.Firing, err = firing(ctx, from)
	return err
}

func shared(ctx context.Context, s *store.Store) (map[string]store.Item[store.TrafficShares], error) {
	list, _, err := s.Shares.Fresh(ctx)
	if err != nil {
		return nil, fmt.Errorf("list traffic shares: %w", err)
	}
	out := map[string]store.Item[store.TrafficShares]{}
	for _, item := range list {
		out[item.Name] = item
	}
	return out, nil
}

func firing(ctx context.Context, s *store.Store) (map[string]bool, error) {
	alarms, _, err := s.Alarms.Fresh(ctx)
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

// Revision of an app as it was read; 0: there was none.
func (s Snapshot) Revision(app string) int64 {
	i, found := slices.BinarySearchFunc(s.Apps, app, func(item store.Item[*gantryv1.App], name string) int { return cmp.Compare(item.Name, name) })
	if !found {
		return 0
	}
	return s.Apps[i].ModRevision
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
