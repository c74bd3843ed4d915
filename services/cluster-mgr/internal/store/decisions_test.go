package store_test

import (
	"fmt"
	"strings"
	"testing"

	"gantry.dev/pkg/etcdkv/etcdtest"
	"gantry.dev/pkg/fault"
	gantryv1 "gantry.dev/proto/gen/gantry/v1"
	"gantry.dev/services/cluster-mgr/internal/store"
	clientv3 "go.etcd.io/etcd/client/v3"
)

const (
	scaled = gantryv1.Decision_KIND_AUTOSCALE
	placed = gantryv1.Decision_KIND_PLACEMENT
)

// decide stores a decision, the n-th in time.
func decide(t *testing.T, s *store.Store, n int, kind gantryv1.Decision_Kind, subject string) {
	t.Helper()
	change := store.NewChange()
	d := &gantryv1.Decision{Name: fmt.Sprintf("decisions/%013d-x", n), Kind: kind, Subject: subject, InputJson: strings.Repeat("x", 5000)}
	s.Decisions.Put(change, d.GetName(), d, 0)
	if _, err := s.Commit(t.Context(), change); err != nil {
		t.Fatal(err)
	}
}

// numbers reads all pages of a query as the decisions' numbers.
func numbers(t *testing.T, s *store.Store, q store.Query) string {
	t.Helper()
	var out []string
	for {
		p, err := s.Decisions.Find(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		for _, i := range p.Items {
			var n int
			if _, err := fmt.Sscanf(i.Name, "decisions/%d-x", &n); err != nil {
				t.Fatal(err)
			}
			out = append(out, fmt.Sprint(n))
		}
		if q.Token = p.Next; q.Token == "" {
			return strings.Join(out, " ")
		}
	}
}

func TestDecisionsAreFoundBySubjectAndKindAndTime(t *testing.T) {
	s := store.New(etcdtest.Start(t).Client(t))
	for n, d := range []struct {
		kind    gantryv1.Decision_Kind
		subject string
	}{
		{scaled, "projects/p/apps/web"}, {placed, "projects/p/apps/web"}, {scaled, "projects/p/apps/web-2"},
		{scaled, "projects/p/apps/web"}, {placed, "projects/p/apps"}, {scaled, "projects/p/apps/web"},
	} {
		decide(t, s, n+1, d.kind, d.subject)
	}
	const third = "decisions/0000000000003-x"
	for _, tc := range []struct {
		query store.Query
		want  string
	}{
		{store.Query{Size: 2}, "6 5 4 3 2 1"},
		{store.Query{Size: 2, After: third}, "6 5 4"},
		{store.Query{Size: 2, Kind: placed}, "5 2"},
		{store.Query{Size: 2, Subject: "projects/p/apps/web"}, "6 4 2 1"},
		{store.Query{Size: 1, Subject: "projects/p/apps/web", Kind: scaled}, "6 4 1"},
		{store.Query{Size: 9, Subject: "projects/p/apps/web", After: third}, "6 4"},
		{store.Query{Size: 9, Subject: "projects/p/apps"}, "5"},
		{store.Query{Size: 9, Subject: "projects/p/apps/none"}, ""},
	} {
		if got := numbers(t, s, tc.query); got != tc.want {
			t.Errorf("%+v: got %q, want %q", tc.query, got, tc.want)
		}
	}
	if _, err := s.Decisions.Find(t.Context(), store.Query{Token: "operations/1"}); !fault.HasReason(err, "PAGE_TOKEN_INVALID") {
		t.Errorf("a token of another list: %v", err)
	}
}

// However much is decided about a subject, what is kept of each kind is
// bounded, and the newest stay.
func TestOldDecisionsMakeRoom(t *testing.T) {
	client := etcdtest.Start(t).Client(t)
	s := store.New(client)
	decide(t, s, 1, placed, "projects/p/apps/web")
	for n := range 160 {
		decide(t, s, n+2, scaled, "projects/p/apps/web")
	}
	all := strings.Fields(numbers(t, s, store.Query{Size: 1000, Subject: "projects/p/apps/web"}))
	if len(all) < 101 || len(all) > 126 || all[0] != "161" || all[len(all)-1] != "1" {
		t.Errorf("%d decisions are left, from %s to %s", len(all), all[0], all[len(all)-1])
	}
	if listed := strings.Fields(numbers(t, s, store.Query{Size: 1000})); len(listed) != len(all) {
		t.Errorf("%d by time, %d by subject", len(listed), len(all))
	}
	// All of them share one lease: granting one is a write of its own.
	leases, err := client.Leases(t.Context())
	if err != nil || len(leases.Leases) != 1 {
		t.Errorf("%d leases, %v", len(leases.Leases), err)
	}
}

func TestLargeValuesAreStoredSmall(t *testing.T) {
	client := etcdtest.Start(t).Client(t)
	s := store.New(client)
	large := &gantryv1.Decision{Name: "decisions/1", InputJson: strings.Repeat(`{"cluster":"site-a"},`, 200_000)}
	change := store.NewChange()
	s.Decisions.Put(change, large.GetName(), large, 0)
	if _, err := s.Commit(t.Context(), change); err != nil {
		t.Fatal(err)
	}
	r, err := client.Get(t.Context(), "/gantry/decisions/decisions/1")
	if err != nil || len(r.Kvs) != 1 || len(r.Kvs[0].Value) > 100_000 {
		t.Fatalf("stored as %d bytes: %v", len(r.Kvs[0].Value), err)
	}
	got, err := s.Decisions.Get(t.Context(), "decisions/1")
	if err != nil || got.Value.GetInputJson() != large.GetInputJson() {
		t.Errorf("it reads otherwise: %v", err)
	}
}

func TestALeaseThatIsGoneIsReplaced(t *testing.T) {
	client := etcdtest.Start(t).Client(t)
	s := store.New(client)
	decide(t, s, 1, scaled, "clusters/a")
	leases, err := client.Leases(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range leases.Leases {
		if _, err := client.Revoke(t.Context(), l.ID); err != nil {
			t.Fatal(err)
		}
	}
	decide(t, s, 2, scaled, "clusters/a")
	if got := numbers(t, s, store.Query{Size: 9, Subject: "clusters/a"}); got != "2" {
		t.Errorf("got %q", got)
	}
}

// rule S1
func TestAChangeDependsOnWhatItExpects(t *testing.T) {
	s := store.New(etcdtest.Start(t).Client(t))
	first, err := put(t, s, "projects/a", 0)
	if err != nil {
		t.Fatal(err)
	}
	_, listedAt, err := s.Projects.List(t.Context(), "projects/")
	if err != nil {
		t.Fatal(err)
	}
	try := func(expect func(*store.Change)) error {
		change := store.NewChange()
		expect(change)
		s.Gateways.Put(change, "gateways/g", &gantryv1.Gateway{Name: "gateways/g"}, store.Any)
		_, err := s.Commit(t.Context(), change)
		return err
	}
	asRead := func(ch *store.Change) { s.Projects.Expect(ch, "projects/a", first) }
	absent := func(ch *store.Change) { s.Projects.Expect(ch, "projects/b", 0) }
	noneSince := func(ch *store.Change) { s.Projects.ExpectNoneSince(ch, "projects/", listedAt) }
	noneElsewhere := func(ch *store.Change) { s.Projects.ExpectNoneSince(ch, "projects/z", listedAt) }
	for name, expect := range map[string]func(*store.Change){"as read": asRead, "absent": absent, "none since": noneSince, "none elsewhere": noneElsewhere} {
		if err := try(expect); err != nil {
			t.Errorf("%s, and so it is: %v", name, err)
		}
	}
	for _, name := range []string{"projects/a", "projects/b"} {
		if _, err := put(t, s, name, store.Any); err != nil {
			t.Fatal(err)
		}
	}
	for name, expect := range map[string]func(*store.Change){"as read": asRead, "absent": absent, "none since": noneSince} {
		if err := try(expect); !fault.HasReason(err, "CHANGED_MEANWHILE") {
			t.Errorf("%s, and it is not: %v", name, err)
		}
	}
	if err := try(noneElsewhere); err != nil {
		t.Errorf("what was written elsewhere counts: %v", err)
	}
}

func TestManyAreReadAtOnce(t *testing.T) {
	client := etcdtest.Start(t).Client(t)
	s := store.New(client)
	var names []string
	var ops []clientv3.Op
	for n := range 300 {
		name := fmt.Sprintf("projects/p%03d", 299-n)
		names = append(names, name)
		if n%2 == 0 {
			ops = append(ops, clientv3.OpPut("/gantry/projects/"+name, ""))
		}
	}
	for len(ops) > 0 {
		some := ops[:min(len(ops), 100)]
		ops = ops[len(some):]
		if _, err := client.Txn(t.Context()).Then(some...).Commit(); err != nil {
			t.Fatal(err)
		}
	}
	got, err := s.Projects.GetMany(t.Context(), names)
	if err != nil || len(got) != 150 || got[0].Name != "projects/p299" || got[149].Name != "projects/p001" {
		t.Errorf("%d read: %v", len(got), err)
	}
	change := store.NewChange()
	s.Projects.DeleteAll(change, "projects/p1")
	if _, err := s.Commit(t.Context(), change); err != nil {
		t.Fatal(err)
	}
	if left, _, err := s.Projects.List(t.Context(), ""); err != nil || len(left) != 100 {
		t.Errorf("%d left: %v", len(left), err)
	}
}
