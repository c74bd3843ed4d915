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
	"gantry.dev/services/cluster-mgr/internal/vault"
	"golang.org/x/sync/errgroup"
)

// resync is the longest time between two passes (rule S3).
const resync = 5 * time.Second

// inFlight bounds how many questions and deletions are under way at a time.
const inFlight = 64

// Observer says what was seen last of the clusters, and when there is
// something new.
type Observer interface {
	View() observe.View
	Changed() <-chan struct{}
}

// Config is what New needs; all fields are required.
type Config struct {
	Store    *store.Store
	Pool     *clusters.Pool
	Observer Observer
	Images   fleet.ImageThere
	Vault    *vault.Vault
	Logger   *slog.Logger
}

// Loop is the reconciler of one leader's term.
type Loop struct {
	Config
	term   leader.Term
	reader *fleet.Reader

	// mu guards what this term remembers, by app and cluster.
	mu sync.Mutex
	// What was applied last, and when.
	applied map[target]applied
	// The release whose files, secrets and volumes were put there last.
	configured map[target]int
	// Since when, by our own clock, no node takes some of the replicas.
	stuck map[target]time.Time
	// Apps that are being applied; true: with more to do afterwards.
	busy map[string]bool

	slots    *slots
	applying sync.WaitGroup
	waker    loop.Waker
}

// New checks its Config.
func New(c Config, term leader.Term) (*Loop, error) {
	if c.Store == nil || c.Pool == nil || c.Observer == nil || c.Images == nil || c.Vault == nil || c.Logger == nil {
		return nil, errors.New("reconcile: every field of Config is required")
	}
	return &Loop{
		Config: c, term: term, reader: fleet.NewReader(c.Store),
		applied: map[target]applied{}, configured: map[target]int{}, stuck: map[target]time.Time{},
		busy: map[string]bool{}, slots: newSlots(), waker: loop.NewWaker(),
	}, nil
}

// Run makes a pass whenever something changed, and every five seconds.
func (l *Loop) Run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	w := l.waker
	loop.Watch(ctx, group, l.Store.Apps, w)
	loop.Watch(ctx, group, l.Store.Assignments, w)
	loop.Watch(ctx, group, l.Store.Clusters, w)
	loop.Watch(ctx, group, l.Store.Deletions, w)
	group.Go(func() error { return l.wakeBySight(ctx, w) })
	group.Go(func() error {
		return loop.OnChange(ctx, w, resync, l.Logger, "reconcile: a pass failed and will be repeated", func(ctx context.Context) error {
			return l.sweep(ctx, time.Now(), l.warn)
		})
	})
	err := group.Wait()
	l.applying.Wait()
	return err
}

func (l *Loop) warn(err error) {
	if err != nil && !errors.Is(err, context.Canceled) {
		l.Logger.Warn("reconcile: an app was not applied and will be repeated", "error", err.Error())
	}
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

// Pass observes, decides, records and applies once, and waits until all is
// applied. One app's trouble does not keep the others waiting.
func (l *Loop) Pass(ctx context.Context) error { return l.pass(ctx, time.Now()) }

func (l *Loop) pass(ctx context.Context, now time.Time) error {
	var failed errorList
	failed.add(l.sweep(ctx, now, failed.add))
	l.applying.Wait()
	return failed.join()
}

// sweep decides the apps one after the other, in memory, so that each leaves
// less room to the next, and stores what changed. What is to be applied it
// only begins, so that a slow cluster does not delay the next sweep; trouble
// with that goes to report.
func (l *Loop) sweep(ctx context.Context, now time.Time, report func(error)) error {
	// The view is older than what is read from the store, never newer: what
	// was assigned meanwhile counts as reserved.
	snapshot, err := l.reader.Load(ctx, l.Observer.View())
	if err != nil {
		return err
	}
	snapshot.Time = now
	there := l.images(snapshot)
	draft := snapshot.Draft()
	w := &work{ctx: ctx, loop: l, snapshot: snapshot, there: there, report: report}
	for _, app := range snapshot.InOrder() {
		p, err := l.place(draft, app.Value, there, now)
		if err != nil {
			w.failed.add(fmt.Errorf("place %s: %w", app.Name, err))
			continue
		}
		w.add(p)
	}
	w.flush()
	_ = w.commits.Wait() // each error is in failed
	w.failed.add(l.deletePending(ctx, snapshot))
	return w.failed.join()
}

// claim begins to apply an app, unless that is under way; then it is looked at
// again afterwards.
func (l *Loop) claim(app string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, under := l.busy[app]; under {
		l.busy[app] = true
		return false
	}
	l.busy[app] = false
	return true
}

func (l *Loop) release(app string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.busy[app] {
		l.waker.Wake()
	}
	delete(l.busy, app)
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
