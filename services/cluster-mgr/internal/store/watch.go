package store

import (
	"context"

	"gantry.dev/pkg/etcdkv"
)

// Event is one change, or the mark that the list is complete.
type Event[T any] struct {
	// Value is unset when Deleted or Synced.
	Item[T]
	Deleted bool
	// Everything that exists at Revision has been given.
	Synced   bool
	Revision int64
}

// Watch calls fn for every resource whose name begins with prefix, once with
// Synced, then for each change; with from > 0 it resumes after that revision.
// It outlives a dead etcd and returns only when ctx ends or fn fails.
func (c *Collection[T]) Watch(ctx context.Context, prefix string, from int64, fn func(Event[T]) error) error {
	return etcdkv.WatchRaw(ctx, c.client, c.prefix+prefix, from, func(raw etcdkv.RawEvent) error {
		e := Event[T]{Deleted: raw.Deleted, Synced: raw.Synced, Revision: raw.Revision}
		e.Name = c.name(raw.Key)
		if raw.Deleted || raw.Synced {
			return fn(e)
		}
		var err error
		if e.Item, err = c.item(raw.Key, raw.Value, raw.ModRevision); err != nil {
			return err
		}
		return fn(e)
	})
}
