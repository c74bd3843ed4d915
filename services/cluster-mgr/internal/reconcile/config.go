package reconcile

import (
	"context"
	"fmt"

	"gantry.dev/pkg/names"
	ipaasv1 "gantry.dev/proto/gen/gantry/ipaas/v1"
	gantryv1 "gantry.dev/proto/gen/gantry/v1"
	"gantry.dev/services/cluster-mgr/internal/fleet"
	"golang.org/x/sync/errgroup"
)

// configure puts the files of an app's wanted release into every cluster that
// it may run in, so that they are there before any cluster needs them. A
// cluster that cannot be asked gets them when it can; the others go on.
func (l *Loop) configure(ctx context.Context, s fleet.Snapshot, app *gantryv1.App) error {
	var failed errorList
	var group errgroup.Group
	for _, c := range l.unconfigured(s, app) {
		group.Go(func() error {
			failed.add(l.configureIn(ctx, c, app))
			return nil
		})
	}
	_ = group.Wait() // each error is in failed
	return failed.join()
}

// unconfigured are the clusters that can be asked and that this term has not
// given the files of the wanted release.
func (l *Loop) unconfigured(s fleet.Snapshot, app *gantryv1.App) []*gantryv1.Cluster {
	if len(app.GetSpec().GetFiles()) == 0 {
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

func (l *Loop) configureIn(ctx context.Context, cluster *gantryv1.Cluster, app *gantryv1.App) error {
	release := app.GetStatus().GetRelease()
	client, err := l.Pool.Ipaas(cluster)
	if err != nil {
		return fmt.Errorf("reach the ipaas of %s: %w", cluster.GetName(), err)
	}
	_, err = client.ApplyConfig(ctx, &ipaasv1.ApplyConfigRequest{
		Epoch: l.term.Epoch, Identity: cluster.GetIdentity(),
		App: app.GetName(), Release: release, Files: app.GetSpec().GetFiles(),
	})
	if err != nil {
		return fmt.Errorf("put the files of %s into %s: %w", app.GetName(), names.ID(cluster.GetName()), err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.configured[target{app.GetName(), cluster.GetName()}] = int(release)
	return nil
}

// isConfigured tells whether a cluster has the files of the wanted release, as
// far as this term knows; an app without files needs none.
func (l *Loop) isConfigured(app *gantryv1.App, cluster string) bool {
	if len(app.GetSpec().GetFiles()) == 0 {
		return true
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.configured[target{app.GetName(), cluster}] == int(app.GetStatus().GetRelease())
}
