// Package leader elects one leader among several instances and gives it what
// it needs to prove, at each write, that it still is: leadership alone is a
// hint (rule S1), and the holder must stop by its own clock (rule S4).
package leader

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/concurrency"
)

// Config is what Run needs.
type Config struct {
	Client *clientv3.Client
	// Prefix of the election's keys, for example "/gantry/leader/cluster-mgr".
	Prefix string
	// Name of this instance, shown as the leader's.
	Name string
	// TTL of leadership after the holder's death, whole seconds; 0: 6 s.
	TTL    time.Duration
	Logger *slog.Logger
}

// Term is one time of leading.
type Term struct {
	// Epoch grows with every term of any instance: the create revision of the
	// leader's key. Receivers outside etcd refuse a smaller one (rule S2).
	Epoch int64
	key   string
}

// Guard is the comparison that makes a transaction fail once the term is
// over (rule S1).
func (t Term) Guard() clientv3.Cmp {
	return clientv3.Compare(clientv3.CreateRevision(t.key), "=", t.Epoch)
}

// Run campaigns again and again until ctx ends. While this instance leads it
// runs lead with a context that ends with the term: when the session ends, or
// when no renewal was confirmed for 2/3 of the TTL by the local monotonic
// clock (rule S4). When lead returns, leadership is given up at once.
func Run(ctx context.Context, c Config, lead func(ctx context.Context, t Term) error) error {
	if c.Client == nil || c.Prefix == "" || c.Name == "" || c.Logger == nil {
		return errors.New("leader: client, prefix, name and logger are required")
	}
	if c.TTL == 0 {
		c.TTL = 6 * time.Second
	}
	for ctx.Err() == nil {
		if err := term(ctx, c, lead); err != nil && ctx.Err() == nil {
			c.Logger.Warn("term ended", "name", c.Name, "error", err.Error())
		}
		select {
		case <-ctx.Done():
		case <-time.After(time.Second):
		}
	}
	return nil
}

// term is one campaign and, if it is won, one time of leading.
func term(ctx context.Context, c Config, lead func(context.Context, Term) error) error {
	lease, err := grant(ctx, c)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	session, err := concurrency.NewSession(c.Client, concurrency.WithLease(lease), concurrency.WithContext(ctx))
	if err != nil {
		return fmt.Errorf("open a session: %w", err)
	}
	defer session.Close() //nolint:errcheck // the lease runs out by itself
	done := make(chan struct{})
	go func() { defer close(done); watchdog(ctx, c, lease, cancel) }()
	defer func() { cancel(nil); <-done }()

	election := concurrency.NewElection(session, c.Prefix)
	if err := election.Campaign(ctx, c.Name); err != nil {
		return fmt.Errorf("campaign: %w", err)
	}
	defer resign(election, c.TTL)
	go func() {
		select {
		case <-session.Done():
			cancel(errors.New("the session ended"))
		case <-ctx.Done():
		}
	}()
	t := Term{Epoch: election.Rev(), key: election.Key()}
	c.Logger.Info("leading", "name", c.Name, "epoch", t.Epoch)
	err = lead(ctx, t)
	if cause := context.Cause(ctx); cause != nil && err != nil {
		return cause
	}
	return err
}

func grant(ctx context.Context, c Config) (clientv3.LeaseID, error) {
	ctx, cancel := context.WithTimeout(ctx, c.TTL)
	defer cancel()
	r, err := c.Client.Grant(ctx, int64(c.TTL/time.Second))
	if err != nil {
		return 0, fmt.Errorf("grant a lease: %w", err)
	}
	return r.ID, nil
}

// watchdog renews the lease by its own round trips and ends the term when none
// was confirmed for 2/3 of the TTL. The time counts from before
// the request, so a paused process notices as soon as it runs again.
func watchdog(ctx context.Context, c Config, lease clientv3.LeaseID, end context.CancelCauseFunc) {
	limit := c.TTL * 2 / 3
	confirmed := time.Now()
	tick := time.NewTicker(c.TTL / 6)
	defer tick.Stop()
	for {
		asked := time.Now()
		if renew(ctx, c.Client, lease, limit-asked.Sub(confirmed)) {
			confirmed = asked
		}
		if time.Since(confirmed) >= limit {
			end(fmt.Errorf("no renewal was confirmed for %s", limit))
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func renew(ctx context.Context, c *clientv3.Client, lease clientv3.LeaseID, patience time.Duration) bool {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	r, err := c.KeepAliveOnce(ctx, lease)
	return err == nil && r.TTL > 0
}

// resign lets another instance lead without waiting for the TTL.
func resign(e *concurrency.Election, ttl time.Duration) {
	ctx, cancel := context.WithTimeout(context.Background(), ttl/3)
	defer cancel()
	_ = e.Resign(ctx) // best effort: the lease runs out by itself
}
