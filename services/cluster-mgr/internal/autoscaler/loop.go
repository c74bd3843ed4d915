// Package autoscaler keeps every app that has a policy at its target: one
// round asks each Prometheus once per metric, decides all apps in memory and
// stores only what changes.
package autoscaler

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

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

// Config is what New needs; all fields are required.
type Config struct {
	Store    *store.Store
	Observer *observe.Observer
	// How often to decide.
	Interval time.Duration
	// How often a pod's sample is renewed at the latest.
	SampleInterval time.Duration
	// Frozen says why nothing may be decided now; empty: go on (rule C3).
	Frozen func() string
	Logger *slog.Logger
	// Decisions counts by reason code.
	Decisions *prometheus.CounterVec
}

// NewCounter makes the counter of Config.Decisions.
func NewCounter() *prometheus.CounterVec {
	return prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "gantry_autoscale_decisions_total",
		Help: "Decisions of the autoscaler by action and reason.",
	}, []string{"action", "reason"})
}

// Loop is the autoscaler of one leader's term. What it remembers between
// rounds starts empty with each term, so a new leader does not shrink anything
// before it has seen a whole window itself (rule A2).
type Loop struct {
	Config
	term   leader.Term
	source *metrics.Source
	memory map[string]memory
}

// memory is what one round leaves for the next, by app.
type memory struct {
	history   []autoscale.Recommendation
	holdSince int64
}

// New checks its Config.
func New(c Config, term leader.Term) (*Loop, error) {
	if c.Store == nil || c.Observer == nil || c.Interval <= 0 || c.SampleInterval <= 0 || c.Frozen == nil || c.Logger == nil || c.Decisions == nil {
		return nil, errors.New("autoscaler: every field of Config is required")
	}
	return &Loop{Config: c, term: term, source: metrics.New(c.SampleInterval), memory: map[string]memory{}}, nil
}

// Run makes a round per interval until ctx ends.
func (l *Loop) Run(ctx context.Context) error {
	return loop.Every(ctx, l.Interval, l.Logger, "autoscaler: a round failed, replicas stay as they are", l.round)
}

func (l *Loop) round(ctx context.Context, now time.Time) error {
	snapshot, err := fleet.Load(ctx, l.Store, l.Observer.View())
	if err != nil {
		return err
	}
	answers := l.ask(ctx, snapshot)
	kept := make(map[string]memory, len(l.memory))
	var failed error
	for _, app := range snapshot.Apps {
		if app.Value.GetSpec().GetAutoscale() == nil {
			continue
		}
		in, err := l.input(snapshot, app.Value, answers, now)
		if err != nil {
			failed = errors.Join(failed, err)
			continue
		}
		out := autoscale.Decide(in)
		l.Decisions.WithLabelValues(out.Action, out.ReasonCode).Inc()
		l.Logger.Debug("autoscale", "app", in.App, "action", out.Action, "formula", out.Formula, "reason", out.Reason)
		kept[app.Name] = memory{history: out.History, holdSince: out.HoldSinceUnix}
		failed = errors.Join(failed, l.store(ctx, snapshot, in, out))
	}
	l.memory = kept
	return failed
}

// store writes a changed number, and raises or ends the alarm about missing
// data (rule A4). A steady app costs no write.
func (l *Loop) store(ctx context.Context, s fleet.Snapshot, in autoscale.Input, out autoscale.Decision) error {
	if err := l.alarm(ctx, s, in.App, out.Alarm); err != nil {
		return err
	}
	if out.Desired == in.Current {
		return nil
	}
	item := s.Assignments[in.App]
	next := item.Value
	next.Desired = out.Desired
	change := store.NewChange().Guard(l.term.Guard())
	decision.Autoscale(in, out).Epoch(l.term.Epoch).Put(l.Store, change)
	l.Store.Assignments.Put(change, in.App, next, item.ModRevision)
	if _, err := l.Store.Commit(ctx, change); err != nil {
		return fmt.Errorf("scale %s: %w", in.App, err)
	}
	l.Logger.Info("scaled", "app", in.App, "from", in.Current, "to", out.Desired, "formula", out.Formula)
	return nil
}

func (l *Loop) alarm(ctx context.Context, s fleet.Snapshot, app, sentence string) error {
	const kind = "AutoscaleHold"
	switch fires := s.Firing[decision.AlarmName(kind, app)]; {
	case sentence != "" && !fires:
		return decision.RaiseAlarm(ctx, l.Store, l.term.Guard(), &gantryv1.Alarm{Kind: kind, Subject: app, Summary: sentence})
	case sentence == "" && fires:
		return decision.EndAlarm(ctx, l.Store, l.term.Guard(), kind, app)
	}
	return nil
}
