// Package autoscaler keeps every app that has a policy at its target: one
// round asks each Prometheus once per metric, decides all apps in memory and
// stores only what changes.
package autoscaler

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"gantry.dev/pkg/fault"
	"gantry.dev/pkg/leader"
	gantryv1 "gantry.dev/proto/gen/gantry/v1"
	"gantry.dev/services/cluster-mgr/internal/autoscale"
	"gantry.dev/services/cluster-mgr/internal/decision"
	"gantry.dev/services/cluster-mgr/internal/fleet"
	"gantry.dev/services/cluster-mgr/internal/loop"
	"gantry.dev/services/cluster-mgr/internal/metrics"
	"gantry.dev/services/cluster-mgr/internal/observe"
	"gantry.dev/services/cluster-mgr/internal/store"
	"github.com/prometheus/client_golang/prometheus"
)

// Viewer gives what was seen last.
type Viewer interface {
	View() observe.View
}

// Config is what New needs; all fields are required.
type Config struct {
	Store    *store.Store
	Observer Viewer
	// How often to decide.
	Interval time.Duration
	// How often a pod's sample is renewed at the latest.
	SampleInterval time.Duration
	// Frozen says why nothing may be decided now; empty: go on (rule C3).
	Frozen func() string
	Logger *slog.Logger
	// Decisions counts by reason code.
	Decisions *prometheus.CounterVec
	// Rounds measures whole rounds, in seconds.
	Rounds prometheus.Histogram
}

// NewCounter makes the counter of Config.Decisions.
func NewCounter() *prometheus.CounterVec {
	return prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "gantry_autoscale_decisions_total",
		Help: "Decisions of the autoscaler by action and reason.",
	}, []string{"action", "reason"})
}

// NewHistogram makes the histogram of Config.Rounds.
func NewHistogram() prometheus.Histogram {
	return prometheus.NewHistogram(prometheus.HistogramOpts{
		Name:    "gantry_autoscale_round_seconds",
		Help:    "Time of a round over all apps: read, ask, decide, store.",
		Buckets: prometheus.ExponentialBuckets(0.005, 2, 12),
	})
}

// Loop is the autoscaler of one leader's term. What it remembers between
// rounds starts empty with each term, so a new leader does not shrink anything
// before it has seen a whole window itself (rule A2).
type Loop struct {
	Config
	term   leader.Term
	reader *fleet.Reader
	source *metrics.Source
	memory map[string]memory
	// When the last round over all apps began.
	last time.Time
}

// memory is what one round leaves for the next, by app.
type memory struct {
	history   []autoscale.Recommendation
	holdSince int64
	growths   []autoscale.Growth
	heard     heard
	schedules schedules
	// It has no replica: a held request wakes it at once.
	asleep bool
}

// New checks its Config.
func New(c Config, term leader.Term) (*Loop, error) {
	if c.Store == nil || c.Observer == nil || c.Interval <= 0 || c.SampleInterval <= 0 || c.Frozen == nil || c.Logger == nil || c.Decisions == nil || c.Rounds == nil {
		return nil, errors.New("autoscaler: every field of Config is required")
	}
	return &Loop{
		Config: c, term: term, reader: fleet.NewReader(c.Store),
		source: metrics.New(c.SampleInterval), memory: map[string]memory{},
	}, nil
}

// beat is the time between two looks at held requests.
const beat = time.Second

// Run makes a round per interval, and wakes who is asleep and called, until
// ctx ends.
func (l *Loop) Run(ctx context.Context) error {
	defer l.source.Close()
	return loop.Every(ctx, min(beat, l.Interval), l.Logger, "autoscaler: a round failed, replicas stay as they are", l.look)
}

func (l *Loop) look(ctx context.Context, now time.Time) error {
	// A tick may come a little early.
	if l.last.IsZero() || now.Sub(l.last) > l.Interval-beat/4 {
		l.last = now
		return l.round(ctx, now, nil)
	}
	traffic, _ := l.Observer.View().Traffic(now)
	called := map[string]bool{}
	for app, m := range l.memory {
		if m.asleep && traffic[app].Held > 0 {
			called[app] = true
		}
	}
	if len(called) == 0 {
		return nil
	}
	return l.round(ctx, now, called)
}

// round decides for all apps that have a policy, or only for some.
func (l *Loop) round(ctx context.Context, now time.Time, only map[string]bool) error {
	start := time.Now()
	defer func() { l.Rounds.Observe(time.Since(start).Seconds()) }()
	snapshot, err := l.reader.Load(ctx, l.Observer.View())
	if err != nil {
		return err
	}
	var apps []*gantryv1.App
	for _, app := range snapshot.Apps {
		if app.Value.GetSpec().GetAutoscale() != nil && (only == nil || only[app.Name]) {
			apps = append(apps, app.Value)
		}
	}
	r := round{Snapshot: snapshot, now: now, pods: podsByApp(snapshot.View)}
	r.traffic, r.unknown = snapshot.View.Traffic(now)
	if only == nil {
		r.answers = l.ask(ctx, snapshot, apps)
		l.forget(apps)
	}
	var failed error
	var scaled []move
	for _, app := range apps {
		m, err := l.decide(r, app)
		if err != nil {
			failed = errors.Join(failed, err)
			continue
		}
		failed = errors.Join(failed, l.alarms(ctx, snapshot, m))
		if m.out.Desired != m.in.Current {
			scaled = append(scaled, m)
		}
	}
	return errors.Join(failed, l.store(ctx, snapshot, scaled))
}

