package store_test

import (
	"context"
	"fmt"
	"testing"

	"gantry.dev/pkg/etcdkv/etcdtest"
	gantryv1 "gantry.dev/proto/gen/gantry/v1"
	"gantry.dev/services/cluster-mgr/internal/store"
	"github.com/google/go-cmp/cmp"
	"golang.org/x/sync/errgroup"
	"google.golang.org/protobuf/testing/protocmp"
	"pgregory.net/rapid"
)

// same compares what Fresh gives with what is stored.
func same(t *rapid.T, s *store.Store) {
	want, _, err := s.Projects.List(context.Background(), "")
	if err != nil {
		t.Fatal(err)
	}
	got, revision, err := s.Projects.Fresh(context.Background())
	if err != nil || revision == 0 {
		t.Fatal(revision, err)
	}
	if diff := cmp.Diff(want, got, protocmp.Transform()); diff != "" {
		t.Fatal(diff)
	}
}

// Whatever is written between two calls, by whomever, Fresh gives what List
// gives.
func TestFreshIsWhatListGives(t *testing.T) {
	client := etcdtest.Start(t).Client(t)
	reader, writer := store.New(client), store.New(client)
	rapid.Check(t, func(t *rapid.T) {
		for range rapid.IntRange(1, 4).Draw(t, "looks") {
			change := store.NewChange()
			for _, n := range rapid.SliceOfNDistinct(rapid.IntRange(0, 7), 0, 5, rapid.ID).Draw(t, "written") {
				name := fmt.Sprintf("projects/p%d", n)
				if rapid.Bool().Draw(t, "delete") {
					writer.Projects.Delete(change, name, store.Any)
					continue
				}
				writer.Projects.Put(change, name, &gantryv1.Project{Name: name, DisplayName: rapid.StringN(0, 5, -1).Draw(t, "shown")}, store.Any)
			}
			if _, err := writer.Commit(context.Background(), change); err != nil {
				t.Fatal(err)
			}
			same(t, reader)
		}
	})
}

// An answer is never older than its question, also while others ask: what a
// caller has stored, it finds.
func TestFreshIsNotOlderThanItsQuestion(t *testing.T) {
	s := store.New(etcdtest.Start(t).Client(t))
	var group errgroup.Group
	for i := range 16 {
		name := fmt.Sprintf("projects/p%02d", i)
		group.Go(func() error {
			for n := range 20 {
				change := store.NewChange()
				s.Projects.Put(change, name, &gantryv1.Project{Name: name, DisplayName: fmt.Sprint(n)}, store.Any)
				revision, err := s.Commit(t.Context(), change)
				if err != nil {
					return err
				}
				if err := holds(t.Context(), s, name, revision); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		t.Error(err)
	}
}

func holds(ctx context.Context, s *store.Store, name string, revision int64) error {
	items, at, err := s.Projects.Fresh(ctx)
	if err != nil {
		return err
	}
	for _, item := range items {
		if item.Name == name && item.ModRevision == revision && at >= revision {
			return nil
		}
	}
	return fmt.Errorf("%s of revision %d is not among %d items of %d", name, revision, len(items), at)
}

// A caller that leaves while it reads spoils nothing for who waits.
func TestACallerThatLeavesSpoilsNothing(t *testing.T) {
	s := store.New(etcdtest.Start(t).Client(t))
	if _, err := put(t, s, "projects/a", 0); err != nil {
		t.Fatal(err)
	}
	gone, leave := context.WithCancel(t.Context())
	leave()
	var group errgroup.Group
	for i := range 20 {
		group.Go(func() error {
			if i%2 == 0 {
				_, _, _ = s.Projects.Fresh(gone) // it may have been answered
				return nil
			}
			items, _, err := s.Projects.Fresh(t.Context())
			if err == nil && len(items) != 1 {
				err = fmt.Errorf("%d items", len(items))
			}
			return err
		})
	}
	if err := group.Wait(); err != nil {
		t.Error(err)
	}
}
