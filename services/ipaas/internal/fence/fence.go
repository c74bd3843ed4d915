// Package fence lets only the newest leader change the cluster (rule S2). The
// largest epoch seen is kept in the cluster itself, so that it survives a
// restart and holds for every ipaas of the cluster.
package fence

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"gantry.dev/pkg/fault"
	"gantry.dev/services/ipaas/internal/labels"
	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"
)

// Where the epoch is kept.
const (
	configMap = "gantry-fence"
	epochKey  = "epoch"
)

// tries bounds how often a raised epoch is written again because another
// ipaas wrote in between.
const tries = 5

const retryPause = time.Second

// Fence admits changes by epoch. Safe for concurrent use.
type Fence struct {
	maps    typedcorev1.ConfigMapInterface
	refused prometheus.Counter
	seen    prometheus.Gauge

	// Held for reading while a change runs and for writing while the epoch
	// rises: once a new leader is known, no change of an older one is still
	// under way here.
	mu      sync.RWMutex
	largest atomic.Int64
	loaded  atomic.Bool
}

// New makes a fence; its metrics go to registry.
func New(client kubernetes.Interface, registry prometheus.Registerer) *Fence {
	f := &Fence{
		maps:    client.CoreV1().ConfigMaps(labels.SystemNamespace),
		refused: prometheus.NewCounter(prometheus.CounterOpts{Name: "gantry_ipaas_stale_epochs_total", Help: "Changes refused because a newer leader has been seen."}),
		seen:    prometheus.NewGauge(prometheus.GaugeOpts{Name: "gantry_ipaas_epoch", Help: "Largest epoch of a leader seen."}),
	}
	registry.MustRegister(f.refused, f.seen)
	return f
}

// Run reads the epoch that is kept, trying again until it can, and returns.
func (f *Fence) Run(ctx context.Context) error {
	for {
		if _, _, err := f.read(ctx); err == nil {
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

// Do runs a change of the leader with this epoch. Fault: STALE_EPOCH.
func (f *Fence) Do(ctx context.Context, epoch int64, change func(context.Context) error) error {
	if err := f.raise(ctx, epoch); err != nil {
		return err
	}
	f.mu.RLock()
	defer f.mu.RUnlock()
	if err := f.check(epoch, f.largest.Load()); err != nil {
		return err
	}
	return change(ctx)
}

func (f *Fence) check(epoch, largest int64) error {
	if epoch >= largest {
		return nil
	}
	f.refused.Inc()
	return fault.Precondition("STALE_EPOCH", "the epoch %d is over, a leader with epoch %d has been seen; only the newest leader may change the cluster", epoch, largest)
}

// raise makes sure that the kept epoch is at least this one, unless the kept
// one is larger. It asks the API server each time: another ipaas of the
// cluster may have seen a newer leader.
func (f *Fence) raise(ctx context.Context, epoch int64) error {
	var err error
	for range tries {
		var kept *corev1.ConfigMap
		var largest int64
		if kept, largest, err = f.read(ctx); err != nil {
			return err
		}
		if epoch < largest || epoch == largest && kept != nil {
			return nil
		}
		if err = f.write(ctx, kept, epoch); !apierrors.IsConflict(err) && !apierrors.IsAlreadyExists(err) {
			break
		}
	}
	if err != nil {
		return fault.Unavailable("FENCE_UNAVAILABLE", "the epoch cannot be kept in %s/%s; try again: %w", labels.SystemNamespace, configMap, err)
	}
	return nil
}

// read gives the kept map, nil if there is none yet, and its epoch.
func (f *Fence) read(ctx context.Context) (*corev1.ConfigMap, int64, error) {
	kept, err := f.maps.Get(ctx, configMap, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil, f.largest.Load(), nil
	}
	if err != nil {
		return nil, 0, fault.Unavailable("FENCE_UNAVAILABLE", "the epoch cannot be read from %s/%s; try again: %w", labels.SystemNamespace, configMap, err)
	}
	epoch, err := strconv.ParseInt(kept.Data[epochKey], 10, 64)
	if err != nil {
		return nil, 0, fault.Precondition("FENCE_BROKEN", "%s/%s holds no epoch; delete it if no older leader is alive: %w", labels.SystemNamespace, configMap, err)
	}
	f.note(epoch)
	return kept, epoch, nil
}

// write keeps a larger epoch; the resourceVersion of what was read makes the
// API server refuse if somebody wrote in between.
func (f *Fence) write(ctx context.Context, kept *corev1.ConfigMap, epoch int64) error {
	var err error
	if data := map[string]string{epochKey: strconv.FormatInt(epoch, 10)}; kept == nil {
		meta := metav1.ObjectMeta{Name: configMap, Labels: map[string]string{labels.ManagedBy: labels.Manager}}
		_, err = f.maps.Create(ctx, &corev1.ConfigMap{ObjectMeta: meta, Data: data}, metav1.CreateOptions{})
	} else {
		kept.Data = data
		_, err = f.maps.Update(ctx, kept, metav1.UpdateOptions{})
	}
	if apierrors.IsNotFound(err) {
		return errors.Join(fmt.Errorf("the namespace %s is missing; apply ipaas' roles", labels.SystemNamespace), err)
	}
	if err == nil {
		f.note(epoch)
	}
	return err
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
