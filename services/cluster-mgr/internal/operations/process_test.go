package operations

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"gantry.dev/pkg/fault"
	"gantry.dev/pkg/leader"
	"gantry.dev/pkg/seal"
	ingressv1 "gantry.dev/proto/gen/gantry/ingress/v1"
	gantryv1 "gantry.dev/proto/gen/gantry/v1"
	"gantry.dev/services/cluster-mgr/internal/clusters"
	"gantry.dev/services/cluster-mgr/internal/observe"
	"gantry.dev/services/cluster-mgr/internal/publish"
	"gantry.dev/services/cluster-mgr/internal/reconcile"
	"gantry.dev/services/cluster-mgr/internal/store"
	"gantry.dev/services/cluster-mgr/internal/vault"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
)

var errGone = errors.New("the process is dead")

// death is when a process dies: at its n-th write or effect, right before or
// right after it; 0: never.
type death struct {
	at    int
	after bool
}

// process is one instance of cluster-mgr: the observer and the loops that an
// operation needs, with everything that it does to the world counted.
type process struct {
	death death

	mu   sync.Mutex
	dead bool
	log  []string

	store      *store.Store
	observer   *observe.Observer
	reconciler *reconcile.Loop
	worker     *Loop
	term       leader.Term
}

// start gives a process a term of leading.
func start(t *testing.T, raw *clientv3.Client, cloud *cloud, term leader.Term, d death) *process {
	t.Helper()
	p := &process{death: d, term: term}
	client := clientv3.NewCtxClient(context.Background())
	client.KV, client.Lease, client.Watcher = &kv{KV: raw.KV, process: p}, raw.Lease, raw.Watcher
	p.store = store.New(client)
	pool := clusters.NewDialing(func(commonName, _ string) (grpc.ClientConnInterface, error) {
		site, _ := strings.CutPrefix(commonName, "ipaas.")
		if site == commonName {
			site = ""
		}
		return &conn{cloud: cloud, site: site, process: p}, nil
	})
	logger := slog.New(slog.DiscardHandler)
	there := func(*gantryv1.Cluster, *gantryv1.App) (bool, string) { return true, "" }
	var err error
	if p.observer, err = observe.New(observe.Config{Store: p.store, Pool: pool, Logger: logger}); err != nil {
		t.Fatal(err)
	}
	if p.reconciler, err = reconcile.New(reconcile.Config{Store: p.store, Pool: pool, Observer: p.observer, Images: there, Vault: vault.New(p.store, seal.Key{}), Logger: logger}, term); err != nil {
		t.Fatal(err)
	}
	frozen := func() string { return "" }
	if p.worker, err = New(Config{Store: p.store, Observer: p.observer, Pool: pool, Frozen: frozen, Logger: logger}, term); err != nil {
		t.Fatal(err)
	}
	return p
}

func (p *process) gone() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.dead
}

// effect does something to the world, unless the process dies first. Effects
// are one after the other.
func (p *process) effect(what string, do func() error) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.dead {
		return errGone
	}
	p.log = append(p.log, what)
	dies := len(p.log) == p.death.at
	if dies && !p.death.after {
		p.dead = true
		return errGone
	}
	err := do()
	if dies {
		p.dead = true
		return errGone
	}
	return err
}

// look is one turn of everything that the process does by itself. What fails
// is tried again with the next.
func (p *process) look(ctx context.Context, now time.Time) error {
	p.observer.Look(ctx)
	failed := p.reconciler.Pass(ctx)
	failed = errors.Join(failed, p.publish(ctx))
	_, err := p.worker.work(ctx, now)
	if failed = errors.Join(failed, err); p.gone() {
		return nil
	}
	return failed
}

// publish writes what the gateway serves, as the publisher does.
func (p *process) publish(ctx context.Context) error {
	gateways, _, err := p.store.Gateways.List(ctx, "")
	if err != nil {
		return err
	}
	list, _, err := p.store.Clusters.List(ctx, "")
	if err != nil {
		return err
	}
	var all []*gantryv1.Cluster
	for _, c := range list {
		all = append(all, c.Value)
	}
	routes, _, err := p.store.Routes.List(ctx, "")
	if err != nil {
		return err
	}
	shares, _, err := p.store.Shares.List(ctx, "")
	if err != nil {
		return err
	}
	next := publish.Config(gateways[0].Value, values(routes), all, nil)
	publish.Divide(next, values(shares))
	last, err := p.store.Configs.Get(ctx, next.GetGateway())
	if err != nil && !fault.Is(err, fault.KindNotFound) {
		return err
	}
	next.Generation = last.Value.GetGeneration()
	if last.Value != nil && proto.Equal(withoutEpoch(last.Value), next) {
		return nil
	}
	next.Generation, next.Epoch = next.GetGeneration()+1, p.term.Epoch
	change := store.NewChange().Guard(p.term.Guard())
	p.store.Configs.Put(change, next.GetGateway(), next, last.ModRevision)
	_, err = p.store.Commit(ctx, change)
	return err
}

func values[T any](items []store.Item[T]) []T {
	var out []T
	for _, i := range items {
		out = append(out, i.Value)
	}
	return out
}

func withoutEpoch(c *ingressv1.GatewayConfig) *ingressv1.GatewayConfig {
	c = proto.CloneOf(c)
	c.Epoch = 0
	return c
}

// kv is a process's way to etcd.
type kv struct {
	clientv3.KV
	process *process
}

func (k *kv) Get(ctx context.Context, key string, opts ...clientv3.OpOption) (*clientv3.GetResponse, error) {
	if k.process.gone() {
		return nil, errGone
	}
	return k.KV.Get(ctx, key, opts...)
}

func (k *kv) Txn(ctx context.Context) clientv3.Txn {
	return &txn{Txn: k.KV.Txn(ctx), process: k.process}
}

// txn is a transaction that counts when it writes.
type txn struct {
	clientv3.Txn
	process *process
	writes  []string
}

func (x *txn) If(cs ...clientv3.Cmp) clientv3.Txn {
	x.Txn = x.Txn.If(cs...)
	return x
}

func (x *txn) Then(ops ...clientv3.Op) clientv3.Txn {
	for _, op := range ops {
		if op.IsPut() || op.IsDelete() {
			x.writes = append(x.writes, string(op.KeyBytes()))
		}
	}
	x.Txn = x.Txn.Then(ops...)
	return x
}

func (x *txn) Commit() (r *clientv3.TxnResponse, err error) {
	if len(x.writes) == 0 {
		if x.process.gone() {
			return nil, errGone
		}
		return x.Txn.Commit()
	}
	failed := x.process.effect("write "+strings.Join(x.writes, ", "), func() error {
		r, err = x.Txn.Commit()
		return err
	})
	return r, failed
}
