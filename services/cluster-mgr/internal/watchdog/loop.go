// Package watchdog decides how each cluster is, tells people, and prepares
// what to do when one is lost.
package watchdog

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"gantry.dev/pkg/fault"
	"gantry.dev/pkg/leader"
	"gantry.dev/services/cluster-mgr/internal/fleet"
	"gantry.dev/services/cluster-mgr/internal/health"
	"gantry.dev/services/cluster-mgr/internal/loop"
	"gantry.dev/services/cluster-mgr/internal/observe"
	"gantry.dev/services/cluster-mgr/internal/planning"
	"gantry.dev/services/cluster-mgr/internal/store"
)

// Viewer gives what was seen last.
type Viewer interface {
	View() observe.View
}

// Config is what New needs; all fields but Settings are required.
type Config struct {
	Store    *store.Store
	Observer Viewer
	Planner  *planning.Planner
	// Time between two looks.
	Interval time.Duration
	Settings health.Settings
	Logger   *slog.Logger
}

// Loop is the watchdog of one leader's term.
type Loop struct {
	Config
	term   leader.Term
	reader *fleet.Reader
	// What was decided last, by cluster name.
	states map[string]health.State

	// When it looked first, and whether anybody has reached a cluster since.
	began   time.Time
	reached bool

	mu     sync.Mutex
	freeze health.Freeze
}

// New checks its Config.
func New(c Config, term leader.Term) (*Loop, error) {
	if c.Store == nil || c.Observer == nil || c.Planner == nil || c.Interval <= 0 || c.Logger == nil {
		return nil, errors.New("watchdog: store, observer, planner, interval and logger are required")
	}
	return &Loop{Config: c, term: term, reader: fleet.NewReader(c.Store), states: map[string]health.State{}}, nil
}

// Frozen says why automation must keep its hands off now; empty: it need not
// (rule C3).
func (l *Loop) Frozen() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.freeze.Frozen {
		return ""
	}
	return l.freeze.Reason
}

// Run looks once per interval until ctx ends.
func (l *Loop) Run(ctx context.Context) error {
	if err := l.resume(ctx); err != nil {
		return err
	}
	return loop.Every(ctx, l.Interval, l.Logger, "watchdog: a look failed and will be repeated", l.look)
}

// look decides all clusters once.
func (l *Loop) look(ctx context.Context, now time.Time) error {
	snapshot, err := l.reader.Load(ctx, l.Observer.View())
	if err != nil {
		return err
	}
	lost, err := l.leaseLost(ctx)
	if err != nil {
		return err
	}
	in := health.Input{NowUnixMilli: now.UnixMilli(), Settings: l.Settings, OwnLeaseLost: lost, Freeze: l.lastFreeze()}
	for _, c := range snapshot.Clusters {
		in.Clusters = append(in.Clusters, health.Cluster{
			Name:         c.Name,
			Prev:         l.states[c.Name],
			Observations: observations(snapshot.View, c.Value),
		})
	}
	out := health.DecideAll(in)
	l.setFreeze(out.Freeze)
	if lost {
		return errors.New(out.Alarm) // nothing that this look found may be stored (rule S1)
	}
	failed := errors.Join(l.alarmFreeze(ctx, snapshot, out.Alarm, l.starting(out, now)), l.alarmVipConflicts(ctx, snapshot))
	for _, s := range out.States {
		failed = errors.Join(failed, l.settle(ctx, snapshot, in, s))
	}
	return errors.Join(failed, l.consent(ctx, snapshot, now))
}

// leaseLost tells whether somebody else may lead by now: the context of the
// term ends a little later than the lease may (rule C3). It writes nothing.
func (l *Loop) leaseLost(ctx context.Context) (bool, error) {
	_, err := l.Store.Commit(ctx, store.NewChange().Guard(l.term.Guard()))
	if fault.HasReason(err, "NOT_LEADER") {
		return true, nil
	}
	return false, err
}

// startTime is how long a leader that nobody has answered yet keeps a freeze to
// itself: where the whole platform is being started, clusters come after it.
const startTime = time.Minute

// starting tells whether people are not yet to hear of a freeze. The freeze
// itself holds from its first moment.
func (l *Loop) starting(d health.Decision, now time.Time) bool {
	if l.began.IsZero() {
		l.began = now
	}
	for _, s := range d.States {
		l.reached = l.reached || s.State.ReachedUnixMilli >= l.began.UnixMilli()
	}
	return !l.reached && now.Sub(l.began) < startTime
}

// settle stores what is new about a cluster. What could not be stored is
// decided and stored again with the next look.
func (l *Loop) settle(ctx context.Context, s fleet.Snapshot, in health.Input, next health.Named) error {
	prev := l.states[next.Name]
	if next.State.Changed || voicesChanged(prev, next.State) {
		if err := l.record(ctx, s, in, prev, next); err != nil {
			return err
		}
	}
	l.states[next.Name] = next.State
	return nil
}

// voicesChanged tells whether some voice says something else than before.
func voicesChanged(prev, next health.State) bool {
	if len(prev.Voices) != len(next.Voices) {
		return true
	}
	for i := range next.Voices {
		a, b := prev.Voices[i], next.Voices[i]
		if a.Vantage != b.Vantage || a.Subject != b.Subject || a.OK != b.OK {
			return true
		}
	}
	return false
}

func (l *Loop) lastFreeze() health.Freeze {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.freeze
}

func (l *Loop) setFreeze(f health.Freeze) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.freeze = f
}
