package run

import (
	"context"
	"fmt"
	"time"

	"gantry.dev/test/bench/internal/kube"
	"gantry.dev/test/bench/internal/platform"
	"gantry.dev/test/bench/internal/usage"
	"golang.org/x/sync/errgroup"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// Which cluster lives on and which dies.
const (
	survivor = 0
	victim   = 1
)

const (
	verdictTime = 3 * time.Minute
	moveTime    = 5 * time.Minute
)

// measureMove kills a whole cluster, waits for the verdict, approves the plan
// and measures until the survivor wants all replicas.
func (b *bench) measureMove(ctx context.Context) error {
	total := b.wanted()
	before := b.watches[survivor].Wanted()
	b.result.Move = Move{}
	for _, app := range b.apps {
		if n := total[app] - before[app]; n > 0 {
			b.result.Move.Apps++
			b.result.Move.Replicas += n
		}
	}
	b.watches[survivor].Clear()
	lost := b.clusters[victim]
	b.load.Lose(lost.Name)
	killed := time.Now()
	b.procs.Kill(append(lost.Processes(), lost.Name+"-ipaas")...)
	plan, err := b.awaitPlan(ctx)
	if err != nil {
		return err
	}
	b.result.Move.Detection = time.Since(killed).Seconds()
	b.say("the plan is there %.1f s after the kill", b.result.Move.Detection)
	begin, err := usage.Take(b.procs.PIDs())
	if err != nil {
		return err
	}
	approved := time.Now()
	if err := b.platform.API.Approve(ctx, plan); err != nil {
		return err
	}
	if err := b.awaitAll(ctx, total); err != nil {
		return err
	}
	after, err := usage.Take(b.procs.PIDs())
	if err != nil {
		return err
	}
	b.result.Move.Wanted, b.result.Move.Usage = b.lastChange().Sub(approved).Seconds(), after.Since(begin)
	b.result.Move.ManagerRSS = b.rssOf(platform.Manager)
	b.say("%d replicas of %d apps are wanted on the survivor %.2f s after the approval", b.result.Move.Replicas, b.result.Move.Apps, b.result.Move.Wanted)
	b.load.Bury(lost.Name)
	return b.settled(ctx, nothing)
}

// takeAway leaves one cluster, for the peers: Gantry has no part in it.
func (b *bench) takeAway(ctx context.Context) error {
	b.platform.Pause()
	lost := b.clusters[victim]
	b.load.Lose(lost.Name)
	b.procs.Kill(lost.Processes()...)
	b.load.Bury(lost.Name)
	return b.settled(ctx, nothing)
}

// awaitPlan is the operation that cluster-mgr prepares after its verdict.
func (b *bench) awaitPlan(ctx context.Context) (plan string, err error) {
	err = kube.Until(ctx, verdictTime, func() string {
		var err error
		if plan, err = b.platform.API.Plan(ctx); err != nil {
			time.Sleep(100 * time.Millisecond)
			return err.Error()
		}
		return ""
	})
	return plan, err
}

// awaitAll waits until the survivor wants so many replicas of each app.
func (b *bench) awaitAll(ctx context.Context, total map[kube.Key]int) error {
	return kube.Until(ctx, moveTime, func() string {
		wanted := b.watches[survivor].Wanted()
		for _, app := range b.apps {
			if wanted[app] < total[app] {
				return fmt.Sprintf("%s has %d of %d replicas", app, wanted[app], total[app])
			}
		}
		return ""
	})
}

// lastChange is when the survivor's last number changed.
func (b *bench) lastChange() time.Time {
	var last time.Time
	for _, app := range b.apps {
		for _, e := range b.watches[survivor].Events(app) {
			if e.Time.After(last) {
				last = e.Time
			}
		}
	}
	return last
}

// measurePatches makes the same moves by one PATCH each, all at once, and
// nothing else.
func (b *bench) measurePatches(ctx context.Context) error {
	b.platform.Pause()
	total := b.watches[survivor].Wanted()
	half := map[kube.Key]int{}
	for _, app := range b.apps {
		half[app] = total[app] / 2
	}
	for range b.Size.FloorRuns {
		if err := b.patchAll(ctx, half); err != nil {
			return err
		}
		if err := b.quiet(ctx); err != nil {
			return err
		}
		b.watches[survivor].Clear()
		begin := time.Now()
		if err := b.patchAll(ctx, total); err != nil {
			return err
		}
		if err := b.awaitAll(ctx, total); err != nil {
			return err
		}
		floor := b.lastChange().Sub(begin).Seconds()
		b.result.Move.Floors = append(b.result.Move.Floors, floor)
		b.say("%.2f s", floor)
		if err := b.settled(ctx, nothing); err != nil {
			return err
		}
	}
	return nil
}

// patchAll sets the replicas of all apps on the survivor at once.
func (b *bench) patchAll(ctx context.Context, wanted map[kube.Key]int) error {
	client := b.clusters[survivor].Floor.AppsV1()
	group, groupCtx := errgroup.WithContext(ctx)
	for _, app := range b.apps {
		group.Go(func() error {
			patch := fmt.Appendf(nil, `{"spec":{"replicas":%d}}`, wanted[app])
			_, err := client.Deployments(app.Namespace()).Patch(groupCtx, app.Name(), types.MergePatchType, patch, metav1.PatchOptions{})
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	return b.settled(ctx, nothing)
}
