// Package audit records the calls that go through portal: a log line for each
// change, a count for every call.
package audit

import (
	"context"
	"log/slog"
	"time"

	"gantry.dev/services/portal/internal/auth"
	"gantry.dev/services/portal/internal/methods"
	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Log records calls; safe for concurrent use.
type Log struct {
	logger *slog.Logger
	calls  *prometheus.HistogramVec
	now    func() time.Time
}

// New returns a Log that writes to logger and counts in registry.
func New(logger *slog.Logger, registry prometheus.Registerer, now func() time.Time) (*Log, error) {
	calls := prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name:    "gantry_portal_call_seconds",
		Help:    "Calls that portal passed on, by method, protocol and code.",
		Buckets: []float64{0.005, 0.02, 0.1, 0.5, 2, 10, 60},
	}, []string{"method", "protocol", "code"})
	if err := registry.Register(calls); err != nil {
		return nil, err
	}
	return &Log{logger: logger, calls: calls, now: now}, nil
}

// Call is one call under way.
type Call struct {
	log      *Log
	method   methods.Method
	protocol string
	start    time.Time
	// Resource is the name of what the call is about; set it before End.
	Resource string
}

// Begin starts a record. Protocol is "rest" or "grpc".
func (l *Log) Begin(m methods.Method, protocol string) *Call {
	return &Call{log: l, method: m, protocol: protocol, start: l.now()}
}

// End writes the record with the call's outcome.
func (c *Call) End(ctx context.Context, err error) {
	code := status.Code(err)
	took := c.log.now().Sub(c.start)
	c.log.calls.WithLabelValues(c.method.Name, c.protocol, code.String()).Observe(took.Seconds())
	if !c.method.Mutates || c.method.Input == nil {
		return
	}
	caller, _ := auth.FromContext(ctx)
	level := slog.LevelInfo
	if code == codes.Internal || code == codes.Unknown {
		level = slog.LevelError
	}
	c.log.logger.LogAttrs(ctx, level, "audit",
		slog.String("user", caller.User),
		slog.String("method", c.method.Name),
		slog.String("resource", c.Resource),
		slog.String("code", code.String()),
		slog.String("protocol", c.protocol),
		slog.Duration("took", took))
}
