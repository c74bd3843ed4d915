package probe

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// pods says how each target behaves.
type pods struct {
	mu sync.Mutex
	by map[string]error
}

var errSilent = errors.New("silent")

func (p *pods) set(target string, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.by[target] = err
}

func (p *pods) connect(ctx context.Context, target string) error {
	p.mu.Lock()
	err := p.by[target]
	p.mu.Unlock()
	if errors.Is(err, errSilent) {
		<-ctx.Done()
		return ctx.Err()
	}
	return err
}

func start(t *testing.T, c Config) *Prober {
	p := New(c)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); _ = p.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
	return p
}

func TestDownAfterTwoUpAfterOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake := &pods{by: map[string]error{}}
		changes := atomic.Int64{}
		p := start(t, Config{
			Targets: func() []string { return []string{"a:1", "b:1"} }, Connect: fake.connect, Changed: func() { changes.Add(1) },
		})
		time.Sleep(100 * time.Millisecond)
		if !p.Answering("a:1") || p.Down() != nil {
			t.Fatalf("down: %v", p.Down())
		}
		fake.set("a:1", syscall.ECONNREFUSED)
		time.Sleep(1500 * time.Millisecond)
		if !slices.Equal(p.Down(), []string{"a:1"}) || p.Answering("a:1") || changes.Load() != 1 {
			t.Fatalf("down: %v, changes: %d", p.Down(), changes.Load())
		}
		fake.set("a:1", nil)
		time.Sleep(1100 * time.Millisecond)
		if p.Down() != nil || changes.Load() != 2 {
			t.Fatalf("down: %v", p.Down())
		}
	})
}

// A silent pod is down within two seconds and hung, once, within three; one
// that refuses is never hung: its kernel answers and has cut the connections.
func TestHung(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake := &pods{by: map[string]error{"a:1": errSilent, "b:1": syscall.ECONNREFUSED}}
		var mu sync.Mutex
		var hung []string
		p := start(t, Config{
			Targets: func() []string { return []string{"a:1", "b:1"} }, Connect: fake.connect,
			Hung: func(_ context.Context, target string) { mu.Lock(); defer mu.Unlock(); hung = append(hung, target) },
		})
		time.Sleep(900 * time.Millisecond)
		if len(p.Down()) != 2 {
			t.Errorf("down after 0.9 s: %v", p.Down())
		}
		time.Sleep(20 * time.Second)
		mu.Lock()
		defer mu.Unlock()
		if !slices.Equal(hung, []string{"a:1"}) {
			t.Errorf("hung: %v", hung)
		}
	})
}

func TestForgetsWhatIsNoTarget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake := &pods{by: map[string]error{"a:1": syscall.ECONNREFUSED}}
		targets := atomic.Pointer[[]string]{}
		targets.Store(&[]string{"a:1"})
		p := start(t, Config{Targets: func() []string { return *targets.Load() }, Connect: fake.connect})
		time.Sleep(time.Second)
		targets.Store(&[]string{})
		time.Sleep(time.Second)
		if len(p.Down()) != 0 {
			t.Errorf("down: %v", p.Down())
		}
	})
}

func TestConcurrencyIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var now, most atomic.Int64
		start(t, Config{
			Targets: func() []string { return []string{"a:1", "b:1", "c:1", "d:1", "e:1"} }, Concurrency: 2,
			Connect: func(context.Context, string) error {
				most.Store(max(most.Load(), now.Add(1)))
				time.Sleep(10 * time.Millisecond)
				now.Add(-1)
				return nil
			},
		})
		time.Sleep(3 * time.Second)
		if most.Load() != 2 {
			t.Errorf("%d at the same time", most.Load())
		}
	})
}

// rule I6: the prober asks nobody but the pods: over a day a pod that dies is
// down until it is back, and no answer ages.
func TestADay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake := &pods{by: map[string]error{}}
		changes := atomic.Int64{}
		p := start(t, Config{
			Targets: func() []string { return []string{"a:1", "b:1"} }, Connect: fake.connect, Changed: func() { changes.Add(1) },
		})
		expect := func(after time.Duration, down ...string) {
			t.Helper()
			time.Sleep(after)
			if got := p.Down(); !slices.Equal(got, down) || !p.Answering("b:1") || p.Answering("a:1") != (len(down) == 0) {
				t.Errorf("down: %v, want %v", got, down)
			}
		}
		expect(8 * time.Hour)
		fake.set("a:1", syscall.ECONNREFUSED)
		expect(3*time.Second, "a:1")
		expect(8*time.Hour, "a:1")
		fake.set("a:1", nil)
		expect(2 * time.Second)
		expect(8 * time.Hour)
		if changes.Load() != 2 {
			t.Errorf("%d changes", changes.Load())
		}
	})
}
