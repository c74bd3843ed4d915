package supervisor

import (
	"context"
	"errors"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fakeProcess runs until it is told to end.
type fakeProcess struct {
	pid     int
	ended   chan error
	once    sync.Once
	deaf    bool
	mu      sync.Mutex
	signals []syscall.Signal
}

func (p *fakeProcess) PID() int    { return p.pid }
func (p *fakeProcess) Wait() error { return <-p.ended }

func (p *fakeProcess) Signal(s syscall.Signal) error {
	p.mu.Lock()
	p.signals = append(p.signals, s)
	p.mu.Unlock()
	if s == syscall.SIGKILL || !p.deaf {
		p.end(nil)
	}
	return nil
}

func (p *fakeProcess) end(err error) { p.once.Do(func() { p.ended <- err }) }

// machine starts fake processes and remembers when.
type machine struct {
	mu      sync.Mutex
	deaf    bool
	began   time.Time
	starts  map[string][]time.Duration
	current map[string]*fakeProcess
}

func newMachine() *machine {
	return &machine{began: time.Now(), starts: map[string][]time.Duration{}, current: map[string]*fakeProcess{}}
}

func (m *machine) start(s Spec) (running, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.starts[s.Name] = append(m.starts[s.Name], time.Since(m.began))
	p := &fakeProcess{pid: 1<<30 + len(m.starts[s.Name]), ended: make(chan error, 1), deaf: m.deaf}
	m.current[s.Name] = p
	return p, nil
}

func (m *machine) process(name string) *fakeProcess {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.current[name]
}

func (m *machine) startsOf(name string) []time.Duration {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.starts[name]
}

// start runs a supervisor of fake processes; the returned function stops it.
func start(t *testing.T, m *machine, specs ...Spec) (*Supervisor, func()) {
	t.Helper()
	s, err := New(Config{Specs: specs, Order: []string{"g"}, Logger: discard()})
	if err != nil {
		t.Fatal(err)
	}
	s.start = m.start
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); s.Run(ctx) }()
	return s, func() { cancel(); <-done }
}

func state(t *testing.T, s *Supervisor, name string) Process {
	t.Helper()
	for _, p := range s.board.snapshot() {
		if p.Name == name {
			return p
		}
	}
	t.Fatalf("no process %s", name)
	return Process{}
}

func TestWaitsUntilOthersAreReady(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMachine()
		readyAt := time.Now().Add(3 * time.Second)
		probe := func(context.Context) error {
			if time.Now().Before(readyAt) {
				return errors.New("not yet")
			}
			return nil
		}
		s, stop := start(t, m, Spec{Name: "api", Group: "g", After: []string{"etcd"}}, Spec{Name: "etcd", Group: "g", Probe: probe})
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if p := state(t, s, "api"); p.State != Waiting || p.Detail != "for etcd" {
			t.Errorf("api is %+v", p)
		}
		if p := state(t, s, "etcd"); p.State != Starting || p.Detail != "not yet" {
			t.Errorf("etcd is %+v", p)
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if r := s.Report(); !r.Ready {
			t.Errorf("not ready: %+v", r.Processes)
		}
		stop()
	})
}

func TestThenComesBeforeReady(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		calls := 0
		then := func(context.Context) error {
			if calls++; calls < 3 {
				return errors.New("no access yet")
			}
			return nil
		}
		s, stop := start(t, newMachine(), Spec{Name: "etcd", Group: "g", Then: then})
		synctest.Wait()
		if p := state(t, s, "etcd"); p.State != Starting || p.Detail != "no access yet" {
			t.Errorf("etcd is %+v", p)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if p := state(t, s, "etcd"); p.State != Ready || calls != 3 {
			t.Errorf("etcd is %+v after %d calls", p, calls)
		}
		stop()
	})
}

func TestRestartsWithGrowingPauses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMachine()
		s, stop := start(t, m, Spec{Name: "web", Group: "g"})
		for range 3 {
			synctest.Wait()
			m.process("web").end(errors.New("exit status 1"))
			synctest.Wait()
			if p := state(t, s, "web"); p.State != Pausing || p.Detail != "ended: exit status 1" || p.PID != 0 {
				t.Errorf("web is %+v", p)
			}
			time.Sleep(4 * time.Second)
		}
		synctest.Wait()
		want := []time.Duration{0, 250 * time.Millisecond, 4*time.Second + 500*time.Millisecond, 9 * time.Second}
		got := m.startsOf("web")
		if len(got) != len(want) {
			t.Fatalf("starts at %v, want %v", got, want)
		}
		for i := range want {
			if got[i] != want[i] {
				t.Errorf("start %d at %v, want %v", i, got[i], want[i])
			}
		}
		if p := state(t, s, "web"); p.Restarts != 3 {
			t.Errorf("%d restarts counted", p.Restarts)
		}
		stop()
	})
}

func TestFailingIsShownAndRecovers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var answer error
		say := func(err error) { mu.Lock(); answer = err; mu.Unlock() }
		probe := func(context.Context) error { mu.Lock(); defer mu.Unlock(); return answer }
		m := newMachine()
		s, stop := start(t, m, Spec{Name: "web", Group: "g", Probe: probe})
		synctest.Wait()
		say(errors.New("health is NOT_SERVING"))
		time.Sleep(3 * probeSlow)
		synctest.Wait()
		if p := state(t, s, "web"); p.State != Failing || p.Detail != "health is NOT_SERVING" {
			t.Errorf("web is %+v", p)
		}
		say(nil)
		time.Sleep(2 * probeSlow)
		synctest.Wait()
		if p := state(t, s, "web"); p.State != Ready || p.Detail != "" || len(m.startsOf("web")) != 1 {
			t.Errorf("web is %+v, starts %v", p, m.startsOf("web"))
		}
		stop()
	})
}

func TestKillAndStartProcess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMachine()
		m.deaf = true
		s, stop := start(t, m, Spec{Name: "a", Group: "g"}, Spec{Name: "b", Group: "g"})
		synctest.Wait()
		if err := s.Kill(t.Context(), "a"); err != nil {
			t.Fatal(err)
		}
		if p := m.process("a"); len(p.signals) != 1 || p.signals[0] != syscall.SIGKILL {
			t.Errorf("signals %v, want only SIGKILL", p.signals)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if p := state(t, s, "a"); p.State != Down || len(m.startsOf("a")) != 1 {
			t.Errorf("a came back by itself: %+v", p)
		}
		if p := state(t, s, "b"); p.State != Ready {
			t.Errorf("b is %+v", p)
		}
		if err := s.Start(t.Context(), "a"); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if p := state(t, s, "a"); p.State != Ready || len(m.startsOf("a")) != 2 || len(m.startsOf("b")) != 1 {
			t.Errorf("a is %+v", p)
		}
		stop()
	})
}

func TestStopKillsTheDeafInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMachine()
		m.deaf = true
		s, stop := start(t, m, Spec{Name: "etcd", Group: "g"}, Spec{Name: "api", Group: "g", After: []string{"etcd"}})
		synctest.Wait()
		began := time.Now()
		stop()
		if took := time.Since(began); took != 2*defaultStop {
			t.Errorf("stopping took %v, want one limit after the other", took)
		}
		for _, name := range []string{"api", "etcd"} {
			p := m.process(name)
			if len(p.signals) != 2 || p.signals[0] != syscall.SIGTERM || p.signals[1] != syscall.SIGKILL {
				t.Errorf("%s got %v", name, p.signals)
			}
		}
		if err := s.Start(t.Context(), "api"); err != nil || len(m.startsOf("api")) != 1 {
			t.Errorf("started again while stopping: %v", err)
		}
	})
}
