package reconcile

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"gantry.dev/pkg/names"
	ipaasv1 "gantry.dev/proto/gen/gantry/ipaas/v1"
	gantryv1 "gantry.dev/proto/gen/gantry/v1"
	"gantry.dev/services/cluster-mgr/internal/fleet"
	"gantry.dev/services/cluster-mgr/internal/store"
	"golang.org/x/sync/errgroup"
)

// versions are those of the secrets that an app's wanted release has; nil for
// an app without secrets.
func (l *Loop) versions(ctx context.Context, app *gantryv1.App) (map[string]string, error) {
	if len(fleet.SecretNames(app.GetSpec())) == 0 {
		return nil, nil
	}
	release, err := l.Store.Releases.Get(ctx, store.ReleaseName(app.GetName(), app.GetStatus().GetRelease()))
	if err != nil {
		return nil, fmt.Errorf("read which secrets %s has: %w", app.GetName(), err)
	}
	return release.Value.GetSecretVersions(), nil
}

// configure puts the files, secrets and volumes of an app's wanted release into
// every cluster that it may run in, so that they are there before any cluster
// needs them. A cluster that cannot be asked gets them when it can; the others
// go on.
func (l *Loop) configure(ctx context.Context, s fleet.Snapshot, app *gantryv1.App, versions map[string]string) error {
	to := l.unconfigured(s, app)
	if len(to) == 0 {
		return nil
	}
	secrets, err := l.contents(ctx, versions)
	if err != nil {
		return fmt.Errorf("open the secrets of %s: %w", app.GetName(), err)
	}
	var failed errorList
	var group errgroup.Group
	for _, c := range to {
		group.Go(func() error {
			failed.add(l.configureIn(ctx, c, &ipaasv1.ApplyConfigRequest{
				Epoch: l.term.Epoch, Identity: c.GetIdentity(), App: app.GetName(), Release: app.GetStatus().GetRelease(),
				Files: app.GetSpec().GetFiles(), Secrets: secrets, Volumes: s.VolumesIn(app, c.GetName()),
			}))
			return nil
		})
	}
	_ = group.Wait() // each error is in failed
	return failed.join()
}

// contents opens the versions of secrets, in name order.
func (l *Loop) contents(ctx context.Context, versions map[string]string) ([]*ipaasv1.SecretContent, error) {
	var out []*ipaasv1.SecretContent
	for _, name := range slices.Sorted(maps.Keys(versions)) {
		data, err := l.Vault.Version(ctx, name, versions[name])
		if err != nil {
			return nil, err
		}
		out = append(out, &ipaasv1.SecretContent{Name: name, Version: versions[name], Data: data})
	}
	return out, nil
}

// unconfigured are the clusters that can be asked and that this term has not
// given what the wanted release brings.
func (l *Loop) unconfigured(s fleet.Snapshot, app *gantryv1.App) []*gantryv1.Cluster {
	if !fleet.Brings(app.GetSpec()) {
		return nil
	}
	var out []*gantryv1.Cluster
	for _, c := range s.Clusters {
		if s.Observed(c.Name) && s.MayRun(app, c.Name) && !l.isConfigured(app, c.Name) {
			out = append(out, c.Value)
		}
	}
	return out
}

func (l *Loop) configureIn(ctx context.Context, cluster *gantryv1.Cluster, request *ipaasv1.ApplyConfigRequest) error {
	client, err := l.Pool.Ipaas(cluster)
	if err != nil {
		return fmt.Errorf("reach the ipaas of %s: %w", cluster.GetName(), err)
	}
	if _, err = client.ApplyConfig(ctx, request); err != nil {
		return fmt.Errorf("put what %s brings into %s: %w", request.GetApp(), names.ID(cluster.GetName()), err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.configured[target{request.GetApp(), cluster.GetName()}] = int(request.GetRelease())
	return nil
}

// isConfigured tells whether a cluster has what the wanted release brings, as
// far as this term knows; an app that brings nothing needs nothing.
func (l *Loop) isConfigured(app *gantryv1.App, cluster string) bool {
	if !fleet.Brings(app.GetSpec()) {
		return true
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.configured[target{app.GetName(), cluster}] == int(app.GetStatus().GetRelease())
}
