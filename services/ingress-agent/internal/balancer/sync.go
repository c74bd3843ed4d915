package balancer

import (
	"context"
	"errors"
	"log/slog"
	"time"
)

// Wanted is what Nginx should hold.
type Wanted struct {
	Table Table
	// Pods that do not answer, "host:port".
	Down []string
	// Generation of the GatewayConfig in effect; 0: not known.
	Config int64
}

const (
	// coalesce joins the changes of a moment into one push.
	coalesce = 2 * time.Millisecond
	// heartbeat repeats the marks before they end and finds a lost table.
	heartbeat = 3 * time.Second
	// retryPause follows a failed push.
	retryPause = 100 * time.Millisecond
)

// SyncConfig is what NewSyncer needs; all is required.
type SyncConfig struct {
	Client *Client
	// Wanted is asked before each push; it must not block. Until it says ok
	// nothing is pushed: an agent that knows nothing leaves what is served.
	Wanted func() (w Wanted, ok bool)
	Logger *slog.Logger
	// Pushed is called after a push that changed the table; it must not block.
	Pushed func()
}

// Syncer keeps the table in Nginx equal to the wanted one.
type Syncer struct {
	config SyncConfig
	wake   chan struct{}

	// Only Run uses these. generation 0: what Nginx holds is not known.
	generation int64
	sent       map[string]string
	sentConfig int64
	// What was wanted last, pushed or not.
	last    encoded
	failing bool
}

// NewSyncer makes a Syncer; Run does the work.
func NewSyncer(c SyncConfig) *Syncer {
	return &Syncer{config: c, wake: make(chan struct{}, 1)}
}

// Wake says that Wanted may give something new. It never blocks.
func (s *Syncer) Wake() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// Run pushes changes until ctx ends. A dead Nginx is tried again; when it is
// back it gets the whole table.
func (s *Syncer) Run(ctx context.Context) error {
	beat := time.NewTicker(heartbeat)
	defer beat.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-s.wake:
			pause(ctx, coalesce)
		case <-beat.C:
		}
		s.try(ctx)
	}
}

// try pushes and, when that fails, sees to it that it is tried again.
func (s *Syncer) try(ctx context.Context) {
	err := s.push(ctx)
	if errors.Is(err, errBase) { // Nginx was restarted: once more, whole
		err = s.push(ctx)
	}
	if ctx.Err() != nil {
		return
	}
	if (err != nil) != s.failing {
		s.failing = err != nil
		if err != nil {
			s.config.Logger.Warn("nginx takes no endpoints; trying again", "error", err.Error())
		} else {
			s.config.Logger.Info("nginx takes endpoints", "generation", s.generation, "upstreams", len(s.sent))
		}
	}
	if err != nil {
		pause(ctx, retryPause)
		s.Wake()
	}
}

func (s *Syncer) push(ctx context.Context) (err error) {
	wanted, ok := s.config.Wanted()
	if !ok {
		return nil
	}
	s.last, err = wanted.Table.encode(s.last)
	if err != nil {
		return err
	}
	table := s.last.texts
	if s.generation == 0 {
		return s.pushAll(ctx, wanted, table)
	}
	set, gone := diff(s.sent, table)
	changed := len(set)+len(gone) > 0 || wanted.Config != s.sentConfig
	next := s.generation
	if changed {
		next++
	}
	err = s.config.Client.push(ctx, change{
		Base: s.generation, Generation: next, Set: set, Delete: gone, Down: notNil(wanted.Down), Config: wanted.Config,
	})
	return s.done(err, next, table, wanted.Config, changed)
}

// pushAll sends the whole table in parts; the generation continues from what
// Nginx holds, so that it never goes back.
func (s *Syncer) pushAll(ctx context.Context, wanted Wanted, table map[string]string) error {
	status, err := s.config.Client.Status(ctx)
	if err != nil {
		return err
	}
	next := status.Generation + 1
	for _, c := range chunks(table) {
		c.Generation = next
		c.Down, c.Config = notNil(wanted.Down), wanted.Config
		if err := s.config.Client.push(ctx, c); err != nil {
			return s.done(err, 0, nil, 0, false)
		}
	}
	return s.done(nil, next, table, wanted.Config, true)
}

func (s *Syncer) done(err error, generation int64, table map[string]string, config int64, changed bool) error {
	if err != nil {
		s.generation, s.sent = 0, nil
		return err
	}
	s.generation, s.sent, s.sentConfig = generation, table, config
	if changed {
		s.config.Pushed()
	}
	return nil
}

func notNil(list []string) []string { return append([]string{}, list...) }

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}
