package store

import (
	"cmp"
	"context"
	"slices"
	"time"

	"gantry.dev/pkg/gather"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// wholeAge is after how long a kept list is read anew as a whole, so that
// nothing that could be wrong with it stays (rule S3).
const wholeAge = 5 * time.Minute

// list is all of a collection at a revision.
type list[T any] struct {
	// In name order.
	items    []Item[T]
	revision int64
	// Whose revision: of which etcd cluster, in which term of its leaders.
	cluster, term uint64
	// When the whole of it was read.
	whole time.Time
}

// Fresh gives all resources as List does, but reads only those that were
// written since it was called last. Callers that ask at the same time share a
// read that began after they asked, and the items: nobody may change them.
func (c *Collection[T]) Fresh(ctx context.Context) ([]Item[T], int64, error) {
	now, err := c.fresh.Get(ctx)
	if err != nil && ctx.Err() != nil {
		err = silent(ctx.Err())
	}
	return now.items, now.revision, err
}

// newFresh keeps the list between two reads, of which only one runs at a time.
func newFresh[T any](c *Collection[T]) *gather.Reader[list[T]] {
	var kept list[T]
	return gather.New(func(ctx context.Context) (list[T], error) {
		next, err := c.catchUp(ctx, kept)
		if err != nil {
			return list[T]{}, err
		}
		kept = next
		return next, nil
	})
}

// catchUp gives the list as it is now, from the one that was read before.
func (c *Collection[T]) catchUp(ctx context.Context, last list[T]) (list[T], error) {
	if time.Since(last.whole) < wholeAge {
		next, all, err := c.since(ctx, last)
		if err != nil || all {
			return next, err
		}
	}
	r, err := c.client.Get(ctx, c.prefix, clientv3.WithPrefix())
	if err != nil {
		return list[T]{}, silent(err)
	}
	items, err := c.items(r.Kvs)
	h := r.Header
	return list[T]{items: items, revision: h.GetRevision(), cluster: h.GetClusterId(), term: h.GetRaftTerm(), whole: time.Now()}, err
}

// since adds to a list what was written after it. That is not all when
// something was deleted, or when this may be another history than the list's.
func (c *Collection[T]) since(ctx context.Context, last list[T]) (next list[T], all bool, err error) {
	r, err := c.client.Get(ctx, c.prefix, clientv3.WithPrefix(), clientv3.WithMinModRev(last.revision+1))
	if err != nil {
		return list[T]{}, false, silent(err)
	}
	if h := r.Header; h.GetClusterId() != last.cluster || h.GetRaftTerm() != last.term || h.GetRevision() < last.revision {
		return list[T]{}, false, nil
	}
	written, err := c.items(r.Kvs)
	if err != nil {
		return list[T]{}, false, err
	}
	next = last
	next.revision, next.items = r.Header.GetRevision(), merged(last.items, written)
	// It has everything that exists, so with as many there is nothing else.
	return next, int64(len(next.items)) == r.Count, nil
}

// merged is a list with newer items put into it; both are in name order.
func merged[T any](items, newer []Item[T]) []Item[T] {
	if len(newer) == 0 {
		return items
	}
	out := make([]Item[T], 0, len(items)+len(newer))
	for _, item := range newer {
		i, replaced := slices.BinarySearchFunc(items, item, byName)
		out = append(append(out, items[:i]...), item)
		if items = items[i:]; replaced {
			items = items[1:]
		}
	}
	return append(out, items...)
}

func byName[T any](a, b Item[T]) int { return cmp.Compare(a.Name, b.Name) }
