package fleet

import (
	"context"
	"fmt"
	"sync"
	"time"

	"cloud.google.com/go/longrunning/autogen/longrunningpb"
	"gantry.dev/services/cluster-mgr/internal/observe"
	"gantry.dev/services/cluster-mgr/internal/store"
	"google.golang.org/protobuf/proto"
)

// Reader reads the fleet for one loop, again and again. It remembers the
// operations that live: the plan of a thousand apps is large, and unpacked once
// per revision. Safe for concurrent use.
type Reader struct {
	store *store.Store

	mu   sync.Mutex
	live unpacked
}

// NewReader makes a reader that remembers nothing yet.
func NewReader(s *store.Store) *Reader { return &Reader{store: s} }

// Load reads the stored part from etcd and adds the view.
func (r *Reader) Load(ctx context.Context, view observe.View) (Snapshot, error) {
	snapshot := Snapshot{View: view, Time: time.Now(), ledger: &ledger{}}
	err := snapshot.readState(ctx, r.store)
	if err != nil {
		return Snapshot{}, err
	}
	snapshot.Operations, snapshot.OperationsAt, err = r.operations(ctx)
	return snapshot, err
}

// Live lists the operations that run or wait for approval, oldest first.
func (r *Reader) Live(ctx context.Context) ([]Operation, error) {
	live, _, err := r.operations(ctx)
	return live, err
}

// operations also gives the revision that they were read at.
func (r *Reader) operations(ctx context.Context) ([]Operation, int64, error) {
	items, at, err := r.store.Operations.Fresh(ctx)
	if err != nil {
		return nil, 0, fmt.Errorf("list operations: %w", err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.live, err = r.live.next(items); err != nil {
		return nil, 0, err
	}
	return r.live.copies(), at, nil
}

// unpacked are live operations with the stored values that they came from, in
// the order of their names, which is that of time.
type unpacked []source

type source struct {
	from *longrunningpb.Operation
	Operation
}

// next unpacks those live operations of a list that were written since; a list
// holds the very same value of the others. What is finished is passed over.
func (u unpacked) next(items []store.Item[*longrunningpb.Operation]) (unpacked, error) {
	known := make(map[*longrunningpb.Operation]Operation, len(u))
	for _, s := range u {
		known[s.from] = s.Operation
	}
	var next unpacked
	for _, item := range items {
		if item.Value.GetDone() {
			continue
		}
		o, ok := known[item.Value]
		if !ok {
			var err error
			if o, err = Unpack(item); err != nil {
				return u, err
			}
		}
		next = append(next, source{item.Value, o})
	}
	return next, nil
}

// copies are the operations with metadata of their own, which who works on an
// operation changes; nobody changes a plan.
func (u unpacked) copies() []Operation {
	var out []Operation
	for _, s := range u {
		o := s.Operation
		o.Metadata = proto.CloneOf(o.Metadata)
		out = append(out, o)
	}
	return out
}
