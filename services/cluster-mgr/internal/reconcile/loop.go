// Package reconcile makes every cluster run what is wanted: it places the
// replicas of each app, records why, and applies each cluster's part.
package reconcile

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"gantry.dev/pkg/leader"
	"gantry.dev/services/cluster-mgr/internal/clusters"
	"gantry.dev/services/cluster-mgr/internal/fleet"
	"gantry.dev/services/cluster-mgr/internal/loop"
	"gantry.dev/services/cluster-mgr/internal/observe"
	"gantry.dev/services/cluster-mgr/internal/store"
	"golang.org/x/sync/errgroup"
)

// resync is the longest time between two passes (rule S3).
const resync = 5 * time.Second

// inFlight bounds the calls to all clusters at a time.
const inFlight = 32

// Config is what New needs.
type Config struct {
	Store    *store.Store
	Pool     *clusters.Pool
	Observer *observe.Observer
	Images   fleet.ImageThere
	Logger   *slog.Logger
}

// Loop is the reconciler of one leader's term.
type Loop struct {
	Config
	term leader.Term

	mu sync.Mutex
	// What was applied last in this term, by app and cluster.
	applied map[target]wanted
}

// New checks its Config.
func New(c Config, term leader.Term) (*Loop, error) {
	if c.Store == nil || c.Pool == nil || c.Observer == nil || c.Images == nil || c.Logger == nil {
		return nil, errors.New("reconcile: every field of Config is required")
	}
	return &Loop{Config: c, term: term, applied: map[target]wanted{}}, nil
}

// Run makes a pass whenever something changed, and every five seconds.
func (l *Loop) Run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	w := loop.NewWaker()
	loop.Watch(ctx, group, l.Store.Apps, w)
	loop.Watch(ctx, group, l.Store.Assignments, w)
	loop.Watch(ctx, group, l.Store.Clusters, w)
	loop.Watch(ctx, group, l.Store.Deletions, w)
	group.Go(func() error { return l.wakeBySight(ctx, w) })
	group.Go(func() error {
		return loop.OnChange(ctx, w, resync, l.Logger, "reconcile: a pass failed and will be repeated", l.pass)
	})
	return group.Wait()
}

// wakeBySight wakes w when the observer sees something new.
func (l *Loop) wakeBySight(ctx context.Context, w loop.Waker) error {
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-l.Observer.Changed():
			w.Wake()
		}
	}
}

// pass observes, decides, records and applies. One app's trouble does not
// keep the others waiting.
func (l *Loop) pass(ctx context.Context) error {
	snapshot, err := fleet.Load(ctx, l.Store, l.Observer.View())
	if err != nil {
		return err
	}
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(inFlight)
	var failed errorList
	for _, app := range snapshot.Apps {
		assignment, err := l.place(ctx, snapshot, app.Value)
		if err != nil {
			failed.add(fmt.Errorf("place %s: %w", app.Name, err))
			continue
		}
		for _, w := range plan(snapshot, app.Value, assignment) {
			group.Go(func() error {
				failed.add(l.apply(groupCtx, snapshot, w))
				return nil
			})
		}
	}
	_ = group.Wait() // each error is in failed
	failed.add(l.deletePending(ctx, snapshot))
	return failed.join()
}

// errorList collects errors of concurrent work.
type errorList struct {
	mu   sync.Mutex
	errs []error
}

func (e *errorList) add(err error) {
	if err == nil {
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.errs = append(e.errs, err)
}

func (e *errorList) join() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	return errors.Join(e.errs...)
}
