package app

import (
	"context"
	"net"
	"path/filepath"
	"strconv"
	"time"

	ingressv1 "gantry.dev/proto/gen/gantry/ingress/v1"
	"gantry.dev/services/ingress-agent/internal/endpoints"
	"gantry.dev/services/ingress-agent/internal/render"
	"gantry.dev/services/ingress-agent/internal/stream"
)

const (
	// streamPause is between two looks at the stream routes' Nginx.
	streamPause = 200 * time.Millisecond
	// streamJoin joins the changes of a moment into one reload.
	streamJoin = 20 * time.Millisecond
	// A quarantined stream route is tried again after so many pauses: another
	// program may have given its port back.
	streamRetry = 10
)

// newStreams opens the stream routes' part of the state directory.
func (a *agent) newStreams() error {
	env, err := a.config.env()
	if err != nil {
		return err
	}
	streamEnv := stream.Env{StateDir: filepath.Join(env.StateDir, stream.Dir), ModulesDir: env.ModulesDir, WorkerUser: env.WorkerUser}
	a.streamNginx = stream.NewNginx(a.config.Nginx, streamEnv, a.log)
	a.streams, err = stream.Open(stream.Config{Env: streamEnv, Daemon: a.streamNginx, Free: stream.Free, Logger: a.log})
	return err
}

// streamWork is what the stream loop remembers.
type streamWork struct {
	pace stream.Pace
	// When the last reload ended and how long it took.
	done time.Time
	took time.Duration
	// What was last tried, and when it is worth another try.
	tried   stream.Model
	retryAt time.Time
	// Something may have changed since.
	dirty bool
}

// streamLoop serves the stream routes; the changes of a moment become one
// reload.
func (a *agent) streamLoop(ctx context.Context) error {
	// Shorter than the pause of HTTP: a reload loses nothing.
	least := a.reloadPause() / 2
	w := streamWork{pace: stream.Pace{Least: least, PerOld: least / 4}}
	for ctx.Err() == nil {
		wait := a.streamStep(context.WithoutCancel(ctx), &w)
		select {
		case <-ctx.Done():
		case <-a.streamWake:
			pause(ctx, streamJoin)
			w.dirty = true
		case <-time.After(wait):
		}
	}
	return nil
}

// streamStep does what is due and tells how long nothing more is.
func (a *agent) streamStep(ctx context.Context, w *streamWork) time.Duration {
	started, err := a.streams.Keep(ctx)
	if started {
		a.metrics.streamStarts.Inc()
	}
	if err != nil {
		a.log.Error("nginx of the stream routes does not run", "error", err.Error())
		w.dirty = true // the port of one of them may be taken
		pause(ctx, time.Second)
	}
	now := time.Now()
	config, _ := a.state.view()
	if config == nil || !w.dirty && now.Before(w.retryAt) {
		a.state.problem("stream", err)
		return streamPause
	}
	build := stream.FromConfig(config, stream.Reserved(a.config.HTTPPort, a.config.HTTPSPort))
	pods := stream.PodsOf(config, a.store.Snapshot(), a.prober.Down())
	wanted, served := a.streams.Wanted(build, pods), a.streams.Served()
	if stream.Equal(wanted, w.tried) && now.Before(w.retryAt) && err == nil {
		w.dirty = false
		a.state.streamed(config.GetGeneration())
		return streamPause
	}
	due := w.done.Add(w.pace.Wait(w.took, a.streamNginx.Old(), stream.Urgent(served, wanted)))
	if !stream.Equal(wanted, served) && now.Before(due) {
		return min(due.Sub(now), streamPause)
	}
	w.dirty, w.tried = false, wanted
	a.applyStreams(ctx, w, config, build, pods)
	return streamPause
}

func (a *agent) applyStreams(ctx context.Context, w *streamWork, c *ingressv1.GatewayConfig, b stream.Build, pods stream.Pods) {
	start := time.Now()
	quarantined, reloaded, err := a.streams.Apply(ctx, b, pods)
	now := time.Now()
	a.state.problem("stream", err)
	if err != nil {
		w.tried, w.retryAt = stream.Model{}, now.Add(retryPause)
		a.metrics.applyFailed.Inc()
		a.log.Error("the stream routes could not be brought into effect; the last good ones stay", "generation", c.GetGeneration(), "error", err.Error())
		return
	}
	w.retryAt = now.Add(streamRetry * w.pace.Least)
	a.state.quarantineStreams(quarantined)
	a.state.streamed(c.GetGeneration())
	if !reloaded {
		return
	}
	w.done, w.took = now, now.Sub(start)
	a.metrics.streamReloads.Inc()
	a.pushed()
	a.log.Info("stream routes in effect", "generation", c.GetGeneration(), "routes", len(a.streams.Served().Routes),
		"quarantined", len(quarantined), "took", w.took, "old workers", a.streamNginx.Old())
}

func (a *agent) wakeStreams() {
	select {
	case a.streamWake <- struct{}{}:
	default:
	}
}

// streamApps are the apps that stream routes lead to.
func streamApps(c *ingressv1.GatewayConfig) []string {
	var apps []string
	for _, r := range c.GetStreamRoutes() {
		apps = append(apps, r.GetApp())
	}
	return apps
}

// streamMembers are the TCP pods of the served stream routes; whether a UDP
// one answers cannot be asked.
func (a *agent) streamMembers(known endpoints.ByCluster) []member {
	var all []member
	for _, r := range a.streams.Served().Routes {
		app, port, err := render.AppOf(r.Upstream)
		if err != nil || r.Listen.UDP {
			continue
		}
		for cluster, apps := range known {
			for _, ip := range apps[app] {
				all = append(all, member{cluster: cluster, target: net.JoinHostPort(ip, strconv.Itoa(port))})
			}
		}
	}
	return all
}
