package store_test

import (
	"context"
	"log/slog"
	"strings"
	"testing"
	"time"

	"gantry.dev/pkg/etcdkv/etcdtest"
	"gantry.dev/pkg/fault"
	"gantry.dev/pkg/leader"
	gantryv1 "gantry.dev/proto/gen/gantry/v1"
	"gantry.dev/services/cluster-mgr/internal/store"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func project(name string) *gantryv1.Project { return &gantryv1.Project{Name: name} }

// put stores a project and gives the revision.
func put(t *testing.T, s *store.Store, name string, revision int64) (int64, error) {
	t.Helper()
	change := store.NewChange()
	s.Projects.Put(change, name, project(name), revision)
	return s.Commit(t.Context(), change)
}

func TestAWriteComparesWhatItsWriterHasRead(t *testing.T) {
	s := store.New(etcdtest.Start(t).Client(t))
	first, err := put(t, s, "projects/a", 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := put(t, s, "projects/a", 0); !fault.HasReason(err, "CHANGED_MEANWHILE") {
		t.Errorf("a second creation: %v", err)
	}
	second, err := put(t, s, "projects/a", first)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := put(t, s, "projects/a", first); !fault.HasReason(err, "CHANGED_MEANWHILE") {
		t.Errorf("a stale write: %v", err)
	}
	item, err := s.Projects.Get(t.Context(), "projects/a")
	if err != nil || item.ModRevision != second || item.Name != "projects/a" {
		t.Errorf("%+v, %v", item, err)
	}
	if _, err := put(t, s, "projects/a", store.Any); err != nil {
		t.Errorf("a write that compares nothing: %v", err)
	}
	if _, err := s.Projects.Get(t.Context(), "projects/b"); !fault.HasReason(err, "PROJECT_NOT_FOUND") {
		t.Errorf("what is not there: %v", err)
	}
}

func TestAChangeHappensWhollyOrNotAtAll(t *testing.T) {
	s := store.New(etcdtest.Start(t).Client(t))
	if _, err := put(t, s, "projects/a", 0); err != nil {
		t.Fatal(err)
	}
	change := store.NewChange()
	s.Projects.Put(change, "projects/b", project("projects/b"), 0)
	s.Decisions.Put(change, "decisions/1", &gantryv1.Decision{Name: "decisions/1"}, 0)
	s.Projects.Put(change, "projects/a", project("projects/a"), 0)
	if _, err := s.Commit(t.Context(), change); !fault.Is(err, fault.KindConflict) {
		t.Fatal(err)
	}
	for name, get := range map[string]func() error{
		"projects/b":  func() error { _, err := s.Projects.Get(t.Context(), "projects/b"); return err },
		"decisions/1": func() error { _, err := s.Decisions.Get(t.Context(), "decisions/1"); return err },
	} {
		if err := get(); !fault.Is(err, fault.KindNotFound) {
			t.Errorf("%s of a refused change: %v", name, err)
		}
	}
}

// rule S1
func TestAFormerLeaderWritesNothing(t *testing.T) {
	client := etcdtest.Start(t).Client(t)
	s := store.New(client)
	former := lead(t, client)
	lead(t, client)
	change := store.NewChange().Guard(former.Guard())
	s.Projects.Put(change, "projects/a", project("projects/a"), 0)
	if _, err := s.Commit(t.Context(), change); !fault.HasReason(err, "NOT_LEADER") {
		t.Errorf("got %v", err)
	}
	if _, err := s.Projects.Get(t.Context(), "projects/a"); !fault.Is(err, fault.KindNotFound) {
		t.Errorf("the write of a former leader is there: %v", err)
	}
}

// lead wins an election and gives the term up again.
func lead(t *testing.T, client *clientv3.Client) leader.Term {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	var term leader.Term
	config := leader.Config{Client: client, Prefix: "/test/leader", Name: "x", TTL: 3 * time.Second, Logger: slog.New(slog.DiscardHandler)}
	if err := leader.Run(ctx, config, func(_ context.Context, t leader.Term) error {
		term = t
		cancel()
		return nil
	}); err != nil || term.Epoch == 0 {
		t.Fatalf("nobody led: %v", err)
	}
	return term
}

func TestPages(t *testing.T) {
	s := store.New(etcdtest.Start(t).Client(t))
	for _, name := range []string{"projects/a", "projects/b", "projects/c"} {
		if _, err := put(t, s, name, 0); err != nil {
			t.Fatal(err)
		}
	}
	for _, tc := range []struct {
		descending bool
		want       string
	}{{false, "a b|c"}, {true, "c b|a"}} {
		var pages []string
		for token := ""; ; {
			p, err := s.Projects.Page(t.Context(), "projects/", 2, token, tc.descending)
			if err != nil {
				t.Fatal(err)
			}
			var names []string
			for _, i := range p.Items {
				names = append(names, strings.TrimPrefix(i.Name, "projects/"))
			}
			pages = append(pages, strings.Join(names, " "))
			if token = p.Next; token == "" {
				break
			}
		}
		if got := strings.Join(pages, "|"); got != tc.want {
			t.Errorf("descending %v: %s", tc.descending, got)
		}
	}
	if _, err := s.Projects.Page(t.Context(), "projects/", 2, "clusters/x", false); !fault.HasReason(err, "PAGE_TOKEN_INVALID") {
		t.Errorf("a token of another list: %v", err)
	}
}
