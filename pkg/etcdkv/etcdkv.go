// Package etcdkv reads and watches proto messages in etcd. Reads are
// linearizable; a watch lists first, resumes where it broke and lists again
// after a compaction, so that nothing is missed and nothing is invented
// (rule S3).
package etcdkv

import (
	"context"
	"crypto/tls"
	"fmt"
	"time"

	"gantry.dev/pkg/fault"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	"google.golang.org/protobuf/proto"
)

// Dial prepares a client; endpoints are URLs. It does not wait for etcd.
func Dial(endpoints []string, tlsConfig *tls.Config) (*clientv3.Client, error) {
	c, err := clientv3.New(clientv3.Config{
		Endpoints:            endpoints,
		TLS:                  tlsConfig,
		DialKeepAliveTime:    5 * time.Second,
		DialKeepAliveTimeout: 2 * time.Second,
		Logger:               zap.NewNop(),
	})
	if err != nil {
		return nil, fmt.Errorf("dial etcd: %w", err)
	}
	return c, nil
}

// Item is a stored message. ModRevision is etcd's revision of its last write.
type Item[T proto.Message] struct {
	Key         string
	Value       T
	ModRevision int64
}

// Get reads one key. KEY_NOT_FOUND when it is not there.
func Get[T proto.Message](ctx context.Context, c clientv3.KV, key string, create func() T) (Item[T], error) {
	r, err := c.Get(ctx, key)
	if err != nil {
		return Item[T]{}, unavailable(err)
	}
	if len(r.Kvs) == 0 {
		return Item[T]{}, fault.NotFound("KEY_NOT_FOUND", "etcd holds no key %s", key)
	}
	return decode(r.Kvs[0].Key, r.Kvs[0].Value, r.Kvs[0].ModRevision, create)
}

// List reads all keys with a prefix, in key order, and the revision they were
// read at.
func List[T proto.Message](ctx context.Context, c clientv3.KV, prefix string, create func() T) ([]Item[T], int64, error) {
	r, err := c.Get(ctx, prefix, clientv3.WithPrefix())
	if err != nil {
		return nil, 0, unavailable(err)
	}
	items := make([]Item[T], 0, len(r.Kvs))
	for _, kv := range r.Kvs {
		item, err := decode(kv.Key, kv.Value, kv.ModRevision, create)
		if err != nil {
			return nil, 0, err
		}
		items = append(items, item)
	}
	return items, r.Header.GetRevision(), nil
}

// Put is the operation that stores m.
func Put(key string, m proto.Message) (clientv3.Op, error) {
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	if err != nil {
		return clientv3.Op{}, fmt.Errorf("encode %s: %w", key, err)
	}
	return clientv3.OpPut(key, string(b)), nil
}

func decode[T proto.Message](key, value []byte, rev int64, create func() T) (Item[T], error) {
	m := create()
	plain, err := Unpack(value)
	if err == nil {
		err = proto.Unmarshal(plain, m)
	}
	if err != nil {
		return Item[T]{}, fault.Internal("STORED_VALUE_UNREADABLE", "decode %s: %w", key, err)
	}
	return Item[T]{Key: string(key), Value: m, ModRevision: rev}, nil
}

// unavailable keeps a context's own end apart from a silent etcd.
func unavailable(err error) error {
	if f := fault.From(err); f.Kind == fault.KindCancelled {
		return f
	}
	return fault.Unavailable("STORE_UNAVAILABLE", "etcd does not answer, nothing was changed; try again: %w", err)
}
