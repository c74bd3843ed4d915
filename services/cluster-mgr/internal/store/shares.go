package store

import (
	"context"
	"slices"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// TrafficShares is how an app's requests are divided over the clusters. An app
// without such a record is served in proportion to its ready pods.
type TrafficShares struct {
	// "projects/pay/apps/web".
	App string `json:"app"`
	// Percent by the cluster's id, "site-a"; 100 together, without zeros.
	Clusters map[string]int32 `json:"clusters"`
}

// atOnce is how many shares are removed by one transaction.
const atOnce = 100

// EndShares removes the shares that lead requests to a cluster, "site-a", and
// gives the names of their apps: what the other clusters had was meant beside
// it. With guards it depends on the writer's leadership (rule S1). Doing it
// again changes nothing.
func (s *Store) EndShares(ctx context.Context, cluster string, guards ...clientv3.Cmp) (apps []string, err error) {
	all, _, err := s.Shares.List(ctx, "")
	if err != nil {
		return nil, err
	}
	all = slices.DeleteFunc(all, func(r Item[TrafficShares]) bool { return r.Value.Clusters[cluster] == 0 })
	for some := range slices.Chunk(all, atOnce) {
		change := NewChange()
		for _, g := range guards {
			change.Guard(g)
		}
		for _, r := range some {
			s.Shares.Delete(change, r.Name, r.ModRevision)
			apps = append(apps, r.Name)
		}
		if _, err := s.Commit(ctx, change); err != nil {
			return nil, err
		}
	}
	return apps, nil
}
