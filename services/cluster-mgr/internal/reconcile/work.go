package reconcile

import (
	"context"
	"fmt"

	"gantry.dev/pkg/fault"
	"gantry.dev/services/cluster-mgr/internal/fleet"
	"golang.org/x/sync/errgroup"
)

// What is stored in one transaction: etcd takes 128 writes, of which an app
// needs three, and 1.5 MiB, most of which is the nodes in a decision's input.
const (
	batchApps  = 40
	batchBytes = 1 << 20
	appBytes   = 4 << 10
	nodeBytes  = 320
)

// work is what one sweep does: it stores changed apps a batch at a time, and
// applies each app as soon as it is stored.
type work struct {
	ctx      context.Context //nolint:containedctx // it is the term's
	loop     *Loop
	snapshot fleet.Snapshot
	there    fleet.ImageThere

	batch []placed
	bytes int

	commits errgroup.Group
	failed  errorList
	// report hears of what could not be applied, also after the sweep.
	report func(error)
}

// add does what an app needs, if anything.
func (w *work) add(p placed) {
	if !p.changed {
		w.apply(p)
		return
	}
	w.batch = append(w.batch, p)
	w.bytes += appBytes
	for _, c := range p.in.Clusters {
		w.bytes += len(c.Nodes) * nodeBytes
	}
	if len(w.batch) >= batchApps || w.bytes >= batchBytes {
		w.flush()
	}
}

func (w *work) flush() {
	batch := w.batch
	w.batch, w.bytes = nil, 0
	if len(batch) > 0 {
		w.commits.Go(func() error {
			w.store(batch)
			return nil
		})
	}
}

// store writes a batch, and app by app when one of them was changed meanwhile.
func (w *work) store(batch []placed) {
	err := w.loop.commit(w.ctx, batch)
	switch {
	case err == nil:
		for _, p := range batch {
			w.apply(p)
		}
	case len(batch) > 1 && fault.HasReason(err, "CHANGED_MEANWHILE"):
		for _, p := range batch {
			w.store([]placed{p})
		}
	default:
		w.failed.add(fmt.Errorf("place %s: %w", batchName(batch), err))
	}
}

// apply puts what an app brings into all its clusters, then makes each cluster
// what is wanted. An app with which nothing is to be done costs nothing.
func (w *work) apply(p placed) {
	todo := w.loop.todo(w.snapshot, p)
	if len(todo) == 0 && len(w.loop.unconfigured(w.snapshot, p.app)) == 0 {
		return
	}
	if !w.loop.claim(p.app.GetName()) {
		return
	}
	w.loop.applying.Go(func() {
		defer w.loop.release(p.app.GetName())
		versions, err := w.loop.versions(w.ctx, p.app)
		if err != nil {
			w.report(err)
			return
		}
		w.report(w.loop.configure(w.ctx, w.snapshot, p.app, versions))
		var group errgroup.Group
		for _, t := range todo {
			t.versions = versions
			group.Go(func() error {
				if !w.loop.slots.take(w.ctx, t.cluster) {
					return nil
				}
				defer w.loop.slots.free(t.cluster)
				w.report(w.loop.apply(w.ctx, w.snapshot, t, w.there))
				return nil
			})
		}
		_ = group.Wait() // each error was reported
	})
}

func batchName(batch []placed) string {
	first := batch[0].app.GetName()
	if len(batch) == 1 {
		return first
	}
	return fmt.Sprintf("%s and %d more", first, len(batch)-1)
}
