package app

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	ingressv1 "gantry.dev/proto/gen/gantry/ingress/v1"
	"gantry.dev/services/ingress-agent/internal/endpoints"
	"gantry.dev/services/ingress-agent/internal/render"
	"gantry.dev/services/ingress-agent/internal/source"
)

// retryPause follows a configuration that could not be brought into effect.
const retryPause = 5 * time.Second

// applyLoop brings configurations into effect, the newest first. Weights and
// clusters count at once; files wait for the time of the next reload, so that
// many changes become one reload (rule I5).
func (a *agent) applyLoop(ctx context.Context) error {
	p := &pace{least: a.reloadPause()}
	var c *ingressv1.GatewayConfig
	for {
		if c == nil {
			if c = a.next(ctx, 0); c == nil {
				return nil
			}
		}
		if err := a.whole(c); err != nil {
			a.state.problem("configuration", err)
			a.log.Error("a configuration was refused", "generation", c.GetGeneration(), "error", err.Error())
			c = nil
			continue
		}
		build := a.accept(ctx, c)
		if newer := a.waitForReload(ctx, build, p); newer != nil {
			c = newer
			continue
		}
		if ctx.Err() != nil {
			return nil //nolint:nilerr // the end that was asked for
		}
		err := a.apply(ctx, c, build, p)
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

// whole refuses a configuration that says nothing of clusters while some are
// known: it would take every pod out (rule I6). An operator who gives up the
// last cluster loses nothing by it: its pods are skipped when they go.
func (a *agent) whole(c *ingressv1.GatewayConfig) error {
	if len(c.GetClusters()) > 0 || len(a.store.Snapshot()) == 0 {
		return nil
	}
	return fmt.Errorf("generation %d names no cluster, although some were known; what was served stays", c.GetGeneration())
}

// accept makes weights and clusters count and follows the routed apps.
func (a *agent) accept(ctx context.Context, c *ingressv1.GatewayConfig) render.Build {
	build := a.secure(c, render.FromConfig(c, a.config.Node))
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
func (a *agent) waitForReload(ctx context.Context, b render.Build, p *pace) *ingressv1.GatewayConfig {
	wait := p.wait(time.Now())
	if wait == 0 {
		return nil
	}
	if changes, err := a.manager.Changes(b); err != nil || !changes {
		return nil
	}
	return a.next(ctx, wait)
}

func (a *agent) reloadPause() time.Duration {
	if a.config.ReloadPause > 0 {
		return a.config.ReloadPause
	}
	return defaultReloadPause
}

// apply brings the files into effect. It is not cut short by the agent's own
// end: a half-done swap would stay.
func (a *agent) apply(ctx context.Context, c *ingressv1.GatewayConfig, b render.Build, p *pace) error {
	start := time.Now()
	a.introduce(c, b.Model.VRRP)
	a.pushCertificates(ctx) // before a new host needs one
	out, err := a.manager.Apply(context.WithoutCancel(ctx), b)
	if out.Took > 0 {
		p.reloaded(time.Now(), out.Took)
	}
	a.state.problem("configuration", err)
	if err != nil {
		a.metrics.applyFailed.Inc()
		a.log.Error("a configuration could not be brought into effect; the last good one stays", "generation", c.GetGeneration(), "error", err.Error())
		return err
	}
	a.state.problem("vip", nil)
	if out.VRRPProblem != "" {
		a.state.problem("vip", errors.New(out.VRRPProblem))
	}
	a.state.applied(out.Model, out.Quarantined, c.GetGeneration())
	a.follow(ctx, c)
	a.save(c)
	if out.Reloaded {
		a.metrics.reloads.Inc()
		a.log.Info("configuration in effect", "generation", c.GetGeneration(), "hosts", len(out.Model.Hosts),
			"quarantined", len(out.Quarantined), "took", time.Since(start), "reload", out.Took)
	}
	return nil
}

func (a *agent) save(c *ingressv1.GatewayConfig) {
	err := source.Save(a.config.StateDir, c)
	a.state.problem("disk", err)
	if err != nil {
		a.log.Error("the configuration is served but not on disk", "error", err.Error())
	}
}
