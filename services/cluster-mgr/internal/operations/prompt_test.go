package operations

import (
	"context"
	"errors"
	"testing"
	"time"

	"cloud.google.com/go/longrunning/autogen/longrunningpb"
	"gantry.dev/pkg/etcdkv/etcdtest"
	ingressv1 "gantry.dev/proto/gen/gantry/ingress/v1"
	gantryv1 "gantry.dev/proto/gen/gantry/v1"
	"gantry.dev/services/cluster-mgr/internal/operations/termtest"
	"gantry.dev/services/cluster-mgr/internal/store"
	"golang.org/x/sync/errgroup"
)

var errEnded = errors.New("the operation has ended")

// From one step of a shift to the next, confirmed by every node, it takes less than a second beside the
// pause that was asked for.
func TestAStepIsConfirmedWithinASecond(t *testing.T) {
	t.Parallel()
	p := newPlatform(t, etcdtest.Start(t).Client(t))
	name := p.shiftToB()
	o := p.operation(name)
	o.Plan.Guard.PauseSeconds = -1
	change := store.NewChange()
	if err := o.Put(p.store, change, time.Now()); err != nil {
		t.Fatal(err)
	}
	p.commit(change)
	term, _ := termtest.Lead(t, p.raw, "cluster-mgr-1")
	process := start(t, p.raw, p.cloud, term, death{})
	process.observer.Look(t.Context())

	ctx, cancel := context.WithCancel(t.Context())
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		return p.store.Shares.Watch(ctx, "", 0, func(store.Event[store.TrafficShares]) error { return process.publish(ctx) })
	})
	group.Go(func() error {
		return p.store.Configs.Watch(ctx, "", 0, func(e store.Event[*ingressv1.GatewayConfig]) error {
			if !e.Synced {
				p.cloud.turn(e.Value)
			}
			return nil
		})
	})
	group.Go(func() error { return process.worker.Run(ctx) })
	began := time.Now()
	err := p.store.Operations.Watch(ctx, name, 0, func(e store.Event[*longrunningpb.Operation]) error {
		if e.Value.GetDone() {
			return errEnded
		}
		return nil
	})
	took := time.Since(began)
	cancel()
	_ = group.Wait() // it ends with ctx
	if !errors.Is(err, errEnded) {
		t.Fatal(err)
	}

	o = p.operation(name)
	steps := time.Duration(len(o.Plan.Steps) / 2)
	t.Logf("%d steps in %v, %v each", steps, took, took/steps)
	if o.Metadata.GetState() != gantryv1.OperationMetadata_STATE_SUCCEEDED || took > steps*time.Second {
		t.Errorf("%s after %v: %s", o.Metadata.GetState(), took, o.Metadata.GetSummary())
	}
}
