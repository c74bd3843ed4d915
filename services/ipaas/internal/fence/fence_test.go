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
	"gantry.dev/services/ipaas/internal/labels"
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
	t.Run("a fence around an app", func(t *testing.T) { fencedApp(t, c, newFence) })
	t.Run("another cluster's epochs", func(t *testing.T) { otherCluster(t, newFence) })
	t.Run("a broken map", func(t *testing.T) { brokenMap(t, c, newFence) })
}

// by is a change of the leader with an epoch in the right cluster.
func by(epoch int64) fence.Change {
	return fence.Change{Epoch: epoch, App: web, Identity: "here", Verify: func(context.Context) error { return nil }}
}

var (
	web   = labels.ID{Project: "pay", App: "web"}
	other = labels.ID{Project: "pay", App: "other"}
)

func pass(context.Context) error { return nil }

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
	if err := f.Do(t.Context(), by(3), func(context.Context) error { return boom }); !errors.Is(err, boom) {
		t.Errorf("%v, want the change's own error", err)
	}
	never := func(context.Context) error { t.Error("a stale change ran"); return nil }
	if err := f.Do(t.Context(), by(2), never); !fault.HasReason(err, "STALE_EPOCH") {
		t.Errorf("%v, want STALE_EPOCH", err)
	}
	if err := newFence().Do(t.Context(), by(2), never); !fault.HasReason(err, "STALE_EPOCH") {
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
					if err := f.Do(t.Context(), by(epoch), begun.add(epoch)); err != nil && !fault.HasReason(err, "STALE_EPOCH") && !fault.HasReason(err, "FENCE_UNAVAILABLE") {
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

// The fence around an app refuses to start it also when the largest epoch has
// been set back by hand, and survives a restart and a crash. rules C5, K5
func fencedApp(t *testing.T, c *kubetest.Cluster, newFence func() *fence.Fence) {
	fences := by(40)
	fences.Fences = true
	// It is kept first: what follows may fail, or ipaas may be killed.
	boom := errors.New("boom")
	for range 2 { // again: the same
		if err := newFence().Do(t.Context(), fences, func(context.Context) error { return boom }); !errors.Is(err, boom) {
			t.Fatal(err)
		}
	}
	setBack(t, c, "5")
	start := func(epoch int64, app labels.ID) error {
		change := by(epoch)
		change.App, change.Starts = app, true
		return newFence().Do(t.Context(), change, pass)
	}
	if err := start(39, web); !fault.HasReason(err, "FENCED") || !fault.Is(err, fault.KindPrecondition) {
		t.Errorf("an older leader starts it: %v, want FENCED", err)
	}
	for _, step := range []struct {
		name string
		run  func() error
	}{
		{"another app", func() error { return start(39, other) }},
		{"an older leader ends it", func() error { return newFence().Do(t.Context(), by(39), pass) }},
		{"the same leader starts it", func() error { return start(40, web) }},
		{"a newer leader starts it", func() error { return start(41, web) }},
		{"forgetting", func() error { return newFence().Forget(t.Context(), web) }},
		{"forgetting what is forgotten", func() error { return newFence().Forget(t.Context(), web) }},
	} {
		if err := step.run(); err != nil {
			t.Errorf("%s: %v", step.name, err)
		}
	}
	setBack(t, c, "5")
	if err := start(6, web); err != nil {
		t.Errorf("after the fence has been forgotten: %v", err)
	}
}

// setBack puts the largest epoch back as an operator would.
func setBack(t *testing.T, c *kubetest.Cluster, epoch string) {
	t.Helper()
	maps := c.Admin.CoreV1().ConfigMaps("gantry-system")
	kept, err := maps.Get(t.Context(), "gantry-fence", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	kept.Data["epoch"] = epoch
	if _, err := maps.Update(t.Context(), kept, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
}

// What another cluster keeps counts for nothing here. rule K2
func otherCluster(t *testing.T, newFence func() *fence.Fence) {
	f, elsewhere := newFence(), errors.New("another cluster")
	if err := f.Do(t.Context(), by(500), pass); err != nil {
		t.Fatal(err) // so that the right cluster is known
	}
	change := by(1000)
	change.Identity = "elsewhere"
	change.Verify = func(context.Context) error { return elsewhere }
	err := f.Do(t.Context(), change, func(context.Context) error { t.Error("a change ran"); return nil })
	if !errors.Is(err, elsewhere) {
		t.Errorf("%v, want what the verification says", err)
	}
	if epoch, _ := f.Largest(); epoch != 500 {
		t.Errorf("the epoch %d was taken over", epoch)
	}
	known := by(999)
	known.Verify = func(context.Context) error { t.Error("a known cluster is asked again"); return nil }
	if err := f.Do(t.Context(), known, pass); err != nil {
		t.Errorf("the refused epoch is kept: %v", err)
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
	err = newFence().Do(t.Context(), by(99), func(context.Context) error { t.Error("a change ran"); return nil })
	if !fault.HasReason(err, "FENCE_BROKEN") {
		t.Errorf("%v, want FENCE_BROKEN", err)
	}
}
