package store

import (
	"context"
	"errors"
	"sync"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// leases holds one lease per age, which all records of a while share: granting
// one is a write of its own, as dear as the change itself.
type leases struct {
	client *clientv3.Client

	mu   sync.Mutex
	held map[time.Duration]shared
}

type shared struct {
	id clientv3.LeaseID
	// Records join it until then.
	until time.Time
}

func newLeases(client *clientv3.Client) *leases {
	return &leases{client: client, held: map[time.Duration]shared{}}
}

// of gives the lease that drops a record of now after age, or up to a 24th of
// it, at most an hour, later.
func (l *leases) of(ctx context.Context, age time.Duration) (clientv3.LeaseID, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if s, ok := l.held[age]; ok && time.Now().Before(s.until) {
		return s.id, nil
	}
	while := min(time.Hour, age/24)
	until := time.Now().Add(while)
	granted, err := l.client.Grant(ctx, int64((age+while)/time.Second)+1)
	if err != nil {
		return 0, err
	}
	l.held[age] = shared{granted.ID, until}
	return granted.ID, nil
}

// forget drops what is held when etcd does not know one of the leases any
// more, as after it was restored from a copy; it reports whether that is so.
func (l *leases) forget(err error) bool {
	if !errors.Is(err, rpctypes.ErrLeaseNotFound) {
		return false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	clear(l.held)
	return true
}
