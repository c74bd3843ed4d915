package store

import (
	"context"
	"hash/fnv"
	"slices"
	"strings"
	"sync"

	gantryv1 "gantry.dev/proto/gen/gantry/v1"
	clientv3 "go.etcd.io/etcd/client/v3"
)

const (
	// decisionsKept is how many decisions of one kind about one subject stay,
	// besides their age.
	decisionsKept = 100
	// pruneEvery is how many decisions about a subject are written between two
	// looks whether there are too many.
	pruneEvery = 25
	// opsPerChange is etcd's limit for one transaction.
	opsPerChange = 128
)

// Decisions are kept in the order of time, with an index by subject:
// "/gantry/decisions-by-subject/<subject>/<id>/<kind>", without a value.
type Decisions struct {
	*Collection[*gantryv1.Decision]

	mu      sync.Mutex
	written map[string]uint32
}

const (
	decisionPrefix = "decisions/"
	subjectIndex   = "/gantry/decisions-by-subject/"
)

func newDecisions(c *Collection[*gantryv1.Decision]) *Decisions {
	return &Decisions{Collection: c, written: map[string]uint32{}}
}

// Put adds a decision, which nobody changes later, to a change.
func (d *Decisions) Put(ch *Change, name string, value *gantryv1.Decision, modRevision int64) {
	d.Collection.Put(ch, name, value, modRevision)
	if value.GetSubject() == "" {
		return
	}
	ch.aging = append(ch.aging, aging{key: indexOf(value.GetSubject()) + indexed(name, value.GetKind()), age: d.age})
	if d.crowded(value.GetSubject()) {
		ch.crowded = append(ch.crowded, value.GetSubject())
	}
}

// crowded counts a decision. Subjects begin at different counts, so that a
// thousand decisions at once do not make a thousand looks at once.
func (d *Decisions) crowded(subject string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	n, known := d.written[subject]
	if !known {
		h := fnv.New32a()
		_, _ = h.Write([]byte(subject)) // never fails
		n = h.Sum32() % pruneEvery
	}
	d.written[subject] = n + 1
	return (n+1)%pruneEvery == 0
}

func indexOf(subject string) string { return subjectIndex + subject + "/" }

func indexed(name string, kind gantryv1.Decision_Kind) string {
	return strings.TrimPrefix(name, decisionPrefix) + "/" + string(rune('0'+kind))
}

// entry is one line of the index.
type entry struct {
	key, name string
	kind      gantryv1.Decision_Kind
}

// about reads the index of a subject, newest first, between two names, both
// left out; empty: no bound.
func (d *Decisions) about(ctx context.Context, subject, after, before string) ([]entry, error) {
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	prefix := indexOf(subject)
	from, to := prefix, clientv3.GetPrefixRangeEnd(prefix)
	if after != "" {
		from = prefix + strings.TrimPrefix(after, decisionPrefix) + "0" // the first after "/"
	}
	if before != "" {
		to = prefix + strings.TrimPrefix(before, decisionPrefix)
	}
	r, err := d.client.Get(ctx, from, clientv3.WithRange(to), clientv3.WithKeysOnly(), clientv3.WithSort(clientv3.SortByKey, clientv3.SortDescend))
	if err != nil {
		return nil, silent(err)
	}
	var out []entry
	for _, kv := range r.Kvs {
		id, kind, _ := strings.Cut(strings.TrimPrefix(string(kv.Key), prefix), "/")
		if len(kind) == 1 { // else another subject, below this one
			out = append(out, entry{string(kv.Key), decisionPrefix + id, gantryv1.Decision_Kind(kind[0] - '0')})
		}
	}
	return out, nil
}

// Query chooses decisions.
type Query struct {
	// Empty: about anything; unspecified: of any kind.
	Subject string
	Kind    gantryv1.Decision_Kind
	// Only newer ones than this, "decisions/{id}"; empty: all.
	After string
	// Most that a page holds, and the token of the page; empty: the first.
	Size  int
	Token string
}

// Find reads a page of decisions, newest first. About a subject it reads only
// what it gives; otherwise a page may hold fewer than its size.
func (d *Decisions) Find(ctx context.Context, q Query) (Page[*gantryv1.Decision], error) {
	if q.Token != "" && !strings.HasPrefix(q.Token, decisionPrefix) {
		return Page[*gantryv1.Decision]{}, foreignToken(q.Token)
	}
	if q.Subject == "" {
		return d.newest(ctx, q)
	}
	entries, err := d.about(ctx, q.Subject, q.After, q.Token)
	if err != nil {
		return Page[*gantryv1.Decision]{}, err
	}
	var names []string
	for _, e := range entries {
		if q.Kind == gantryv1.Decision_KIND_UNSPECIFIED || e.kind == q.Kind {
			names = append(names, e.name)
		}
	}
	page := Page[*gantryv1.Decision]{}
	if len(names) > q.Size {
		names = names[:q.Size]
		page.Next = names[q.Size-1]
	}
	page.Items, err = d.GetMany(ctx, names)
	return page, err
}

func (d *Decisions) newest(ctx context.Context, q Query) (Page[*gantryv1.Decision], error) {
	from, to := d.prefix+decisionPrefix, clientv3.GetPrefixRangeEnd(d.prefix+decisionPrefix)
	if q.After != "" {
		from = d.prefix + q.After + "\x00"
	}
	if q.Token != "" {
		to = d.prefix + q.Token
	}
	page, err := d.between(ctx, from, to, q.Size, clientv3.SortDescend)
	page.Items = slices.DeleteFunc(page.Items, func(i Item[*gantryv1.Decision]) bool {
		return q.Kind != gantryv1.Decision_KIND_UNSPECIFIED && i.Value.GetKind() != q.Kind
	})
	return page, err
}

// prune removes the oldest decisions about a subject beyond those that are
// kept of each kind.
func (d *Decisions) prune(ctx context.Context, subject string) error {
	entries, err := d.about(ctx, subject, "", "")
	if err != nil {
		return err
	}
	seen := map[gantryv1.Decision_Kind]int{}
	var ops []clientv3.Op
	for _, e := range entries {
		if seen[e.kind]++; seen[e.kind] > decisionsKept {
			ops = append(ops, clientv3.OpDelete(e.key), clientv3.OpDelete(d.key(e.name)))
		}
	}
	for some := range slices.Chunk(ops, opsPerChange) {
		if _, err := d.client.Txn(ctx).Then(some...).Commit(); err != nil {
			return silent(err)
		}
	}
	return nil
}
