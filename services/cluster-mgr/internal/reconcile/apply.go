package reconcile

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"gantry.dev/pkg/names"
	ipaasv1 "gantry.dev/proto/gen/gantry/ipaas/v1"
	gantryv1 "gantry.dev/proto/gen/gantry/v1"
	"gantry.dev/services/cluster-mgr/internal/fleet"
	"gantry.dev/services/cluster-mgr/internal/store"
)

// apply brings one cluster's part of an app to the wanted state, if it is not
// there. A cluster that cannot be asked waits; so does a release whose image
// the cluster's registry does not have (rule B5).
func (l *Loop) apply(ctx context.Context, s fleet.Snapshot, w wanted) error {
	if !s.Observed(w.cluster) || l.settled(s, w) {
		return nil
	}
	cluster := s.Cluster(w.cluster)
	running := s.View.Clusters[w.cluster].Workloads[w.app]
	if there, reason := l.Images(cluster, w.spec); !there && int(running.GetRelease()) != w.release {
		return fmt.Errorf("release %d of %s waits: %s %s", w.release, w.app, names.ID(w.cluster), reason)
	}
	client, err := l.Pool.Ipaas(cluster)
	if err != nil {
		return fmt.Errorf("reach the ipaas of %s: %w", w.cluster, err)
	}
	_, err = client.ApplyWorkload(ctx, &ipaasv1.ApplyWorkloadRequest{
		Epoch:    l.term.Epoch,
		Identity: cluster.GetIdentity(),
		Workload: workload(cluster, w),
	})
	if err != nil {
		return fmt.Errorf("apply %s in %s: %w", w.app, w.cluster, err)
	}
	l.Logger.Info("applied", "app", w.app, "cluster", w.cluster, "replicas", w.replicas, "release", w.release)
	l.remember(w)
	return nil
}

// settled tells whether the cluster was seen with what is wanted and this term
// has applied it: a new leader applies everything once, since the content of a
// release is not seen from outside.
func (l *Loop) settled(s fleet.Snapshot, w wanted) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	last, ok := l.applied[w.target]
	seen := s.View.Clusters[w.cluster].Workloads[w.app]
	return ok && last.replicas == w.replicas && last.release == w.release &&
		int(seen.GetReplicas()) == w.replicas && int(seen.GetRelease()) == w.release
}

func (l *Loop) remember(w wanted) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.applied[w.target] = w
}

func workload(cluster *gantryv1.Cluster, w wanted) *ipaasv1.Workload {
	return &ipaasv1.Workload{
		App:      w.app,
		Release:  int32(w.release),
		Image:    ImageReference(cluster.GetRegistry(), w.spec.GetSpec().GetImage(), w.spec.GetStatus().GetDigest()),
		Replicas: int32(w.replicas),
		Spec:     w.spec.GetSpec(),
	}
}

// ImageReference is the image of an app in one cluster's registry, by digest:
// "10.111.0.1:5000/hello@sha256:…".
func ImageReference(registry, image, digest string) string {
	repository := image
	if i := strings.IndexAny(image, ":@"); i >= 0 {
		repository = image[:i]
	}
	return registry + "/" + repository + "@" + digest
}

// deletePending removes deleted apps from the clusters that they ran in; a
// cluster that cannot be asked stays on the list.
func (l *Loop) deletePending(ctx context.Context, s fleet.Snapshot) error {
	deletions, _, err := l.Store.Deletions.List(ctx, "")
	if err != nil {
		return fmt.Errorf("list deletions: %w", err)
	}
	var failed errorList
	for _, d := range deletions {
		failed.add(l.deleteApp(ctx, s, d))
	}
	return failed.join()
}

func (l *Loop) deleteApp(ctx context.Context, s fleet.Snapshot, d store.Item[store.Deletion]) error {
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
	_, err := l.Store.Commit(ctx, change)
	return err
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
