// Package termtest gives tests a leader's term.
package termtest

import (
	"context"
	"log/slog"
	"sync"
	"testing"
	"time"

	"gantry.dev/pkg/leader"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// Lead wins an election and holds the term until stop is called or the test
// ends. Nobody else may lead meanwhile.
func Lead(t *testing.T, client *clientv3.Client, name string) (term leader.Term, stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	terms, done := make(chan leader.Term, 1), make(chan struct{})
	go func() {
		defer close(done)
		config := leader.Config{Client: client, Prefix: "/gantry/leader/cluster-mgr", Name: name, Logger: slog.New(slog.DiscardHandler)}
		_ = leader.Run(ctx, config, func(ctx context.Context, t leader.Term) error {
			terms <- t
			<-ctx.Done()
			return ctx.Err()
		}) // it ends when it is stopped
	}()
	stop = sync.OnceFunc(func() { cancel(); <-done })
	t.Cleanup(stop)
	select {
	case term = <-terms:
	case <-time.After(30 * time.Second):
		t.Fatal("nobody leads")
	}
	return term, stop
}