// forget drops what is remembered of apps that have no policy any more.
func (l *Loop) forget(apps []*gantryv1.App) {
	kept := make(map[string]memory, len(apps))
	for _, app := range apps {
		kept[app.GetName()] = l.memory[app.GetName()]
	}
	l.memory = kept
}

// move is a decision with its input.
type move struct {
	in  autoscale.Input
	out autoscale.Decision
}

func (l *Loop) decide(r round, app *gantryv1.App) (move, error) {
	in, next, err := l.input(r, app)
	if err != nil {
		return move{}, err
	}
	out := autoscale.Decide(in)
	l.Decisions.WithLabelValues(out.Action, out.ReasonCode).Inc()
	l.Logger.Debug("autoscale", "app", in.App, "action", out.Action, "formula", out.Formula, "reason", out.Reason)
	next.history, next.holdSince, next.growths, next.asleep = out.History, out.HoldSinceUnix, out.Growths, out.Desired == 0
	l.memory[in.App] = next
	return move{in, out}, nil
}

// batch is how many apps are stored in one transaction, of which etcd takes 128
// operations.
const batch = 40

// tries bounds how often numbers are stored anew in a round.
const tries = 3

// store writes the changed numbers, many in a transaction. A steady app costs
// no write.
func (l *Loop) store(ctx context.Context, s fleet.Snapshot, scaled []move) error {
	var failed error
	for some := range slices.Chunk(scaled, batch) {
		failed = errors.Join(failed, l.storeBatch(ctx, s, some))
	}
	return failed
}

// storeBatch writes numbers in one transaction. Meanwhile the reconciler may
// have written where an app's replicas are: that is no reason to wait for the
// next round. An app that is different now, or whose number somebody else has
// changed, is left to it.
func (l *Loop) storeBatch(ctx context.Context, s fleet.Snapshot, moves []move) error {
	err := l.commit(ctx, s, moves)
	for try := 1; try < tries && fault.HasReason(err, "CHANGED_MEANWHILE"); try++ {
		now, failed := l.reader.Load(ctx, s.View)
		if failed != nil {
			return errors.Join(err, failed)
		}
		moves = slices.DeleteFunc(slices.Clone(moves), func(m move) bool {
			return now.Assignments[m.in.App].Value.Desired != m.in.Current || now.Revision(m.in.App) != s.Revision(m.in.App)
		})
		if len(moves) == 0 {
			return nil
		}
		err = l.commit(ctx, now, moves)
	}
	return err
}

func (l *Loop) commit(ctx context.Context, s fleet.Snapshot, moves []move) error {
	change := store.NewChange().Guard(l.term.Guard())
	for _, m := range moves {
		item := s.Assignments[m.in.App]
		next := item.Value
		next.Desired = m.out.Desired
		decision.Autoscale(m.in, m.out).Epoch(l.term.Epoch).Put(l.Store, change)
		l.Store.Apps.Expect(change, m.in.App, s.Revision(m.in.App))
		l.Store.Assignments.Put(change, m.in.App, next, item.ModRevision)
	}
	if _, err := l.Store.Commit(ctx, change); err != nil {
		return fmt.Errorf("scale %s: %w", moves[0].in.App, err)
	}
	for _, m := range moves {
		l.Logger.Info("scaled", "app", m.in.App, "from", m.in.Current, "to", m.out.Desired, "formula", m.out.Formula)
	}
	return nil
}

// Kinds of the autoscaler's alarms.
const (
	alarmHold    = "AutoscaleHold"
	alarmUseless = "AutoscaleUseless"
)

// alarms raises or ends the alarms about missing data (rule A4) and about
// growing that does not help.
func (l *Loop) alarms(ctx context.Context, s fleet.Snapshot, m move) error {
	return errors.Join(l.alarm(ctx, s, alarmHold, m.in.App, m.out.Alarm), l.alarm(ctx, s, alarmUseless, m.in.App, m.out.Useless))
}

func (l *Loop) alarm(ctx context.Context, s fleet.Snapshot, kind, app, sentence string) error {
	switch fires := s.Firing[decision.AlarmName(kind, app)]; {
	case sentence != "" && !fires:
		return decision.RaiseAlarm(ctx, l.Store, l.term.Guard(), &gantryv1.Alarm{Kind: kind, Subject: app, Summary: sentence})
	case sentence == "" && fires:
		return decision.EndAlarm(ctx, l.Store, l.term.Guard(), kind, app)
	}
	return nil
}
