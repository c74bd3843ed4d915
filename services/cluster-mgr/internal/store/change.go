package store

import (
	"context"
	"time"

	"gantry.dev/pkg/fault"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// Change is a set of writes that happen together or not at all. etcd takes at
// most 128 writes at a time; a decision counts as two.
type Change struct {
	guards  []clientv3.Cmp
	compare []clientv3.Cmp
	ops     []clientv3.Op
	// Writes that are to be dropped after a while.
	aging []aging
	// Subjects whose decisions have become many.
	crowded []string
	err     error
}

// aging is a put that needs a lease.
type aging struct {
	key, value string
	age        time.Duration
}

// NewChange begins a change.
func NewChange() *Change { return &Change{} }

// Guard makes the change depend on the writer's leadership (rule S1).
func (ch *Change) Guard(cmp clientv3.Cmp) *Change {
	ch.guards = append(ch.guards, cmp)
	return ch
}

// Put adds a write. modRevision is what the writer has read: 0 demands that
// the resource does not exist, Any demands nothing.
func (c *Collection[T]) Put(ch *Change, name string, value T, modRevision int64) {
	b, err := c.pack(value)
	if err != nil {
		ch.err = fault.Internal("VALUE_NOT_ENCODABLE", "encode %s: %w", name, err)
		return
	}
	ch.demand(c.key(name), modRevision)
	if c.age > 0 {
		ch.aging = append(ch.aging, aging{c.key(name), string(b), c.age})
		return
	}
	ch.ops = append(ch.ops, clientv3.OpPut(c.key(name), string(b)))
}

// Delete adds a removal.
func (c *Collection[T]) Delete(ch *Change, name string, modRevision int64) {
	ch.demand(c.key(name), modRevision)
	ch.ops = append(ch.ops, clientv3.OpDelete(c.key(name)))
}

// DeleteAll adds the removal of all resources whose name begins with prefix,
// as one write.
func (c *Collection[T]) DeleteAll(ch *Change, prefix string) {
	ch.ops = append(ch.ops, clientv3.OpDelete(c.prefix+prefix, clientv3.WithPrefix()))
}

// Expect makes the change depend on a resource that it does not write: it must
// be as it was read, 0: not there (rule S1).
func (c *Collection[T]) Expect(ch *Change, name string, modRevision int64) {
	ch.demand(c.key(name), modRevision)
}

// ExpectAny makes the change depend on a resource that it does not write: it
// must be there, in whatever form (rule S1).
func (c *Collection[T]) ExpectAny(ch *Change, name string) {
	ch.compare = append(ch.compare, clientv3.Compare(clientv3.CreateRevision(c.key(name)), ">", 0))
}

// ExpectNoneSince makes the change depend on a list: no resource whose name
// begins with prefix was created or changed after the revision that the list
// was read at (rule S1). What was deleted since does not count.
func (c *Collection[T]) ExpectNoneSince(ch *Change, prefix string, revision int64) {
	key := c.prefix + prefix
	ch.compare = append(ch.compare, clientv3.Compare(clientv3.ModRevision(key), "<", revision+1).WithRange(clientv3.GetPrefixRangeEnd(key)))
}

func (ch *Change) demand(key string, modRevision int64) {
	if modRevision != Any {
		ch.compare = append(ch.compare, clientv3.Compare(clientv3.ModRevision(key), "=", modRevision))
	}
}

// Commit makes a change in one transaction and gives its revision.
// CHANGED_MEANWHILE when something that it depends on was written by somebody
// else; NOT_LEADER when the guard failed; STORE_UNAVAILABLE when etcd does not
// answer, and then it is not known whether the change was made.
func (s *Store) Commit(ctx context.Context, ch *Change) (int64, error) {
	if ch.err != nil {
		return 0, ch.err
	}
	ctx, cancel := context.WithTimeout(ctx, listTime)
	defer cancel()
	r, err := s.write(ctx, ch)
	if s.leases.forget(err) {
		r, err = s.write(ctx, ch)
	}
	if err != nil {
		return 0, unsure(err)
	}
	if !r.Succeeded {
		return 0, s.refusal(ctx, ch)
	}
	for _, subject := range ch.crowded {
		_ = s.Decisions.prune(ctx, subject) // the next time does it
	}
	return r.Header.GetRevision(), nil
}

func (s *Store) write(ctx context.Context, ch *Change) (*clientv3.TxnResponse, error) {
	ops := ch.ops[:len(ch.ops):len(ch.ops)]
	for _, a := range ch.aging {
		lease, err := s.leases.of(ctx, a.age)
		if err != nil {
			return nil, err
		}
		ops = append(ops, clientv3.OpPut(a.key, a.value, clientv3.WithLease(lease)))
	}
	compare := append(ch.guards[:len(ch.guards):len(ch.guards)], ch.compare...)
	return s.client.Txn(ctx).If(compare...).Then(ops...).Commit()
}

// refusal tells a lost leadership from a lost race.
func (s *Store) refusal(ctx context.Context, ch *Change) error {
	if len(ch.guards) > 0 {
		r, err := s.client.Txn(ctx).If(ch.guards...).Commit()
		if err != nil {
			return silent(err)
		}
		if !r.Succeeded {
			return fault.Precondition("NOT_LEADER", "another instance leads now; nothing was changed")
		}
	}
	return fault.Conflict("CHANGED_MEANWHILE", "somebody else changed it meanwhile; nothing was changed, read it again and repeat")
}
