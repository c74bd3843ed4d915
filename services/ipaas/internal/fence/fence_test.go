package fence_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"

	"gantry.dev/pkg/fault"
	"gantry.dev/services/ipaas/internal/fence"
	"gantry.dev/services/ipaas/internal/kubetest"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestFence runs fences against a real API server.
func TestFence(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a kube-apiserver; left out by -short")
	}
	c := kubetest.Start(t)
	c.GrantIpaas()
	newFence := func() *fence.Fence { return fence.New(c.Admin, prometheus.NewRegistry()) }
	t.Run("one change", func(t *testing.T) { oneChange(t, newFence) })
	t.Run("many leaders, two ipaas", func(t *testing.T) { manyLeaders(t, newFence) })
	t.Run("a broken map", func(t *testing.T) { brokenMap(t, c, newFence) })
}

// rule S2
func oneChange(t *testing.T, newFence func() *fence.Fence) {
	f := newFence()
	if _, loaded := f.Largest(); loaded {
		t.Error("loaded before Run")
	}
	if err := f.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if epoch, loaded := f.Largest(); !loaded || epoch != 0 {
		t.Errorf("%d %t, want nothing seen", epoch, loaded)
	}
	boom := errors.New("boom")
	if err := f.Do(t.Context(), 3, func(context.Context) error { return boom }); !errors.Is(err, boom) {
		t.Errorf("%v, want the change's own error", err)
	}
	never := func(context.Context) error { t.Error("a stale change ran"); return nil }
	if err := f.Do(t.Context(), 2, never); !fault.HasReason(err, "STALE_EPOCH") {
		t.Errorf("%v, want STALE_EPOCH", err)
	}
	if err := newFence().Do(t.Context(), 2, never); !fault.HasReason(err, "STALE_EPOCH") {
		t.Errorf("another ipaas: %v, want STALE_EPOCH", err)
	}
}

// Leaders come in any order, through two ipaas at once: in each of them no
// change of an older leader begins after one of a newer, and the largest epoch
// is kept. rule S2
func manyLeaders(t *testing.T, newFence func() *fence.Fence) {
	var group sync.WaitGroup
	for range 2 {
		f, begun := newFence(), &order{}
		for worker := range int64(4) {
			group.Go(func() {
				for i := range int64(10) {
					epoch := 10 + (i*7+worker*3)%20
					if err := f.Do(t.Context(), epoch, begun.add(epoch)); err != nil && !fault.HasReason(err, "STALE_EPOCH") && !fault.HasReason(err, "FENCE_UNAVAILABLE") {
						t.Errorf("epoch %d: %v", epoch, err)
					}
				}
			})
		}
		defer func() {
			if !slices.IsSorted(begun.epochs) {
				t.Errorf("changes began in the order %v", begun.epochs)
			}
		}()
	}
	group.Wait()
	f := newFence()
	if err := f.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if epoch, _ := f.Largest(); epoch != 29 {
		t.Errorf("%d is kept, want 29", epoch)
	}
}

// order remembers which changes began.
type order struct {
	mu     sync.Mutex
	epochs []int64
}

func (o *order) add(epoch int64) func(context.Context) error {
	return func(context.Context) error {
		o.mu.Lock()
		defer o.mu.Unlock()
		o.epochs = append(o.epochs, epoch)
		return nil
	}
}

// What is not understood admits nobody.
func brokenMap(t *testing.T, c *kubetest.Cluster, newFence func() *fence.Fence) {
	maps := c.Admin.CoreV1().ConfigMaps("gantry-system")
	_, err := maps.Update(t.Context(), &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Name: "gantry-fence"}, Data: map[string]string{"epoch": "many"},
	}, metav1.UpdateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	err = newFence().Do(t.Context(), 99, func(context.Context) error { t.Error("a change ran"); return nil })
	if !fault.HasReason(err, "FENCE_BROKEN") {
		t.Errorf("%v, want FENCE_BROKEN", err)
	}
}
