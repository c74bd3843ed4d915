package etcdkv

import (
	"context"
	"errors"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/protobuf/proto"
)

// retryPause is the time between two attempts to list or watch.
const retryPause = 500 * time.Millisecond

// RawEvent is an Event whose value has not been decoded.
type RawEvent struct {
	Key, Value  []byte
	ModRevision int64
	Deleted     bool
	Synced      bool
	Revision    int64
}

// Event is one change, or the mark that the list is complete.
type Event[T proto.Message] struct {
	// Value is nil when Deleted or Synced.
	Item[T]
	Deleted bool
	// Every key that exists at Revision has been given.
	Synced   bool
	Revision int64
}

// Watch calls fn for what is there, then once with Synced, then for each
// change, in order, from one goroutine. With from > 0 it does not list but
// resumes after that revision; when etcd has compacted it, Watch lists. After
// a list that follows a break, keys that have gone are given as Deleted.
// Watch outlives a dead etcd; it returns only when ctx ends or fn fails.
func Watch[T proto.Message](ctx context.Context, c *clientv3.Client, prefix string, create func() T, from int64, fn func(Event[T]) error) error {
	return WatchRaw(ctx, c, prefix, from, func(raw RawEvent) error {
		e := Event[T]{Deleted: raw.Deleted, Synced: raw.Synced, Revision: raw.Revision}
		if raw.Deleted || raw.Synced {
			e.Key = string(raw.Key)
			return fn(e)
		}
		var err error
		if e.Item, err = decode(raw.Key, raw.Value, raw.ModRevision, create); err != nil {
			return err
		}
		return fn(e)
	})
}

// WatchRaw is Watch for values of any kind.
func WatchRaw(ctx context.Context, c *clientv3.Client, prefix string, from int64, fn func(RawEvent) error) error {
	w := watcher{client: c, prefix: prefix, fn: fn, known: map[string]bool{}, revision: from}
	for {
		if err := w.follow(ctx); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(retryPause):
		}
	}
}

type watcher struct {
	client *clientv3.Client
	prefix string
	fn     func(RawEvent) error
	// Keys given and not deleted.
	known map[string]bool
	// All events up to here have been given; 0: list first.
	revision int64
}

// follow lists if necessary and watches until the watch breaks. It fails only
// when fn does.
func (w *watcher) follow(ctx context.Context) error {
	if w.revision == 0 {
		ok, err := w.list(ctx)
		if !ok || err != nil {
			return err
		}
	}
	watchCtx, cancel := context.WithCancel(clientv3.WithRequireLeader(ctx))
	defer cancel()
	for r := range w.client.Watch(watchCtx, w.prefix, clientv3.WithPrefix(), clientv3.WithRev(w.revision+1)) {
		if errors.Is(r.Err(), rpctypes.ErrCompacted) {
			w.revision = 0
			return nil
		}
		if r.Err() != nil {
			return nil // a broken watch is resumed
		}
		if err := w.give(r); err != nil {
			return err
		}
	}
	return nil
}

// list reports false when etcd does not answer.
func (w *watcher) list(ctx context.Context) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	r, err := w.client.Get(ctx, w.prefix, clientv3.WithPrefix())
	if err != nil {
		return false, nil // unreachable is not empty: try again
	}
	gone := w.known
	w.known = map[string]bool{}
	for _, kv := range r.Kvs {
		delete(gone, string(kv.Key))
		w.known[string(kv.Key)] = true
		if err := w.fn(RawEvent{Key: kv.Key, Value: kv.Value, ModRevision: kv.ModRevision, Revision: kv.ModRevision}); err != nil {
			return false, err
		}
	}
	revision := r.Header.GetRevision()
	for key := range gone {
		if err := w.fn(RawEvent{Key: []byte(key), Deleted: true, Revision: revision}); err != nil {
			return false, err
		}
	}
	w.revision = revision
	return true, w.fn(RawEvent{Synced: true, Revision: revision})
}

func (w *watcher) give(r clientv3.WatchResponse) error {
	for _, e := range r.Events {
		raw := RawEvent{Key: e.Kv.Key, Value: e.Kv.Value, ModRevision: e.Kv.ModRevision, Revision: e.Kv.ModRevision}
		if e.Type == clientv3.EventTypeDelete {
			raw.Deleted = true
			delete(w.known, string(e.Kv.Key))
		} else {
			w.known[string(e.Kv.Key)] = true
		}
		if err := w.fn(raw); err != nil {
			return err
		}
		w.revision = raw.Revision
	}
	return nil
}
