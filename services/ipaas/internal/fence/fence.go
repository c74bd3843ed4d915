// Package fence lets only the newest leader change the cluster (rule S2), and
// holds what has been fenced for it (rule C5). The largest epoch seen is kept
// in the cluster itself, so that it survives a restart and holds for every
// ipaas of the cluster.
package fence

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"gantry.dev/pkg/fault"
	"gantry.dev/pkg/gather"
	"gantry.dev/services/ipaas/internal/labels"
	"github.com/prometheus/client_golang/prometheus"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"
)

// tries bounds how often a raised epoch is written again because another
// ipaas wrote in between.
const tries = 5

const retryPause = time.Second

// Fence admits changes by epoch. Safe for concurrent use.
type Fence struct {
	maps    typedcorev1.ConfigMapInterface
	reads   *gather.Reader[kept]
	refused prometheus.Counter
	seen    prometheus.Gauge

	// Held for reading while a change runs and for writing while the epoch
	// rises: once a new leader is known, no change of an older one is still
	// under way here.
	mu      sync.RWMutex
	largest atomic.Int64
	loaded  atomic.Bool
	proven  atomic.Value // of proof
}

// A Change of a leader.
type Change struct {
	// Epoch of the leader.
	Epoch int64
	// App that is changed.
	App labels.ID
	// Starts is true for a change after which pods of the app may run: a
	// fence around the app refuses it to older leaders.
	Starts bool
	// Fences puts a fence of this epoch around the app, before the change
	// runs.
	Fences bool
	// Identity of the cluster that is meant.
	Identity string
	// Verify asks the cluster whether it has this identity; what another one
	// keeps counts for nothing. It is not asked again as long as the object
	// that keeps the epochs is the same: no two clusters have one with the
	// same UID.
	Verify func(context.Context) error
}

// proof that a cluster keeps its epochs in the object with this UID.
type proof struct {
	identity string
	object   types.UID
}

// New makes a fence; its metrics go to registry.
func New(client kubernetes.Interface, registry prometheus.Registerer) *Fence {
	f := &Fence{
		maps:    client.CoreV1().ConfigMaps(labels.SystemNamespace),
		refused: prometheus.NewCounter(prometheus.CounterOpts{Name: "gantry_ipaas_stale_epochs_total", Help: "Changes refused because a newer leader has been seen."}),
		seen:    prometheus.NewGauge(prometheus.GaugeOpts{Name: "gantry_ipaas_epoch", Help: "Largest epoch of a leader seen."}),
	}
	f.reads = gather.New(f.read)
	registry.MustRegister(f.refused, f.seen)
	return f
}

// Run reads the epoch that is kept, trying again until it can, and returns.
func (f *Fence) Run(ctx context.Context) error {
	for {
		if k, err := f.read(ctx); err == nil {
			f.note(k.epoch)
			f.loaded.Store(true)
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(retryPause):
		}
	}
}

// Largest is the largest epoch seen; ok is false before it has been read.
func (f *Fence) Largest() (epoch int64, ok bool) { return f.largest.Load(), f.loaded.Load() }

// Do runs a change if its leader may make it. Faults: STALE_EPOCH, FENCED,
// FENCE_UNAVAILABLE, FENCE_BROKEN, and those of Verify.
func (f *Fence) Do(ctx context.Context, c Change, change func(context.Context) error) error {
	k, err := f.look(ctx, c)
	if err != nil {
		return err
	}
	f.note(k.epoch)
	if k, err = f.raise(ctx, k, c); err != nil {
		return err
	}
	f.mu.RLock()
	defer f.mu.RUnlock()
	if err := f.check(c, k); err != nil {
		return err
	}
	return change(ctx)
}

// look asks the cluster which epoch it keeps, and thereby who it is. It asks
// each time: another ipaas of the cluster may have seen a newer leader.
func (f *Fence) look(ctx context.Context, c Change) (kept, error) {
	k, err := f.ask(ctx)
	if err == nil && k.object != nil && f.proven.Load() == (proof{c.Identity, k.object.UID}) {
		return k, nil
	}
	if other := c.Verify(ctx); other != nil {
		return kept{}, other
	}
	// Only what is read after the verification comes from that cluster.
	if k, err = f.ask(ctx); err == nil && k.object != nil {
		f.proven.Store(proof{c.Identity, k.object.UID})
	}
	return k, err
}

func (f *Fence) ask(ctx context.Context) (kept, error) {
	k, err := f.reads.Get(ctx)
	var known *fault.Error
	if err != nil && !errors.As(err, &known) {
		err = unavailable("read", err) // the caller's own time is over
	}
	return k, err
}

func (f *Fence) check(c Change, k kept) error {
	if largest := f.largest.Load(); c.Epoch < largest {
		f.refused.Inc()
		return fault.Precondition("STALE_EPOCH", "the epoch %d is over, a leader with epoch %d has been seen; only the newest leader may change the cluster", c.Epoch, largest)
	}
	if around := k.apps[c.App]; c.Starts && c.Epoch < around {
		f.refused.Inc()
		return fault.Precondition("FENCED", "%s has been fenced by a leader with epoch %d, so one with epoch %d may not start it here", c.App.Name(), around, c.Epoch)
	}
	return nil
}

// raise makes sure that what is kept is at least as new as the change, unless
// the change is the older one.
func (f *Fence) raise(ctx context.Context, k kept, c Change) (kept, error) {
	var err error
	for range tries {
		next, needed := k.after(c)
		if !needed {
			return k, nil
		}
		if err = f.write(ctx, next); err == nil {
			return next, nil
		}
		if !apierrors.IsConflict(err) && !apierrors.IsAlreadyExists(err) {
			break
		}
		if k, err = f.read(ctx); err != nil {
			return kept{}, err
		}
		f.note(k.epoch)
	}
	return kept{}, unavailable("kept", err)
}

// Forget takes the fence around an app away, once nothing of the app is left.
func (f *Fence) Forget(ctx context.Context, app labels.ID) error {
	var err error
	for range tries {
		var k kept
		if k, err = f.read(ctx); err != nil {
			return err
		}
		next, needed := k.without(app)
		if !needed {
			return nil
		}
		if err = f.write(ctx, next); !apierrors.IsConflict(err) {
			break
		}
	}
	if err != nil {
		return unavailable("kept", err)
	}
	return nil
}

// note remembers an epoch that is kept, once every change of older leaders has
// ended.
func (f *Fence) note(epoch int64) {
	if epoch <= f.largest.Load() {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if epoch > f.largest.Load() {
		f.largest.Store(epoch)
		f.seen.Set(float64(epoch))
	}
}
