// Package admission is the one gate of portal: who calls, for how long, and
// how much at once. REST and gRPC calls both pass it.
package admission

import (
	"context"
	"errors"
	"sync"
	"time"

	"gantry.dev/pkg/fault"
	"gantry.dev/services/portal/internal/auth"
	"gantry.dev/services/portal/internal/methods"
)

// Config bounds calls (rule E4).
type Config struct {
	Verifier *auth.Verifier
	// CallTimeout bounds every call that is not a stream; a shorter deadline of
	// the caller wins.
	CallTimeout time.Duration
	// CallsPerUser and StreamsPerUser bound what one user has open at once.
	CallsPerUser, StreamsPerUser int
}

// A Gate lets calls in; safe for concurrent use.
type Gate struct {
	cfg Config

	mu      sync.Mutex
	open    map[slot]int
	streams map[*stream]bool
	closed  bool
}

// stream is one open stream, to be ended when portal stops.
type stream struct{ end context.CancelCauseFunc }

// slot is what is counted: a user's calls and streams apart.
type slot struct {
	user    string
	streams bool
}

// New returns a Gate.
func New(cfg Config) *Gate {
	return &Gate{cfg: cfg, open: map[slot]int{}, streams: map[*stream]bool{}}
}

// Authenticate returns ctx with the caller that the Authorization header
// proves; without one the error is KindUnauthenticated.
func (g *Gate) Authenticate(ctx context.Context, authorization []string) (context.Context, error) {
	caller, err := g.cfg.Verifier.Authenticate(ctx, authorization)
	if err != nil {
		return nil, err
	}
	return auth.NewContext(ctx, caller), nil
}

// Enter lets an authenticated call in and gives it a deadline; a stream ends
// when the token does. The caller of Enter calls leave once the call is over.
func (g *Gate) Enter(ctx context.Context, m methods.Method) (_ context.Context, leave func(), err error) {
	caller, ok := auth.FromContext(ctx)
	if !ok {
		return nil, nil, fault.Unauthenticated("TOKEN_MISSING", "the call has no authenticated user; send a token")
	}
	s := slot{user: caller.User, streams: m.Streams}
	if err := g.take(s); err != nil {
		return nil, nil, err
	}
	if m.Streams {
		ctx, end := g.enterStream(ctx, caller)
		return ctx, func() { end(); g.give(s) }, nil
	}
	ctx, cancel := context.WithTimeout(ctx, g.cfg.CallTimeout)
	return ctx, func() { cancel(); g.give(s) }, nil
}

// enterStream gives a stream a context that ends with the token or the gate.
// It has no deadline: that would be passed on, and the backend would end the
// stream first, without the reason.
func (g *Gate) enterStream(ctx context.Context, caller auth.Caller) (context.Context, func()) {
	ctx, end := context.WithCancelCause(ctx)
	expiry := time.AfterFunc(time.Until(caller.Expires), func() {
		end(fault.Unauthenticated("TOKEN_EXPIRED", "the token has expired; get a new one and try again"))
	})
	st := &stream{end}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.streams[st] = true
	if g.closed {
		end(stopping())
	}
	return ctx, func() {
		expiry.Stop()
		end(nil)
		g.mu.Lock()
		defer g.mu.Unlock()
		delete(g.streams, st)
	}
}

// Close ends all streams, now and from now on, so that they do not hold up
// portal's stop; calls go on.
func (g *Gate) Close() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.closed = true
	for st := range g.streams {
		st.end(stopping())
	}
}

func stopping() error {
	return fault.Unavailable("PORTAL_STOPPING", "portal is being restarted; watch again from the last resource_version")
}

// Outcome turns the error of a call that Enter let in into a gRPC status. When
// the gate ended the call, it says why.
func Outcome(ctx context.Context, err error) error {
	var f *fault.Error
	if err != nil && ctx.Err() != nil && errors.As(context.Cause(ctx), &f) {
		return fault.ToStatus(f).Err()
	}
	return err
}

func (g *Gate) take(s slot) error {
	limit := g.cfg.CallsPerUser
	if s.streams {
		limit = g.cfg.StreamsPerUser
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.open[s] >= limit {
		return fault.Exhausted("TOO_MANY_CALLS",
			"%s has %d calls open already, the most allowed at once; wait for some to end", s.user, limit)
	}
	g.open[s]++
	return nil
}

func (g *Gate) give(s slot) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.open[s]--
	if g.open[s] == 0 {
		delete(g.open, s)
	}
}
