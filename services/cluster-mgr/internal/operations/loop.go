// Package operations works off running operations: failover.Next says what to
// do, a step is done so that doing it twice is the same as doing it once, and
// the progress is stored after each. So another leader goes on where this one
// stopped.
package operations

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"gantry.dev/pkg/leader"
	gantryv1 "gantry.dev/proto/gen/gantry/v1"
	"gantry.dev/services/cluster-mgr/internal/clusters"
	"gantry.dev/services/cluster-mgr/internal/failover"
	"gantry.dev/services/cluster-mgr/internal/fleet"
	"gantry.dev/services/cluster-mgr/internal/loop"
	"gantry.dev/services/cluster-mgr/internal/observe"
	"gantry.dev/services/cluster-mgr/internal/store"
	"golang.org/x/sync/errgroup"
	"google.golang.org/protobuf/types/known/timestamppb"
)

const (
	// tick is the time between two looks at what runs.
	tick = 500 * time.Millisecond
	// resync is the longest time between two looks while nothing runs (rule S3).
	resync = 30 * time.Second
)

// Viewer gives what was seen last.
type Viewer interface {
	View() observe.View
}

// Config is what New needs; all fields are required.
type Config struct {
	Store    *store.Store
	Observer Viewer
	// Pool reaches the clusters that have to be asked before an app of class
	// single starts elsewhere (rule C5).
	Pool *clusters.Pool
	// Frozen says why nothing may move now; empty: go on (rule C3).
	Frozen func() string
	Logger *slog.Logger
}

// Loop is the worker of one leader's term.
type Loop struct {
	Config
	term leader.Term
	// An operation ran at the last look: so all that it needs is read at once.
	busy bool
	// Requests and errors at the last weight step, by operation.
	errors map[string]errorWatch
}

// New checks its Config.
func New(c Config, term leader.Term) (*Loop, error) {
	if c.Store == nil || c.Observer == nil || c.Pool == nil || c.Frozen == nil || c.Logger == nil {
		return nil, errors.New("operations: every field of Config is required")
	}
	return &Loop{Config: c, term: term, errors: map[string]errorWatch{}}, nil
}

// Run works until ctx ends. While no operation runs it waits for one to
// change, so it costs nothing.
func (l *Loop) Run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	w := loop.NewWaker()
	loop.Watch(ctx, group, l.Store.Operations, w)
	group.Go(func() error {
		for {
			busy, err := l.work(ctx, time.Now())
			if err != nil && ctx.Err() == nil {
				l.Logger.Warn("operations: a look failed and will be repeated", "error", err.Error())
			}
			if err := rest(ctx, w, busy || err != nil); err != nil {
				return err
			}
		}
	})
	return group.Wait()
}

// rest waits until the next look is due.
func rest(ctx context.Context, w loop.Waker, busy bool) error {
	wait, woken := resync, w
	if busy {
		wait, woken = tick, nil // each step is a change: it would wake at once
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-woken:
	case <-timer.C:
	}
	return nil
}

// work goes one step on with the oldest running operation: a plan counts on
// the clusters that it does not touch. It tells whether there was one.
func (l *Loop) work(ctx context.Context, now time.Time) (busy bool, err error) {
	if !l.busy {
		live, err := fleet.Live(ctx, l.Store)
		if l.busy = slices.ContainsFunc(live, fleet.Operation.Running); err != nil || !l.busy {
			return false, err
		}
	}
	snapshot, err := fleet.Load(ctx, l.Store, l.Observer.View())
	if err != nil {
		return true, err
	}
	l.forgetEnded(snapshot.Operations)
	i := slices.IndexFunc(snapshot.Operations, fleet.Operation.Running)
	if l.busy = i >= 0; !l.busy {
		return false, nil
	}
	o := snapshot.Operations[i]
	if err := l.advance(ctx, snapshot, o, now); err != nil {
		return true, fmt.Errorf("%s: %w", o.Name, err)
	}
	return true, nil
}

// advance asks what to do next with an operation and does it.
func (l *Loop) advance(ctx context.Context, s fleet.Snapshot, o fleet.Operation, now time.Time) error {
	o = measured(s, o)
	see, err := l.look(ctx, s, o, now)
	if err != nil {
		return err
	}
	next := failover.Next(o.Plan, o.Progress, see)
	change := store.NewChange().Guard(l.term.Guard())
	progress := next.Progress
	switch next.Action {
	case failover.Run:
		if err := l.do(ctx, change, next.Step); err != nil {
			return err
		}
		progress = progress.Advance()
		l.Logger.Info("step", "operation", o.Name, "step", next.Step.Sentence)
	case failover.Stop:
		o.Metadata.State = gantryv1.OperationMetadata_STATE_FAILED
	case failover.Reverse:
		l.Logger.Warn("taking an operation back", "operation", o.Name, "reason", next.Reason)
	case failover.Done:
		o.Metadata.State = ended(progress)
	}
	if progress == o.Progress && o.Running() && o.Metadata.GetSummary() == next.Reason {
		return nil
	}
	o.Progress = progress
	o.Metadata.Problems = append(o.Metadata.Problems, next.Lacking...)
	describe(o, next.Reason, now)
	if err := o.Put(l.Store, change, now); err != nil {
		return err
	}
	_, err = l.Store.Commit(ctx, change)
	return err
}

func ended(p failover.Progress) gantryv1.OperationMetadata_State {
	if p.Reversing {
		return gantryv1.OperationMetadata_STATE_REVERSED
	}
	return gantryv1.OperationMetadata_STATE_SUCCEEDED
}

// describe brings the steps that people see up to the progress.
func describe(o fleet.Operation, reason string, now time.Time) {
	o.Metadata.Summary = reason
	for i, step := range o.Metadata.GetSteps() {
		want := gantryv1.OperationStep_STATE_PENDING
		switch {
		case i < o.Progress.Done:
			want = gantryv1.OperationStep_STATE_DONE
		case i == o.Progress.Done && !o.Progress.Reversing && o.Running():
			want, step.Detail = gantryv1.OperationStep_STATE_RUNNING, reason
		case i == o.Progress.Done && o.Metadata.GetState() == gantryv1.OperationMetadata_STATE_FAILED:
			want, step.Detail = gantryv1.OperationStep_STATE_FAILED, reason
		}
		mark(step, want, now)
	}
}

func mark(step *gantryv1.OperationStep, state gantryv1.OperationStep_State, now time.Time) {
	if step.GetState() == state {
		return
	}
	step.State = state
	if step.StartTime == nil {
		step.StartTime = timestamppb.New(now)
	}
	if state == gantryv1.OperationStep_STATE_DONE {
		step.EndTime = timestamppb.New(now)
		step.Detail = ""
	}
}
