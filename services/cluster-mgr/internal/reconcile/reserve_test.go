package reconcile

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"

	"gantry.dev/pkg/etcdkv/etcdtest"
	"gantry.dev/pkg/fault"
	"gantry.dev/services/cluster-mgr/internal/planning"
	"gantry.dev/services/cluster-mgr/internal/store"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// killer ends a leader's process at its nth write to etcd: before the write is
// sent, or after, so that its answer is never heard.
type killer struct {
	clientv3.KV
	clientv3.Lease
	left  atomic.Int64
	after bool
	die   context.CancelFunc
}

var errKilled = errors.New("killed")

// strike counts a write; false: this one is not to be sent.
func (k *killer) strike() (send, dead bool) {
	switch n := k.left.Add(-1); {
	case n > 0:
		return true, false
	case n == 0:
		k.die()
		return k.after, true
	}
	return false, true
}

func (k *killer) Txn(ctx context.Context) clientv3.Txn { return &killedTxn{k.KV.Txn(ctx), k} }

func (k *killer) Grant(ctx context.Context, ttl int64) (*clientv3.LeaseGrantResponse, error) {
	send, dead := k.strike()
	if !send {
		return nil, errKilled
	}
	r, err := k.Lease.Grant(context.WithoutCancel(ctx), ttl)
	if dead {
		return nil, errKilled
	}
	return r, err
}

type killedTxn struct {
	clientv3.Txn
	k *killer
}

func (t *killedTxn) If(c ...clientv3.Cmp) clientv3.Txn {
	t.Txn = t.Txn.If(c...)
	return t
}

func (t *killedTxn) Then(o ...clientv3.Op) clientv3.Txn {
	t.Txn = t.Txn.Then(o...)
	return t
}

func (t *killedTxn) Commit() (*clientv3.TxnResponse, error) {
	send, dead := t.k.strike()
	if !send {
		return nil, errKilled
	}
	r, err := t.Txn.Commit()
	if dead {
		return nil, errKilled
	}
	return r, err
}

// TestConcurrentDeploysNeverExceedCapacity deploys 100 apps at once, half as
// much again as there is room for, while the scheduler puts pods onto nodes at
// any moment and the reconciler is killed at arbitrary writes.
func TestConcurrentDeploysNeverExceedCapacity(t *testing.T) {
	etcd := etcdtest.Start(t)
	for _, kills := range []bool{false, true} {
		t.Run(fmt.Sprintf("kills=%t", kills), func(t *testing.T) {
			seed := rand.Uint64()
			t.Logf("seed %d", seed)
			r := rand.New(rand.NewPCG(seed, 1))
			w := newWorld(t, etcd, map[string]*cell{"site-a": newCell("site-a", 4, 4000), "site-b": newCell("site-b", 6, 2500)})
			s := &storm{world: w, r: r}
			for _, c := range w.cells {
				c.hook = func() { c.schedule(s.chance(20)) }
			}
			s.run(kills)
			s.verify(kills)
		})
	}
}

// storm is 100 deploys and what goes on meanwhile.
type storm struct {
	*world
	mu       sync.Mutex
	r        *rand.Rand
	admitted atomic.Int64
	refused  atomic.Int64
	deaths   int
}

func (s *storm) chance(n int) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.r.IntN(n)
}

func (s *storm) run(kills bool) {
	planner, err := planning.New(planning.Config{Store: s.store, Observer: s.observer, Images: s.there})
	s.ok(err)
	s.observer.Look(s.t.Context())
	var deploys sync.WaitGroup
	for i := range 100 {
		deploys.Go(func() { s.deployOne(planner, i) })
	}
	done := make(chan struct{})
	go func() { deploys.Wait(); close(done) }()
	for terms, running := 0, true; running || terms < 12; terms++ {
		select {
		case <-done:
			running = false
		default:
		}
		s.rescale()
		s.term(kills)
		s.audit()
	}
	s.elect(s.store)
	s.settle()
	s.audit()
}

