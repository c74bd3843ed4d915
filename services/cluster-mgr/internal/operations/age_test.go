package operations

import (
	"slices"
	"testing"
	"time"

	"gantry.dev/pkg/etcdkv/etcdtest"
	gantryv1 "gantry.dev/proto/gen/gantry/v1"
	"gantry.dev/services/cluster-mgr/internal/fleet"
	"gantry.dev/services/cluster-mgr/internal/operations/termtest"
	"gantry.dev/services/cluster-mgr/internal/store"
	"github.com/google/go-cmp/cmp"
)

// What ended a month ago goes; what waits or runs stays, however old it is.
func TestFinishedOperationsAge(t *testing.T) {
	t.Parallel()
	client := etcdtest.Start(t).Client(t)
	s, now := store.New(client), time.Now()
	put := func(name string, state gantryv1.OperationMetadata_State, age time.Duration) {
		t.Helper()
		change := store.NewChange()
		o := fleet.Operation{Name: "operations/" + name, Metadata: &gantryv1.OperationMetadata{State: state}}
		if err := o.Put(s, change, now.Add(-age)); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Commit(t.Context(), change); err != nil {
			t.Fatal(err)
		}
	}
	put("old", gantryv1.OperationMetadata_STATE_SUCCEEDED, keptFor+time.Minute)
	put("young", gantryv1.OperationMetadata_STATE_SUCCEEDED, keptFor-time.Minute)
	put("waiting", gantryv1.OperationMetadata_STATE_AWAITING_APPROVAL, 2*keptFor)
	term, _ := termtest.Lead(t, client, "cluster-mgr-1")
	l := &Loop{Config: Config{Store: s}, term: term}
	age := func(now time.Time, want ...string) {
		t.Helper()
		if err := l.age(t.Context(), now); err != nil {
			t.Fatal(err)
		}
		items, _, err := s.Operations.List(t.Context(), "")
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, item := range items {
			got = append(got, item.Name[len("operations/"):])
		}
		slices.Sort(got)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("operations (-want +got):\n%s", diff)
		}
	}
	age(now, "waiting", "young")
	put("failed", gantryv1.OperationMetadata_STATE_FAILED, 2*keptFor)
	age(now.Add(ageEvery/2), "failed", "waiting", "young")
	age(now.Add(ageEvery), "waiting")
}
