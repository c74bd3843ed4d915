package app

import (
	"context"
	"net"
	"time"

	"gantry.dev/services/ingress-agent/internal/balancer"
	"gantry.dev/services/ingress-agent/internal/generation"
	"gantry.dev/services/ingress-agent/internal/process"
)

const (
	nginxPause      = 200 * time.Millisecond
	keepalivedPause = 100 * time.Millisecond
	savePause       = 300 * time.Millisecond
	cutDeadline     = 5 * time.Second
)

// keepNginx starts Nginx whenever it has something to serve and does not run.
func (a *agent) keepNginx(ctx context.Context) error {
	return every(ctx, 0, func() {
		defer func() { process.AwaitEnd(nginxPause, a.nginx.Pid()) }()
		started, err := a.manager.Ensure(context.WithoutCancel(ctx))
		a.state.problem("nginx", err)
		if err != nil {
			a.log.Error("nginx does not run", "error", err.Error())
			pause(ctx, time.Second)
		}
		if started {
			a.metrics.nginxStarts.Inc()
			a.syncer.Wake()
		}
	})
}

// keepKeepalived does the same for Keepalived, once Nginx serves, and takes
// away what a killed one leaves at once, whether Nginx serves or not (rule I8).
func (a *agent) keepKeepalived(ctx context.Context) error {
	if a.config.Keepalived == "" {
		return nil
	}
	return every(ctx, 0, func() {
		a.ensureKeepalived(ctx)
		a.keepalived.Wait(keepalivedPause)
	})
}

func (a *agent) ensureKeepalived(ctx context.Context) {
	model, _ := a.manager.Served()
	vips := model.VRRP.VIPs()
	started, err := false, a.keepalived.Release(ctx, model.VRRP)
	if err == nil && a.nginx.Pid() != 0 {
		started, err = a.keepalived.Ensure(ctx, vips)
	}
	a.state.problem("keepalived", err)
	if err != nil {
		a.log.Error("keepalived does not run", "error", err.Error())
		pause(ctx, time.Second)
	}
	if started {
		a.metrics.keepalivedStarts.Inc()
	}
}

// saveLoop keeps the snapshot on disk near what Nginx holds.
func (a *agent) saveLoop(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-a.dirty:
		}
		w, ok := a.wanted()
		if !ok {
			continue
		}
		err := balancer.SaveSnapshot(a.config.StateDir, w, a.store.Snapshot())
		a.state.problem("snapshot", err)
		if err != nil {
			a.log.Error("endpoints are served but not on disk", "error", err.Error())
		}
		pause(ctx, savePause)
	}
}

// hung cuts the connections to a pod that has vanished without a word, so
// that requests waiting on them are tried elsewhere at once. When no pod at
// all answers, the fault is more likely ours, and nothing is cut.
func (a *agent) hung(ctx context.Context, target string) {
	if !a.anyAnswers() {
		return
	}
	host, port, err := net.SplitHostPort(target)
	if err != nil {
		return
	}
	out, err := process.Run(ctx, cutDeadline, "ss", "--kill", "--tcp", "--numeric", "--no-header", "dst", host, "dport", "=", port)
	if err != nil {
		a.log.Warn("connections to a vanished pod could not be cut", "pod", target, "error", err.Error(), "output", out)
		return
	}
	a.metrics.cut.Inc()
	a.log.Warn("a pod vanished; its connections were cut", "pod", target)
}

func (a *agent) anyAnswers() bool {
	for _, target := range a.targets() {
		if a.prober.Answering(target) {
			return true
		}
	}
	return false
}

// vrrp is Keepalived, or nothing where the VIP is somebody else's work.
func (a *agent) vrrp() generation.VRRP {
	if a.config.Keepalived == "" {
		return noVRRP{}
	}
	return a.keepalived
}

type noVRRP struct{}

func (noVRRP) Test(context.Context, string) error { return nil }
func (noVRRP) Reload() error                      { return nil }

// every calls f with a pause after each call until ctx ends.
func every(ctx context.Context, d time.Duration, f func()) error {
	for ctx.Err() == nil {
		f()
		pause(ctx, d)
	}
	return nil
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}
