package run

import (
	"context"
	"fmt"
	"time"

	"gantry.dev/test/bench/internal/hpa"
	"gantry.dev/test/bench/internal/kube"
)

// firstRoundTime bounds the peer's first round.
const firstRoundTime = 5 * time.Minute

// quickControllers make Deployments and pods as fast as the machine can.
func quickControllers() []string {
	return []string{"--kube-api-qps=1000", "--kube-api-burst=2000", "--concurrent-deployment-syncs=20", "--concurrent-replicaset-syncs=20"}
}

// withoutHPA are the flags for everything that is not the peer.
func withoutHPA() []string {
	return append(quickControllers(), "--controllers=*,-horizontal-pod-autoscaler-controller")
}

// peerFlags of the controller manager. Default is as Kubernetes comes.
func peerFlags(peer string) ([]string, error) {
	switch peer {
	case "default":
		return nil, nil
	case "tuned":
		return append(quickControllers(), "--concurrent-horizontal-pod-autoscaler-syncs=50", "--horizontal-pod-autoscaler-sync-period=1s"), nil
	}
	return nil, fmt.Errorf("there is no peer %q; take default or tuned", peer)
}

// measurePeer lets the HPA do what Gantry did, on the surviving cluster, which
// now has all pods.
func (b *bench) measurePeer(ctx context.Context, peer string) error {
	flags, err := peerFlags(peer)
	if err != nil {
		return err
	}
	if err := b.reset(ctx); err != nil {
		return err
	}
	begin := time.Now()
	if err := b.clusters[survivor].StartControllers(ctx, flags...); err != nil {
		return err
	}
	first, err := b.firstRound(ctx, begin)
	if err != nil {
		return err
	}
	b.say("the first round ended after %.1f s", first.Seconds())
	who := "hpa " + peer
	round, err := b.peerSteady(ctx, who, first)
	if err != nil {
		return err
	}
	// Every moment of a round is as likely to meet the next step.
	return b.steps(ctx, who, 3*round+time.Minute, round/3)
}

// reset brings all apps back to where Gantry began, while nobody autoscales.
func (b *bench) reset(ctx context.Context) error {
	if err := b.clusters[survivor].StartControllers(ctx, withoutHPA()...); err != nil {
		return err
	}
	b.load.Calm()
	start := map[kube.Key]int{}
	for _, app := range b.apps {
		start[app] = replicas
	}
	if err := b.patchAll(ctx, start); err != nil {
		return err
	}
	policy := hpa.Policy{Min: 1, Max: maxReplicas, Target: target}
	if err := hpa.Create(ctx, b.clusters[survivor], b.apps, policy); err != nil {
		return err
	}
	if err := b.quiet(ctx); err != nil {
		return err
	}
	// The old use must have left the rates.
	return sleep(ctx, 2*b.rateWindow())
}

// firstRound waits until every app was evaluated once.
func (b *bench) firstRound(ctx context.Context, begin time.Time) (time.Duration, error) {
	seen, from := map[kube.Key]bool{}, begin
	err := kube.Until(ctx, firstRoundTime, func() string {
		for _, a := range b.adapter.Since(from) {
			seen[a.App], from = true, a.Time
		}
		if n := len(b.apps) - len(seen); n > 0 {
			return fmt.Sprintf("%d apps have not been evaluated", n)
		}
		return ""
	})
	return from.Sub(begin), err
}

// peerSteady watches the peer in its steady state and gives how long one of
// its rounds takes.
func (b *bench) peerSteady(ctx context.Context, who string, first time.Duration) (time.Duration, error) {
	begin := time.Now()
	s, err := b.watchWindow(ctx, max(b.Size.Window, 2*first+5*time.Second))
	if err != nil {
		return 0, err
	}
	asked := b.adapter.Since(begin)
	s.Interval = distOf(intervals(asked))
	rounds := hpa.Rounds(asked, len(b.apps))
	if len(rounds) == 0 {
		return 0, fmt.Errorf("no whole round within %.0f s", s.Seconds)
	}
	s.Round = mean(rounds).Seconds()
	// Rounds may pause for the rest of a period, so the CPU time of one is
	// counted by the evaluations made.
	s.Rounds = max(1, len(asked)/len(b.apps))
	perRound := float64(len(b.apps)) / float64(len(asked))
	s.CPUPerRound = s.Total() * perRound
	s.NetCPUPerRound = max(0, (s.Cores()-b.result.Idle[idleOne].Cores())*s.Seconds*perRound)
	b.result.Steady[who] = s
	b.say("a round takes %.1f s, %.2f cores of all processes, %.0f writes/min", s.Round, s.Cores(), s.WritesPerMinute)
	return mean(rounds), nil
}

// intervals are the times between two evaluations of one app.
func intervals(asked []hpa.Asked) []time.Duration {
	last := map[kube.Key]time.Time{}
	var out []time.Duration
	for _, a := range asked {
		if t, ok := last[a.App]; ok {
			out = append(out, a.Time.Sub(t))
		}
		last[a.App] = a.Time
	}
	return out
}

func mean(all []time.Duration) time.Duration {
	sum := time.Duration(0)
	for _, d := range all {
		sum += d
	}
	return sum / time.Duration(len(all))
}
