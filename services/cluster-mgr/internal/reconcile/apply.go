package reconcile

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"gantry.dev/pkg/names"
	ipaasv1 "gantry.dev/proto/gen/gantry/ipaas/v1"
	gantryv1 "gantry.dev/proto/gen/gantry/v1"
	"gantry.dev/services/cluster-mgr/internal/fleet"
)

// hearsay is for how long after a change a cluster may still be shown as it
// was before: what ipaas has heard of a busy API server is a little old.
const hearsay = 5 * time.Second

// applied is what was applied to a target last.
type applied struct {
	replicas, release int
	at                time.Time
}

// todo lists what this term still has to apply of an app: nothing in a cluster
// that cannot be asked, or that has been seen with what is wanted.
func (l *Loop) todo(s fleet.Snapshot, p placed) []wanted {
	all := plan(s, p.app, p.next)
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.DeleteFunc(all, func(w wanted) bool { return !s.Observed(w.cluster) || l.settled(s, w) })
}

// settled tells whether this term has applied what is wanted and the cluster
// was seen with it, or may be shown as it was before: a new leader applies
// everything once, since the content of a release is not seen from outside.
// The caller holds mu.
func (l *Loop) settled(s fleet.Snapshot, w wanted) bool {
	last, ok := l.applied[w.target]
	if !ok || last.replicas != w.replicas || last.release != w.release {
		return false
	}
	if fleet.Brings(w.spec.GetSpec()) && l.configured[w.target] != w.release {
		return false
	}
	v := s.View.Clusters[w.cluster]
	seen := v.Workloads[w.app]
	return int(seen.GetReplicas()) == w.replicas && int(seen.GetRelease()) == w.release || v.Attempt.Before(last.at.Add(hearsay))
}

// apply brings one cluster's part of an app to the wanted state. A release
// whose image the cluster's registry does not have waits (rule B5), and so
// does one whose files, secrets and volumes are not there.
func (l *Loop) apply(ctx context.Context, s fleet.Snapshot, w wanted, there fleet.ImageThere) error {
	cluster := s.Cluster(w.cluster)
	running := s.View.Clusters[w.cluster].Workloads[w.app]
	if there, reason := there(cluster, w.spec); !there && int(running.GetRelease()) != w.release {
		return fmt.Errorf("release %d of %s waits: %s %s", w.release, w.app, names.ID(w.cluster), reason)
	}
	if lacks := s.Lacks(w.spec, w.cluster); len(lacks) > 0 && w.replicas > 0 && int(running.GetRelease()) != w.release {
		return fmt.Errorf("release %d of %s waits: %s does not have the volume %s", w.release, w.app, names.ID(w.cluster), strings.Join(lacks, " and "))
	}
	if !l.isConfigured(w.spec, w.cluster) {
		return fmt.Errorf("release %d of %s waits: %s does not have its files, secrets and volumes", w.release, w.app, names.ID(w.cluster))
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
	l.mu.Lock()
	defer l.mu.Unlock()
	l.applied[w.target] = applied{w.replicas, w.release, time.Now()}
	return nil
}

func workload(cluster *gantryv1.Cluster, w wanted) *ipaasv1.Workload {
	return &ipaasv1.Workload{
		App:      w.app,
		Release:  int32(w.release),
		Image:    ImageReference(cluster.GetRegistry(), w.spec.GetSpec().GetImage(), w.spec.GetStatus().GetDigest()),
		Replicas: int32(w.replicas),
		Spec:     w.spec.GetSpec(),

		SecretVersions: w.versions,
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
