package store

import (
	"context"
	"time"

	"gantry.dev/pkg/fault"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// Change is a set of writes that happen together or not at all.
type Change struct {
	guards  []clientv3.Cmp
	compare []clientv3.Cmp
	ops     []clientv3.Op
	// Writes that are to be dropped after a while, by age.
	aging []aging
	err   error
}

// aging is a put whose lease is still to be granted.
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
	b, err := c.encode(value)
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

func (ch *Change) demand(key string, modRevision int64) {
	if modRevision != Any {
		ch.compare = append(ch.compare, clientv3.Compare(clientv3.ModRevision(key), "=", modRevision))
	}
}

// Commit makes a change in one transaction and gives its revision.
// CHANGED_MEANWHILE when something that it depends on was written by somebody
// else; NOT_LEADER when the guard failed.
func (s *Store) Commit(ctx context.Context, ch *Change) (int64, error) {
	if ch.err != nil {
		return 0, ch.err
	}
	ctx, cancel := context.WithTimeout(ctx, readTime)
	defer cancel()
	ops, leases, err := s.withLeases(ctx, ch)
	if err != nil {
		return 0, err
	}
	r, err := s.client.Txn(ctx).If(append(ch.guards, ch.compare...)...).Then(ops...).Commit()
	if err != nil {
		return 0, silent(err)
	}
	if !r.Succeeded {
		for _, lease := range leases {
			_, _ = s.client.Revoke(ctx, lease) // it runs out by itself
		}
		return 0, s.refusal(ctx, ch)
	}
	return r.Header.GetRevision(), nil
}

// withLeases grants what the change's aging writes need.
func (s *Store) withLeases(ctx context.Context, ch *Change) ([]clientv3.Op, []clientv3.LeaseID, error) {
	ops := ch.ops
	var leases []clientv3.LeaseID
	for _, a := range ch.aging {
		lease, err := s.client.Grant(ctx, int64(a.age/time.Second))
		if err != nil {
			return nil, nil, silent(err)
		}
		leases = append(leases, lease.ID)
		ops = append(ops, clientv3.OpPut(a.key, a.value, clientv3.WithLease(lease.ID)))
	}
	return ops, leases, nil
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
