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
	"gantry.dev/services/cluster-mgr/internal/decision"
	"gantry.dev/services/cluster-mgr/internal/failover"
	"gantry.dev/services/cluster-mgr/internal/fleet"
	"gantry.dev/services/cluster-mgr/internal/loop"
	"gantry.dev/services/cluster-mgr/internal/observe"
	"gantry.dev/services/cluster-mgr/internal/store"
	"golang.org/x/sync/errgroup"
	"google.golang.org/protobuf/types/known/timestamppb"
)

const (
	// tick is the time between two looks at what runs, and prompt while load
	// balancer nodes are to confirm what was changed.
	tick   = 500 * time.Millisecond
	prompt = 50 * time.Millisecond
	// resync is the longest time between two looks while nothing runs (rule S3).
	resync = 30 * time.Second
)

// Observer gives what was seen last, and asks the load balancer nodes anew.
type Observer interface {
	View() observe.View
	LookAtAgents(ctx context.Context)
}

// Config is what New needs; all fields are required.
type Config struct {
	Store    *store.Store
	Observer Observer
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
	term   leader.Term
	reader *fleet.Reader
	// An operation ran at the last look: so all that it needs is read at once.
	busy bool
	// What was counted at the last weight step, by operation.
	watched map[string]watch
	// When old operations were removed last.
	aged time.Time
}

// New checks its Config.
func New(c Config, term leader.Term) (*Loop, error) {
	if c.Store == nil || c.Observer == nil || c.Pool == nil || c.Frozen == nil || c.Logger == nil {
		return nil, errors.New("operations: every field of Config is required")
	}
	return &Loop{Config: c, term: term, reader: fleet.NewReader(c.Store), watched: map[string]watch{}}, nil
}

// Run works until ctx ends. While no operation runs it waits for one to
// change, so it costs nothing.
func (l *Loop) Run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	w := loop.NewWaker()
	loop.Watch(ctx, group, l.Store.Operations, w)
	group.Go(func() error {
		for {
			next, err := l.work(ctx, time.Now())
			if err != nil && ctx.Err() == nil {
				l.Logger.Warn("operations: a look failed and will be repeated", "error", err.Error())
				next = tick
			}
			if err := rest(ctx, w, next); err != nil {
				return err
			}
		}
	})
	return group.Wait()
}

// rest waits until the next look is due.
func rest(ctx context.Context, woken loop.Waker, wait time.Duration) error {
	if wait < resync {
		woken = nil // each step is a change: it would wake at once
	}
	return loop.Rest(ctx, woken, wait)
}

// work goes one step on with the oldest operation that moves clusters, since
// its plan counts on those that it does not touch, and with all shifts of apps.
// It tells when the next look is due.
func (l *Loop) work(ctx context.Context, now time.Time) (next time.Duration, err error) {
	if !l.busy {
		live, err := l.reader.Live(ctx)
		if l.busy = slices.ContainsFunc(live, fleet.Operation.Running); err != nil {
			return resync, err
		}
		if !l.busy {
			return resync, l.age(ctx, now)
		}
	}
	snapshot, err := l.reader.Load(ctx, l.Observer.View())
	if err != nil {
		return tick, err
	}
	l.forgetEnded(snapshot.Operations)
	due := due(snapshot.Operations)
	if l.busy = len(due) > 0; !l.busy {
		return resync, nil
	}
	next = tick
	var failed error
	for _, o := range due {
		confirming, err := l.advance(ctx, snapshot, o, now)
		if err != nil {
			failed = errors.Join(failed, fmt.Errorf("%s: %w", o.Name, err))
		}
		if confirming {
			next = prompt
		}
	}
	return next, failed
}

// due are the operations to go on with.
func due(all []fleet.Operation) []fleet.Operation {
	var out []fleet.Operation
	if i := slices.IndexFunc(all, fleet.Operation.Moving); i >= 0 {
		out = append(out, all[i])
	}
	for _, o := range all {
		if o.Running() && o.Shifting() {
			out = append(out, o)
		}
	}
	return out
}

// advance asks what to do next with an operation and does it. It tells whether
// load balancer nodes are still to confirm what was changed.
func (l *Loop) advance(ctx context.Context, s fleet.Snapshot, o fleet.Operation, now time.Time) (confirming bool, err error) {
	o = measured(s, o)
	see, err := l.look(ctx, s, o, now)
	if err != nil {
		return false, err
	}
	before := o.Progress
	next := failover.Next(o.Plan, o.Progress, see)
	change := store.NewChange().Guard(l.term.Guard())
	progress := next.Progress
	switch next.Action {
	case failover.Run:
		if err := l.do(ctx, change, next.Step); err != nil {
			return false, err
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
	confirming = next.Action == failover.Run || len(see.Behind) > 0 && failover.Confirming(o.Plan, progress)
	if progress == before && o.Running() && o.Metadata.GetSummary() == next.Reason {
		return confirming, nil
	}
	o.Progress = progress
	note(o, next.Lacking)
	describe(o, next.Reason, now)
	if o.Shifting() && (next.Action == failover.Reverse || next.Action == failover.Stop) {
		l.record(change, o, before, see, next)
	}
	if err := o.Put(l.Store, change, now); err != nil {
		return false, err
	}
	_, err = l.Store.Commit(ctx, change)
	return confirming, err
}

// record keeps the decision to take a shift back, or to stop it, with all that
// it rests on (rule S5).
func (l *Loop) record(change *store.Change, o fleet.Operation, at failover.Progress, see failover.Observation, next failover.Decision) {
	in := failover.NextInput{Plan: o.Plan, Progress: at, Observation: see}
	decision.New(gantryv1.Decision_KIND_FAILOVER, o.Metadata.GetSubject(), next.Reason, in, next).
		Because("it is about "+o.Name).
		Epoch(l.term.Epoch).
		Put(l.Store, change)
}

// note adds problems that are not known yet.
func note(o fleet.Operation, problems []string) {
	for _, p := range problems {
		if !slices.Contains(o.Metadata.GetProblems(), p) {
			o.Metadata.Problems = append(o.Metadata.Problems, p)
		}
	}
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
