package supervisor

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"syscall"
	"time"
)

const (
	// probeFast is the pause between probes of a process that is not ready,
	// probeSlow of one that is; probeLimit is how long one answer may take.
	probeFast  = 200 * time.Millisecond
	probeSlow  = 4 * time.Second
	probeLimit = 3 * time.Second
	// failingAfter probes in a row make a ready process failing.
	failingAfter = 2
	defaultStop  = 5 * time.Second
)

// running is a started process.
type running interface {
	PID() int
	// Wait returns when it has ended, with the reason.
	Wait() error
	Signal(syscall.Signal) error
}

// runner keeps one process running until its context ends.
type runner struct {
	spec    Spec
	board   *board
	start   func(Spec) (running, error)
	backoff Backoff
}

// run returns when ctx has ended and the process is gone.
func (r *runner) run(ctx context.Context) {
	for ctx.Err() == nil {
		if !r.waitForOthers(ctx) {
			return
		}
		began := time.Now()
		reason := r.once(ctx)
		if ctx.Err() != nil {
			return
		}
		pause := r.backoff.Next(time.Since(began))
		r.board.update(r.spec.Name, func(p *Process) {
			p.State, p.PID, p.Detail = Pausing, 0, reason
			p.Restarts++
		})
		sleep(ctx, pause)
	}
}

func (r *runner) waitForOthers(ctx context.Context) bool {
	for {
		missing, changed := r.board.notReady(r.spec.After)
		if len(missing) == 0 {
			return true
		}
		r.board.update(r.spec.Name, func(p *Process) {
			p.State, p.Detail = Waiting, "for "+strings.Join(missing, ", ")
		})
		select {
		case <-ctx.Done():
			return false
		case <-changed:
		}
	}
}

// once runs the process once and returns why it ended.
func (r *runner) once(ctx context.Context) string {
	r.board.update(r.spec.Name, func(p *Process) { p.State, p.Detail = Starting, "" })
	if r.spec.Before != nil {
		if err := r.spec.Before(ctx); err != nil {
			return fmt.Sprintf("cannot be prepared: %v", err)
		}
	}
	process, err := r.start(r.spec)
	if err != nil {
		return fmt.Sprintf("cannot be started: %v", err)
	}
	r.board.update(r.spec.Name, func(p *Process) { p.PID, p.Started = process.PID(), time.Now() })
	ended := make(chan error, 1)
	go func() { ended <- process.Wait() }()
	probing, stopProbing := context.WithCancel(ctx)
	probed := make(chan struct{})
	go func() { defer close(probed); r.watch(probing) }()
	defer func() { stopProbing(); <-probed }()
	select {
	case err := <-ended:
		return exitReason(err)
	case <-ctx.Done():
		r.end(process, ended, errors.Is(context.Cause(ctx), errKilled))
		return ""
	}
}

func exitReason(err error) string {
	if err == nil {
		return "ended by itself"
	}
	return "ended: " + err.Error()
}

// end asks the process to end, and ends it when it does not or when it is to
// be killed.
func (r *runner) end(process running, ended <-chan error, kill bool) {
	if kill {
		_ = process.Signal(syscall.SIGKILL)
		<-ended //nolint:errcheck // how it ended is no news
		return
	}
	limit := r.spec.StopTimeout
	if limit == 0 {
		limit = defaultStop
	}
	// A process that is gone already refuses the signal; Wait tells.
	_ = process.Signal(syscall.SIGTERM)
	select {
	case <-ended: //nolint:errcheck // how it ended is no news
	case <-time.After(limit):
		_ = process.Signal(syscall.SIGKILL)
		<-ended //nolint:errcheck // how it ended is no news
	}
}

// watch probes until ctx ends and keeps the board up to date.
func (r *runner) watch(ctx context.Context) {
	if !r.untilReady(ctx) {
		return
	}
	for failures := 0; ; {
		if !sleep(ctx, probeSlow) {
			return
		}
		err := r.probe(ctx)
		if ctx.Err() != nil {
			return
		}
		if err == nil {
			failures = 0
			r.report(Ready, "")
			continue
		}
		if failures++; failures >= failingAfter {
			r.report(Failing, err.Error())
		}
	}
}

func (r *runner) untilReady(ctx context.Context) bool {
	for {
		err := r.probe(ctx)
		if err == nil && r.spec.Then != nil {
			err = r.spec.Then(ctx)
		}
		if ctx.Err() != nil {
			return false
		}
		if err == nil {
			r.report(Ready, "")
			return true
		}
		r.report(Starting, err.Error())
		if !sleep(ctx, probeFast) {
			return false
		}
	}
}

func (r *runner) probe(ctx context.Context) error {
	if r.spec.Probe == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, probeLimit)
	defer cancel()
	return r.spec.Probe(ctx)
}

func (r *runner) report(state State, detail string) {
	r.board.update(r.spec.Name, func(p *Process) { p.State, p.Detail = state, detail })
}

// sleep returns false when ctx ended first.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