// deployOne is an API call: it looks whether the app fits, and stores it.
func (s *storm) deployOne(planner *planning.Planner, i int) {
	app, desired := appOf(fmt.Sprintf("app-%02d", i)), 1+i%3
	err := planner.Fit(s.t.Context(), app, desired)
	if fault.HasReason(err, "CAPACITY_EXHAUSTED") {
		s.refused.Add(1)
		return
	}
	if err == nil {
		err = deploy(s.t.Context(), s.store, app, desired)
	}
	if err == nil {
		s.admitted.Add(1)
	} else {
		s.t.Error(err)
	}
}

// rescale makes some apps want another number, so that there is something to
// write; one that was changed meanwhile is left alone.
func (s *storm) rescale() {
	items, _, err := s.store.Assignments.List(s.t.Context(), "")
	s.ok(err)
	for range min(5, len(items)) {
		item := items[s.chance(len(items))]
		item.Value.Desired = 1 + s.chance(4)
		change := store.NewChange()
		s.store.Assignments.Put(change, item.Name, item.Value, item.ModRevision)
		if _, err := s.store.Commit(s.t.Context(), change); err != nil && !fault.HasReason(err, "CHANGED_MEANWHILE") {
			s.t.Error(err)
		}
	}
}

// term is a leader's life: some passes, until it is killed or has had enough.
func (s *storm) term(kills bool) {
	client := s.etcd.Client(s.t)
	ctx, die := context.WithCancel(s.t.Context())
	defer die()
	k := &killer{KV: client.KV, Lease: client.Lease, after: s.chance(2) == 0, die: die}
	k.left.Store(1 << 40)
	if kills {
		k.left.Store(int64(1 + s.chance(4)))
	}
	client.KV, client.Lease = k, k
	s.elect(store.New(client))
	for range 4 {
		s.observer.Look(s.t.Context())
		_ = s.loop.pass(ctx, s.now) // what is killed says so
		if ctx.Err() != nil {
			s.deaths++
			return
		}
	}
}

// audit compares what is assigned with what there is.
func (s *storm) audit() {
	s.t.Helper()
	sum := map[string]int64{}
	items, _, err := s.store.Assignments.List(s.t.Context(), "")
	s.ok(err)
	for _, item := range items {
		for _, share := range item.Value.Shares {
			sum[share.Cluster] += int64(share.Replicas) * 250
		}
	}
	for name, c := range s.cells {
		if has := 4 * 4000; name == "site-a" && sum["clusters/site-a"] > int64(has) {
			s.t.Fatalf("site-a: %dm are assigned of %dm", sum["clusters/site-a"], has)
		}
		if has := 6 * 2500; name == "site-b" && sum["clusters/site-b"] > int64(has) {
			s.t.Fatalf("site-b: %dm are assigned of %dm", sum["clusters/site-b"], has)
		}
		c.do(func() {
			if c.overdrawn != "" {
				s.t.Fatal(c.overdrawn)
			}
		})
	}
}

// verify: everything that was assigned runs, and no room was left unused that
// a waiting app could have.
func (s *storm) verify(kills bool) {
	free := (4*4000 + 6*2500) / 250
	waiting := 0
	items, _, err := s.store.Assignments.List(s.t.Context(), "")
	s.ok(err)
	for _, item := range items {
		for _, share := range item.Value.Shares {
			free -= share.Replicas
		}
	}
	for _, item := range items {
		if a := item.Value; a.Shortfall != "" {
			waiting++
			missing := a.Desired
			for _, share := range a.Shares {
				missing -= share.Replicas
			}
			if missing <= free {
				s.t.Errorf("%s waits for %d replicas while there is room for %d: %s", item.Name, missing, free, a.Shortfall)
			}
		}
	}
	for name, c := range s.cells {
		if n := c.pending(); n > 0 {
			s.t.Errorf("%s: %d pods found no node", name, n)
		}
	}
	s.t.Logf("%d admitted (%d of them wait), %d refused, %d kills", s.admitted.Load(), waiting, s.refused.Load(), s.deaths)
	if s.admitted.Load()+s.refused.Load() != 100 || waiting+int(s.refused.Load()) == 0 {
		s.t.Error("the test did not fill the clusters")
	}
	if kills && s.deaths < 4 {
		s.t.Errorf("only %d kills happened", s.deaths)
	}
}
