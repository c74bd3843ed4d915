package operations

import (
	"cmp"
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
	// keptCount is how many finished operations are kept of those that ended
	// more than a day ago: each has the plan of all its apps, and etcd and every
	// instance hold them in memory. Those of the last day stay, however many:
	// they say whether automation may switch again (rule C4).
	keptCount = 200
	keptAll   = 24 * time.Hour
	// ageEvery is the time between two looks for what is older.
	ageEvery = time.Hour
	// agedAtOnce bounds a transaction, of which etcd takes 128 operations.
	agedAtOnce = 40
)

// past is a finished operation.
type past struct {
	name     string
	revision int64
	at       time.Time
	// The cluster that it has moved the apps away from; empty: it has not. The
	// last such operation is how they come back.
	left string
}

// age removes finished operations that nobody needs any more.
func (l *Loop) age(ctx context.Context, now time.Time) error {
	if now.Sub(l.aged) < ageEvery {
		return nil
	}
	items, _, err := l.Store.Operations.Fresh(ctx)
	if err != nil {
		return fmt.Errorf("list operations: %w", err)
	}
	all, err := finished(items)
	if err != nil {
		return err
	}
	for some := range slices.Chunk(outdated(all, now), agedAtOnce) {
		change := store.NewChange().Guard(l.term.Guard())
		for _, o := range some {
			l.Store.Operations.Delete(change, o.name, o.revision)
		}
		if _, err := l.Store.Commit(ctx, change); err != nil {
			return fmt.Errorf("remove old operations: %w", err)
		}
	}
	l.aged = now
	return nil
}

// outdated are the finished operations that are to be removed, latest first.
func outdated(all []past, now time.Time) []past {
	all = slices.Clone(all)
	slices.SortFunc(all, func(a, b past) int { return cmp.Or(b.at.Compare(a.at), cmp.Compare(b.name, a.name)) })
	way := map[string]bool{}
	kept := 0
	var out []past
	for _, o := range all {
		age := now.Sub(o.at)
		switch {
		case o.left != "" && !way[o.left]:
			way[o.left] = true
		case age <= keptAll:
		case age > keptFor || kept >= keptCount:
			out = append(out, o)
		default:
			kept++
		}
	}
	return out
}

// finished are the operations of a list that are done.
func finished(items []store.Item[*longrunningpb.Operation]) ([]past, error) {
	var out []past
	for _, item := range items {
		if !item.Value.GetDone() {
			continue
		}
		m := &gantryv1.OperationMetadata{}
		if err := item.Value.GetMetadata().UnmarshalTo(m); err != nil {
			return nil, fmt.Errorf("read the metadata of %s: %w", item.Name, err)
		}
		o := past{name: item.Name, revision: item.ModRevision, at: m.GetUpdateTime().AsTime()}
		if m.GetKind() == gantryv1.OperationMetadata_KIND_MIGRATE_APPS && m.GetState() == gantryv1.OperationMetadata_STATE_SUCCEEDED {
			o.left = m.GetSubject()
		}
		out = append(out, o)
	}
	return out, nil
}
