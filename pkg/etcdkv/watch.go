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
	w := watcher[T]{client: c, prefix: prefix, create: create, fn: fn, known: map[string]bool{}, revision: from}
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

type watcher[T proto.Message] struct {
	client *clientv3.Client
	prefix string
	create func() T
	fn     func(Event[T]) error
	// Keys given and not deleted.
	known map[string]bool
	// All events up to here have been given; 0: list first.
	revision int64
}

// follow lists if necessary and watches until the watch breaks. It fails only
// when fn does.
func (w *watcher[T]) follow(ctx context.Context) error {
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
			return nil //nolint:nilerr // a broken watch is resumed
		}
		if err := w.give(r); err != nil {
			return err
		}
	}
	return nil
}

// list reports false when etcd does not answer.
func (w *watcher[T]) list(ctx context.Context) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	items, revision, err := List(ctx, w.client, w.prefix, w.create)
	if err != nil {
		return false, nil //nolint:nilerr // unreachable is not empty: try again
	}
	gone := w.known
	w.known = map[string]bool{}
	for _, item := range items {
		delete(gone, item.Key)
		w.known[item.Key] = true
		if err := w.fn(Event[T]{Item: item, Revision: item.ModRevision}); err != nil {
			return false, err
		}
	}
	for key := range gone {
		if err := w.fn(Event[T]{Item: Item[T]{Key: key}, Deleted: true, Revision: revision}); err != nil {
			return false, err
		}
	}
	w.revision = revision
	return true, w.fn(Event[T]{Synced: true, Revision: revision})
}

func (w *watcher[T]) give(r clientv3.WatchResponse) error {
	for _, e := range r.Events {
		event, err := w.event(e)
		if err != nil {
			return err
		}
		if err := w.fn(event); err != nil {
			return err
		}
		w.revision = e.Kv.ModRevision
	}
	return nil
}

func (w *watcher[T]) event(e *clientv3.Event) (Event[T], error) {
	key := string(e.Kv.Key)
	if e.Type == clientv3.EventTypeDelete {
		delete(w.known, key)
		return Event[T]{Item: Item[T]{Key: key}, Deleted: true, Revision: e.Kv.ModRevision}, nil
	}
	w.known[key] = true
	item, err := decode(e.Kv.Key, e.Kv.Value, e.Kv.ModRevision, w.create)
	return Event[T]{Item: item, Revision: e.Kv.ModRevision}, err
}
