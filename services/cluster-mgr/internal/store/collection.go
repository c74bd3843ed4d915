package store

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"gantry.dev/pkg/etcdkv"
	"gantry.dev/pkg/fault"
	"gantry.dev/pkg/gather"
	ingressv1 "gantry.dev/proto/gen/gantry/ingress/v1"
	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/protobuf/proto"
)

// How long records are kept that nobody deletes.
const (
	decisionAge = 7 * 24 * time.Hour
	answerAge   = 24 * time.Hour
	begunAge    = time.Minute
)

// How long etcd may take: for what a person waits for, who must soon hear of
// a dead store, and for the lists and writes of everything at once.
const (
	askTime  = 2 * time.Second
	listTime = 5 * time.Second
)

// Any lets a Put or Delete go through whatever the present revision is.
const Any int64 = -1

// Item is a stored value with its resource name.
type Item[T any] struct {
	// "projects/pay/apps/web".
	Name  string
	Value T
	// etcd's revision of the last write; 0: it is not stored.
	ModRevision int64
}

// ETag is the item's revision as the API gives it.
func (i Item[T]) ETag() string { return fmt.Sprint(i.ModRevision) }

// Collection is all resources of a kind.
type Collection[T any] struct {
	client *clientv3.Client
	prefix string
	// Added to a name to make the key.
	suffix string
	kind   string
	packer *packer
	encode func(T) ([]byte, error)
	decode func([]byte) (T, error)
	// Records are dropped after this; 0: never.
	age time.Duration
	// Reads for Fresh.
	fresh *gather.Reader[list[T]]
}

func protos[T proto.Message](client *clientv3.Client, name, kind string, create func() T) *Collection[T] {
	c := &Collection[T]{
		client: client, prefix: "/gantry/" + name + "/", kind: kind, packer: newPacker(),
		encode: func(v T) ([]byte, error) { return proto.MarshalOptions{Deterministic: true}.Marshal(v) },
		decode: func(b []byte) (T, error) {
			v := create()
			return v, proto.Unmarshal(b, v)
		},
	}
	c.fresh = newFresh(c)
	return c
}

func jsons[T any](client *clientv3.Client, name, kind string) *Collection[T] {
	c := &Collection[T]{
		client: client, prefix: "/gantry/" + name + "/", kind: kind, packer: newPacker(),
		encode: func(v T) ([]byte, error) { return json.Marshal(v) },
		decode: func(b []byte) (v T, err error) { return v, json.Unmarshal(b, &v) },
	}
	c.fresh = newFresh(c)
	return c
}

// configs have keys that an agent's role can be limited to.
func configs(client *clientv3.Client) *Collection[*ingressv1.GatewayConfig] {
	c := protos(client, "", "GATEWAY_CONFIG", func() *ingressv1.GatewayConfig { return &ingressv1.GatewayConfig{} })
	c.prefix, c.suffix = "/gantry-gateways/", "/config"
	return c
}

func (c *Collection[T]) kept(age time.Duration) *Collection[T] {
	c.age = age
	return c
}

func (c *Collection[T]) pack(v T) ([]byte, error) {
	b, err := c.encode(v)
	if err != nil {
		return nil, err
	}
	return c.packer.pack(b)
}

func (c *Collection[T]) key(name string) string { return c.prefix + name + c.suffix }

func (c *Collection[T]) name(key []byte) string {
	return strings.TrimSuffix(strings.TrimPrefix(string(key), c.prefix), c.suffix)
}

func (c *Collection[T]) item(key, value []byte, revision int64) (Item[T], error) {
	plain, err := etcdkv.Unpack(value)
	if err != nil {
		return Item[T]{}, fault.Internal("STORED_VALUE_UNREADABLE", "decode %s: %w", key, err)
	}
	v, err := c.decode(plain)
	if err != nil {
		return Item[T]{}, fault.Internal("STORED_VALUE_UNREADABLE", "decode %s: %w", key, err)
	}
	return Item[T]{Name: c.name(key), Value: v, ModRevision: revision}, nil
}

// Get reads one resource. <KIND>_NOT_FOUND when it is not there.
func (c *Collection[T]) Get(ctx context.Context, name string) (Item[T], error) {
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	r, err := c.client.Get(ctx, c.key(name))
	if err != nil {
		return Item[T]{}, silent(err)
	}
	if len(r.Kvs) == 0 {
		return Item[T]{Name: name}, fault.NotFound(c.kind+"_NOT_FOUND", "there is no %s", name)
	}
	return c.item(r.Kvs[0].Key, r.Kvs[0].Value, r.Kvs[0].ModRevision)
}

