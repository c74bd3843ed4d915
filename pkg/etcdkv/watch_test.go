package etcdkv_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"gantry.dev/pkg/etcdkv"
	"gantry.dev/pkg/etcdkv/etcdtest"
	"gantry.dev/pkg/fault"
	gantryv1 "gantry.dev/proto/gen/gantry/v1"
	clientv3 "go.etcd.io/etcd/client/v3"
)

func newProject() *gantryv1.Project { return &gantryv1.Project{} }

func put(t *testing.T, c *clientv3.Client, key, name string) int64 {
	t.Helper()
	op, err := etcdkv.Put(key, &gantryv1.Project{Name: name})
	if err != nil {
		t.Fatal(err)
	}
	r, err := c.Do(t.Context(), op)
	if err != nil {
		t.Fatal(err)
	}
	return r.Put().Header.Revision
}

func TestGetAndList(t *testing.T) {
	c := etcdtest.Start(t).Client(t)
	put(t, c, "/p/b", "b")
	rev := put(t, c, "/p/a", "a")
	item, err := etcdkv.Get(t.Context(), c, "/p/a", newProject)
	if err != nil || item.Value.GetName() != "a" || item.ModRevision != rev {
		t.Errorf("got %v, %v", item, err)
	}
	if _, err := etcdkv.Get(t.Context(), c, "/p/none", newProject); !fault.HasReason(err, "KEY_NOT_FOUND") {
		t.Errorf("got %v", err)
	}
	items, at, err := etcdkv.List(t.Context(), c, "/p/", newProject)
	if err != nil || len(items) != 2 || items[0].Value.GetName() != "a" || at != rev {
		t.Errorf("got %v at %d, %v", items, at, err)
	}
}

func TestADeadEtcdIsUnavailableNotEmpty(t *testing.T) {
	server := etcdtest.Start(t)
	c := server.Client(t)
	put(t, c, "/p/a", "a")
	server.Stop()
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if items, _, err := etcdkv.List(ctx, c, "/p/", newProject); !fault.Is(err, fault.KindUnavailable) {
		t.Errorf("got %v, %v", items, err)
	}
}

// recorder keeps a watch's events as words until it has seen enough.
type recorder struct{ words []string }

var errEnough = errors.New("enough")

func (r *recorder) until(n int) func(etcdkv.Event[*gantryv1.Project]) error {
	return func(e etcdkv.Event[*gantryv1.Project]) error {
		switch {
		case e.Synced:
			r.words = append(r.words, "synced")
		case e.Deleted:
			r.words = append(r.words, "-"+e.Key)
		default:
			r.words = append(r.words, "+"+e.Key)
		}
		if len(r.words) >= n {
			return errEnough
		}
		return nil
	}
}

func watch(t *testing.T, c *clientv3.Client, from int64, n int, meanwhile func()) []string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	go meanwhile()
	r := &recorder{}
	if err := etcdkv.Watch(ctx, c, "/p/", newProject, from, r.until(n)); !errors.Is(err, errEnough) {
		t.Fatalf("saw %v, then %v", r.words, err)
	}
	return r.words
}

func TestWatchListsThenFollows(t *testing.T) {
	c := etcdtest.Start(t).Client(t)
	put(t, c, "/p/a", "a")
	got := watch(t, c, 0, 4, func() {
		time.Sleep(200 * time.Millisecond)
		put(t, c, "/p/b", "b")
		_, _ = c.Delete(context.Background(), "/p/a")
	})
	if want := []string{"+/p/a", "synced", "+/p/b", "-/p/a"}; !slices.Equal(got, want) {
		t.Errorf("saw %v, want %v", got, want)
	}
}

func TestWatchResumes(t *testing.T) {
	c := etcdtest.Start(t).Client(t)
	seen := put(t, c, "/p/a", "a")
	put(t, c, "/p/b", "b")
	put(t, c, "/p/c", "c")
	if got, want := watch(t, c, seen, 2, func() {}), []string{"+/p/b", "+/p/c"}; !slices.Equal(got, want) {
		t.Errorf("saw %v, want %v", got, want)
	}
}

// rule S3: a compacted revision leads to a list, not to a hole.
func TestWatchListsAfterACompaction(t *testing.T) {
	c := etcdtest.Start(t).Client(t)
	seen := put(t, c, "/p/a", "a")
	var last int64
	for i := range 5 {
		last = put(t, c, fmt.Sprintf("/p/b%d", i), "b")
	}
	if _, err := c.Compact(t.Context(), last); err != nil {
		t.Fatal(err)
	}
	got := watch(t, c, seen, 7, func() {})
	if want := []string{"+/p/a", "+/p/b0", "+/p/b1", "+/p/b2", "+/p/b3", "+/p/b4", "synced"}; !slices.Equal(got, want) {
		t.Errorf("saw %v, want %v", got, want)
	}
}
