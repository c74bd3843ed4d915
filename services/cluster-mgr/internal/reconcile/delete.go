package reconcile

import (
	"context"
	"fmt"
	"slices"

	"gantry.dev/pkg/fault"
	"gantry.dev/pkg/names"
	ipaasv1 "gantry.dev/proto/gen/gantry/ipaas/v1"
	"gantry.dev/services/cluster-mgr/internal/fleet"
	"gantry.dev/services/cluster-mgr/internal/store"
	"golang.org/x/sync/errgroup"
)

// deletePending removes deleted apps from the clusters that they ran in; a
// cluster that cannot be asked stays on the list.
func (l *Loop) deletePending(ctx context.Context, s fleet.Snapshot) error {
	deletions, _, err := l.Store.Deletions.List(ctx, "")
	if err != nil {
		return fmt.Errorf("list deletions: %w", err)
	}
	var failed errorList
	var group errgroup.Group
	group.SetLimit(inFlight)
	for _, d := range deletions {
		group.Go(func() error {
			failed.add(l.deleteApp(ctx, s, d))
			return nil
		})
	}
	_ = group.Wait() // each error is in failed
	return failed.join()
}

// deleteApp removes one app where it can be asked. An app that was made anew
// meanwhile is wanted again; whoever deletes it then renews the record, so that
// dropping this one fails.
func (l *Loop) deleteApp(ctx context.Context, s fleet.Snapshot, d store.Item[store.Deletion]) error {
	if !l.claim(d.Value.App) {
		return nil // what is being applied could come after the deletion
	}
	defer l.release(d.Value.App)
	_, err := l.Store.Apps.Get(ctx, d.Value.App)
	if err == nil {
		change := store.NewChange().Guard(l.term.Guard())
		l.Store.Deletions.Delete(change, d.Name, d.ModRevision)
		_, err = l.Store.Commit(ctx, change)
		return err
	}
	if !fault.Is(err, fault.KindNotFound) {
		return err
	}
	l.forget(d.Value.App, d.Value.Clusters)
	left := slices.DeleteFunc(slices.Clone(d.Value.Clusters), func(cluster string) bool {
		return l.deleteIn(ctx, s, d.Value.App, cluster)
	})
	if len(left) == len(d.Value.Clusters) && len(left) > 0 {
		return nil
	}
	change := store.NewChange().Guard(l.term.Guard())
	if len(left) == 0 {
		l.Store.Deletions.Delete(change, d.Name, d.ModRevision)
	} else {
		l.Store.Deletions.Put(change, d.Name, store.Deletion{App: d.Value.App, Clusters: left}, d.ModRevision)
	}
	_, err = l.Store.Commit(ctx, change)
	return err
}

// forget drops what this term remembers of an app: one of the same name is
// another app.
func (l *Loop) forget(app string, clusters []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range clusters {
		t := target{app, c}
		delete(l.applied, t)
		delete(l.configured, t)
		delete(l.stuck, t)
	}
}

// deleteIn reports whether the app is gone from a cluster; a cluster that has
// been forgotten counts as done.
func (l *Loop) deleteIn(ctx context.Context, s fleet.Snapshot, app, name string) bool {
	cluster := s.Cluster(name)
	if cluster == nil {
		return true
	}
	if !s.Observed(name) {
		return false
	}
	client, err := l.Pool.Ipaas(cluster)
	if err == nil {
		_, err = client.DeleteWorkload(ctx, &ipaasv1.DeleteWorkloadRequest{Epoch: l.term.Epoch, Identity: cluster.GetIdentity(), App: app})
	}
	if err != nil {
		l.Logger.Warn("deleting an app failed and will be repeated", "app", app, "cluster", names.ID(name), "error", err.Error())
		return false
	}
	return true
}