// GetMany reads those of the named resources that exist, in the order of the
// names.
func (c *Collection[T]) GetMany(ctx context.Context, names []string) ([]Item[T], error) {
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	items := make([]Item[T], 0, len(names))
	for some := range slices.Chunk(names, opsPerChange) {
		var ops []clientv3.Op
		for _, name := range some {
			ops = append(ops, clientv3.OpGet(c.key(name)))
		}
		r, err := c.client.Txn(ctx).Then(ops...).Commit()
		if err != nil {
			return nil, silent(err)
		}
		for _, part := range r.Responses {
			found, err := c.items(part.GetResponseRange().GetKvs())
			if err != nil {
				return nil, err
			}
			items = append(items, found...)
		}
	}
	return items, nil
}

// List reads all resources whose name begins with prefix, in name order, and
// the revision that they were read at.
func (c *Collection[T]) List(ctx context.Context, prefix string) ([]Item[T], int64, error) {
	ctx, cancel := context.WithTimeout(ctx, listTime)
	defer cancel()
	r, err := c.client.Get(ctx, c.prefix+prefix, clientv3.WithPrefix())
	if err != nil {
		return nil, 0, silent(err)
	}
	items, err := c.items(r.Kvs)
	return items, r.Header.GetRevision(), err
}

// Page is one page of a list.
type Page[T any] struct {
	Items []Item[T]
	// Token of the next page; empty: this is the last.
	Next string
}

// Page reads at most size resources whose name begins with prefix, from the
// one after token on, newest name first when descending.
func (c *Collection[T]) Page(ctx context.Context, prefix string, size int, token string, descending bool) (Page[T], error) {
	from, to := c.prefix+prefix, clientv3.GetPrefixRangeEnd(c.prefix+prefix)
	switch {
	case token != "" && !strings.HasPrefix(token, prefix):
		return Page[T]{}, foreignToken(token)
	case token != "" && descending:
		to = c.prefix + token
	case token != "":
		from = c.prefix + token + "\x00"
	}
	order := clientv3.SortAscend
	if descending {
		order = clientv3.SortDescend
	}
	return c.between(ctx, from, to, size, order)
}

func foreignToken(token string) error {
	return fault.Invalid("PAGE_TOKEN_INVALID", "page token %q belongs to another list; begin without one", token)
}

// between reads a page of the keys from and up to two bounds.
func (c *Collection[T]) between(ctx context.Context, from, to string, size int, order clientv3.SortOrder) (Page[T], error) {
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	if from >= to {
		return Page[T]{}, nil
	}
	r, err := c.client.Get(ctx, from, clientv3.WithRange(to), clientv3.WithLimit(int64(size)), clientv3.WithSort(clientv3.SortByKey, order))
	if err != nil {
		return Page[T]{}, silent(err)
	}
	items, err := c.items(r.Kvs)
	page := Page[T]{Items: items}
	if r.More && len(items) > 0 {
		page.Next = items[len(items)-1].Name
	}
	return page, err
}

func (c *Collection[T]) items(kvs []*mvccpb.KeyValue) ([]Item[T], error) {
	items := make([]Item[T], 0, len(kvs))
	for _, kv := range kvs {
		item, err := c.item(kv.Key, kv.Value, kv.ModRevision)
		if err != nil {
			return nil, err
		}
		items = append(items, item)
	}
	return items, nil
}

// silent is an etcd that does not answer.
func silent(err error) error {
	if f := fault.From(err); f.Kind == fault.KindCancelled {
		return f
	}
	return fault.Unavailable("STORE_UNAVAILABLE", "the store does not answer, nothing was changed; running apps and their traffic are not affected, try again: %w", err)
}

// unsure is a write that etcd did not answer: it may have been made.
func unsure(err error) error {
	if f := fault.From(err); f.Kind == fault.KindCancelled {
		return f
	}
	return fault.Unavailable("STORE_UNAVAILABLE", "the store does not answer, so it is not known whether this was changed; running apps and their traffic are not affected, look again or repeat it with the same request_id: %w", err)
}
