// Package supervisor starts processes in dependency order, restarts what
// dies, and kills and revives whole groups of them on request.
package supervisor

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"
)

// The reasons why a process is ended: asked to end, or killed at once.
var (
	errStopped = errors.New("stopped")
	errKilled  = errors.New("killed")
)

// killWait is how long killed processes may take to vanish.
const killWait = 10 * time.Second

// Groups holds the processes of each group together, forked ones included.
type Groups interface {
	// Open returns a folder to start a process in; the caller closes it.
	Open(group string) (*os.File, error)
	// Kill ends all processes of the group with SIGKILL.
	Kill(group string, wait time.Duration) error
	// PIDs returns all processes of the group.
	PIDs(group string) []int
}

// Config is what a Supervisor needs.
type Config struct {
	Specs []Spec
	// Order names the groups in starting order.
	Order []string
	// LogDir takes NAME.log; RunDir takes NAME.pid.
	LogDir, RunDir string
	// Groups may be nil: then a group is killed process by process.
	Groups Groups
	// Killed runs after a group was killed, Revived before it starts again;
	// nil means nothing.
	Killed, Revived func(ctx context.Context, group string) error
	Logger          *slog.Logger
}

// Supervisor keeps processes running. Its methods may be called concurrently.
type Supervisor struct {
	config Config
	board  *board
	levels [][]string
	start  func(Spec) (running, error)
	since  time.Time

	mu       sync.Mutex
	ctx      context.Context //nolint:containedctx // that of Run: loops are started later, by requests
	stopping bool
	loops    map[string]*loop
}

// loop is the goroutine of one process.
type loop struct {
	cancel context.CancelCauseFunc
	done   chan struct{}
}

// New checks the order of the processes.
func New(c Config) (*Supervisor, error) {
	levels, err := Levels(c.Specs)
	if err != nil {
		return nil, fmt.Errorf("order of processes: %w", err)
	}
	log := func(name string) string { return filepath.Join(c.LogDir, name+".log") }
	record := func(name string) string { return filepath.Join(c.RunDir, name+".pid") }
	return &Supervisor{
		config: c, levels: levels, board: newBoard(c.Specs, log),
		start: launcher{log: log, record: record, groups: c.Groups}.start,
		loops: map[string]*loop{},
	}, nil
}

// Run starts everything and returns when ctx has ended and all is stopped.
func (s *Supervisor) Run(ctx context.Context) {
	s.mu.Lock()
	s.since = time.Now()
	// Loops outlive ctx: they are ended in order, dependants first.
	s.ctx = context.WithoutCancel(ctx)
	for _, spec := range s.config.Specs {
		s.launch(spec)
	}
	s.mu.Unlock()
	<-ctx.Done()
	s.stop()
}

// launch needs the lock.
func (s *Supervisor) launch(spec Spec) {
	if s.loops[spec.Name] != nil || s.stopping {
		return
	}
	ctx, cancel := context.WithCancelCause(s.ctx)
	l := &loop{cancel: cancel, done: make(chan struct{})}
	s.loops[spec.Name] = l
	r := &runner{spec: spec, board: s.board, start: s.start}
	go func() {
		defer close(l.done)
		r.run(ctx)
	}()
}

// stop ends all processes, those first on which nothing depends.
func (s *Supervisor) stop() {
	s.mu.Lock()
	s.stopping = true
	s.mu.Unlock()
	for _, level := range slices.Backward(s.levels) {
		s.await(s.cancel(level, errStopped))
	}
}

// cancel tells the loops of these processes to end, for a reason.
func (s *Supervisor) cancel(names []string, reason error) map[string]*loop {
	s.mu.Lock()
	defer s.mu.Unlock()
	ending := map[string]*loop{}
	for _, name := range names {
		if l := s.loops[name]; l != nil {
			l.cancel(reason)
			ending[name] = l
			delete(s.loops, name)
		}
	}
	return ending
}

func (s *Supervisor) await(ending map[string]*loop) {
	for name, l := range ending {
		<-l.done
		s.board.update(name, func(p *Process) { p.State, p.PID, p.Detail = Down, 0, "" })
	}
}

// members returns the processes of a group, or the one process of that name.
func (s *Supervisor) members(target string) (specs []Spec, group bool) {
	for _, spec := range s.config.Specs {
		if spec.Group == target {
			specs, group = append(specs, spec), true
		} else if spec.Name == target {
			specs = append(specs, spec)
		}
	}
	return specs, group
}

// Kill ends a group, or one process, with SIGKILL; it stays down until Start.
func (s *Supervisor) Kill(ctx context.Context, target string) error {
	specs, group := s.members(target)
	if len(specs) == 0 {
		return fmt.Errorf("no group or process is called %q", target)
	}
	s.config.Logger.Warn("killing", "target", target)
	names := make([]string, 0, len(specs))
	for _, spec := range specs {
		names = append(names, spec.Name)
	}
	ending := s.cancel(names, errKilled)
	if !group {
		s.await(ending)
		return nil
	}
	return s.killGroup(ctx, target, ending)
}

func (s *Supervisor) killGroup(ctx context.Context, group string, ending map[string]*loop) error {
	if s.config.Groups != nil {
		if err := s.config.Groups.Kill(group, killWait); err != nil {
			return err
		}
	}
	s.await(ending)
	if s.config.Killed != nil {
		return s.config.Killed(ctx, group)
	}
	return nil
}

// Start brings a killed group or process back; what runs is left alone.
func (s *Supervisor) Start(ctx context.Context, target string) error {
	specs, group := s.members(target)
	if len(specs) == 0 {
		return fmt.Errorf("no group or process is called %q", target)
	}
	s.config.Logger.Info("starting", "target", target)
	if group && s.config.Revived != nil && !s.anyRuns(specs) {
		if err := s.config.Revived(ctx, target); err != nil {
			return err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, spec := range specs {
		s.launch(spec)
	}
	return nil
}

func (s *Supervisor) anyRuns(specs []Spec) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.ContainsFunc(specs, func(spec Spec) bool { return s.loops[spec.Name] != nil })
}
