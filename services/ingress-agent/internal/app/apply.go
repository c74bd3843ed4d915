package app

import (
	"context"
	"errors"
	"slices"
	"time"

	ingressv1 "gantry.dev/proto/gen/gantry/ingress/v1"
	"gantry.dev/services/ingress-agent/internal/endpoints"
	"gantry.dev/services/ingress-agent/internal/render"
	"gantry.dev/services/ingress-agent/internal/source"
)

const (
	// retryPause follows a configuration that could not be brought into
	// effect.
	retryPause = 5 * time.Second
	// Reloads are at least this many times as far apart as the last one took.
	reloadShare = 5
)

// applyLoop brings configurations into effect, the newest first. Weights and
// clusters count at once; files wait for the time of the next reload, so that
// many changes become one reload (rule I5).
func (a *agent) applyLoop(ctx context.Context) error {
	var notBefore time.Time
	var c *ingressv1.GatewayConfig
	for {
		if c == nil {
			if c = a.next(ctx, 0); c == nil {
				return nil
			}
		}
		build := a.accept(ctx, c)
		if newer := a.waitForReload(ctx, build, notBefore); newer != nil {
			c = newer
			continue
		}
		if ctx.Err() != nil {
			return nil //nolint:nilerr // the end that was asked for
		}
		took, err := a.apply(ctx, c, build)
		notBefore = time.Now().Add(max(a.reloadPause(), reloadShare*took))
		wait := time.Duration(0)
		if err != nil {
			wait = retryPause
		}
		again := c
		if c = a.next(ctx, wait); c == nil && wait > 0 {
			c = again
		}
		if ctx.Err() != nil {
			return nil //nolint:nilerr // the end that was asked for
		}
	}
}

// next waits for a configuration; nil when ctx ends or, with limit > 0, when
// none has come in that time.
func (a *agent) next(ctx context.Context, limit time.Duration) *ingressv1.GatewayConfig {
	var timeout <-chan time.Time
	if limit > 0 {
		timeout = time.After(limit)
	}
	select {
	case c := <-a.offered:
		return c
	case <-timeout:
	case <-ctx.Done():
	}
	return nil
}

// accept makes weights and clusters count and follows the routed apps.
func (a *agent) accept(ctx context.Context, c *ingressv1.GatewayConfig) render.Build {
	build := render.FromConfig(c, a.config.Node)
	a.state.accept(c, build)
	a.follow(ctx, c)
	return build
}

func (a *agent) follow(ctx context.Context, c *ingressv1.GatewayConfig) {
	var clusters []endpoints.Cluster
	for _, x := range c.GetClusters() {
		clusters = append(clusters, endpoints.Cluster{Name: x.GetName(), Address: x.GetIpaasAddress(), Identity: x.GetIdentity()})
	}
	apps := append(a.state.apps(), streamApps(c)...)
	slices.Sort(apps)
	a.watcher.Update(ctx, clusters, slices.Compact(apps))
	a.changed()
}

// waitForReload lets the pause between two reloads pass, if the build needs
// one; it gives a newer configuration that came meanwhile.
func (a *agent) waitForReload(ctx context.Context, b render.Build, notBefore time.Time) *ingressv1.GatewayConfig {
	changes, err := a.manager.Changes(b)
	if wait := time.Until(notBefore); err == nil && changes && wait > 0 {
		return a.next(ctx, wait)
	}
	return nil
}

func (a *agent) reloadPause() time.Duration {
	if a.config.ReloadPause > 0 {
		return a.config.ReloadPause
	}
	return defaultReloadPause
}

// apply brings the files into effect and tells how long a reload took. It is
// not cut short by the agent's own end: a half-done swap would stay.
func (a *agent) apply(ctx context.Context, c *ingressv1.GatewayConfig, b render.Build) (time.Duration, error) {
	start := time.Now()
	a.introduce(c, b.Model.VRRP)
	out, err := a.manager.Apply(context.WithoutCancel(ctx), b)
	a.state.problem("configuration", err)
	if err != nil {
		a.metrics.applyFailed.Inc()
		a.log.Error("a configuration could not be brought into effect; the last good one stays", "generation", c.GetGeneration(), "error", err.Error())
		return 0, err
	}
	a.state.problem("vip", nil)
	if out.VRRPProblem != "" {
		a.state.problem("vip", errors.New(out.VRRPProblem))
	}
	a.state.applied(out.Model, out.Quarantined, c.GetGeneration())
	a.follow(ctx, c)
	if err := source.Save(a.config.StateDir, c); err != nil {
		a.log.Error("the configuration is served but not on disk", "error", err.Error())
		a.state.problem("disk", err)
	} else {
		a.state.problem("disk", nil)
	}
	if !out.Reloaded {
		return 0, nil
	}
	took := time.Since(start)
	a.metrics.reloads.Inc()
	a.log.Info("configuration in effect", "generation", c.GetGeneration(), "hosts", len(out.Model.Hosts),
		"quarantined", len(out.Quarantined), "took", took)
	return took, nil
}
