package leader_test

import (
	"context"
	"log/slog"
	"sync/atomic"
	"testing"
	"time"

	"gantry.dev/pkg/etcdkv/etcdtest"
	"gantry.dev/pkg/leader"
	clientv3 "go.etcd.io/etcd/client/v3"
)

const patience = 30 * time.Second

func config(client *clientv3.Client, name string) leader.Config {
	return leader.Config{Client: client, Prefix: "/test/leader", Name: name, TTL: 3 * time.Second, Logger: slog.New(slog.DiscardHandler)}
}

// campaign runs an instance until the test ends; terms are given on the
// channel, and each is held until its context ends.
func campaign(t *testing.T, ctx context.Context, client *clientv3.Client, name string) <-chan leader.Term {
	t.Helper()
	terms, done := make(chan leader.Term, 10), make(chan struct{})
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		defer close(done)
		if err := leader.Run(ctx, config(client, name), func(ctx context.Context, term leader.Term) error {
			terms <- term
			<-ctx.Done()
			return ctx.Err()
		}); err != nil {
			t.Error(err)
		}
	}()
	t.Cleanup(func() { cancel(); <-done })
	return terms
}

func next(t *testing.T, terms <-chan leader.Term) leader.Term {
	t.Helper()
	select {
	case term := <-terms:
		return term
	case <-time.After(patience):
		t.Fatal("nobody leads")
		return leader.Term{}
	}
}

// rule S1: a write of a former leader fails, whatever its holder believes.
// rule S2: epochs grow.
func TestAFormerLeadersWriteIsRefused(t *testing.T) {
	server := etcdtest.Start(t)
	client := server.Client(t)
	ctx, stop := context.WithCancel(t.Context())
	first := next(t, campaign(t, ctx, client, "one"))
	if !write(t, client, first) {
		t.Fatal("the leader's write was refused")
	}
	stop()
	second := next(t, campaign(t, t.Context(), client, "two"))
	if second.Epoch <= first.Epoch {
		t.Errorf("epoch went from %d to %d", first.Epoch, second.Epoch)
	}
	if write(t, client, first) {
		t.Error("a former leader's write was accepted")
	}
	if !write(t, client, second) {
		t.Error("the new leader's write was refused")
	}
}

func write(t *testing.T, client *clientv3.Client, term leader.Term) bool {
	t.Helper()
	r, err := client.Txn(t.Context()).If(term.Guard()).Then(clientv3.OpPut("/test/value", "x")).Commit()
	if err != nil {
		t.Fatal(err)
	}
	return r.Succeeded
}

func TestOneLeadsAtATime(t *testing.T) {
	server := etcdtest.Start(t)
	var leading atomic.Int32
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan struct{})
	for _, name := range []string{"one", "two", "three"} {
		client := server.Client(t)
		go func() {
			defer func() { done <- struct{}{} }()
			_ = leader.Run(ctx, config(client, name), func(ctx context.Context, _ leader.Term) error {
				if n := leading.Add(1); n != 1 {
					t.Errorf("%d lead", n)
				}
				defer leading.Add(-1)
				select {
				case <-ctx.Done():
				case <-time.After(50 * time.Millisecond):
				}
				return nil
			})
		}()
	}
	time.Sleep(2 * time.Second) // several terms of each
	stop()
	for range 3 {
		<-done
	}
}

// rule S4: a leader that cannot renew stops by its own clock.
func TestALeaderWithoutEtcdStopsByItself(t *testing.T) {
	server := etcdtest.Start(t)
	client := server.Client(t)
	ended, started, done := make(chan time.Time, 1), make(chan struct{}), make(chan struct{})
	ctx, stop := context.WithCancel(t.Context())
	go func() {
		defer close(done)
		_ = leader.Run(ctx, config(client, "one"), func(ctx context.Context, _ leader.Term) error {
			close(started)
			<-ctx.Done()
			ended <- time.Now()
			stop()
			return ctx.Err()
		})
	}()
	<-started
	stopped := time.Now()
	server.Stop()
	select {
	case at := <-ended:
		if took := at.Sub(stopped); took > 3*time.Second {
			t.Errorf("it led for %s without etcd, longer than its TTL", took)
		}
	case <-time.After(patience):
		t.Fatal("it went on leading without etcd")
	}
	<-done
}
