package operations

import (
	"context"
	"fmt"
	"slices"
	"time"

	"cloud.google.com/go/longrunning/autogen/longrunningpb"
	gantryv1 "gantry.dev/proto/gen/gantry/v1"
	"gantry.dev/services/cluster-mgr/internal/store"
)

const (
	// keptFor is how long a finished operation can be looked at and taken back:
	// after a month the world is not as it left it, and what was decided is in
	// the decisions.
	keptFor = 30 * 24 * time.Hour
	// ageEvery is the time between two looks for what is older.
	ageEvery = time.Hour
	// agedAtOnce bounds a transaction, of which etcd takes 128 operations.
	agedAtOnce = 40
)

// age removes finished operations that nobody needs any more.
func (l *Loop) age(ctx context.Context, now time.Time) error {
	if now.Sub(l.aged) < ageEvery {
		return nil
	}
	items, _, err := l.Store.Operations.Fresh(ctx)
	if err != nil {
		return fmt.Errorf("list operations: %w", err)
	}
	var old []store.Item[*longrunningpb.Operation]
	for _, item := range items {
		ended, err := endedAt(item)
		if err != nil {
			return err
		}
		if !ended.IsZero() && now.Sub(ended) > keptFor {
			old = append(old, item)
		}
	}
	for some := range slices.Chunk(old, agedAtOnce) {
		change := store.NewChange().Guard(l.term.Guard())
		for _, item := range some {
			l.Store.Operations.Delete(change, item.Name, item.ModRevision)
		}
		if _, err := l.Store.Commit(ctx, change); err != nil {
			return fmt.Errorf("remove old operations: %w", err)
		}
	}
	l.aged = now
	return nil
}

// endedAt is when an operation was written last; zero while it is not done.
func endedAt(item store.Item[*longrunningpb.Operation]) (time.Time, error) {
	if !item.Value.GetDone() {
		return time.Time{}, nil
	}
	metadata := &gantryv1.OperationMetadata{}
	if err := item.Value.GetMetadata().UnmarshalTo(metadata); err != nil {
		return time.Time{}, fmt.Errorf("read the metadata of %s: %w", item.Name, err)
	}
	return metadata.GetUpdateTime().AsTime(), nil
}
