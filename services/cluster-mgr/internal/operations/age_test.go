package operations

import (
	"fmt"
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

// Of what ended more than a day ago the latest stay, and of each cluster the
// way back.
func TestOutdatedOperations(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_800_000_000, 0)
	at := func(name string, age time.Duration) past { return past{name: name, at: now.Add(-age)} }
	days := func(n int) time.Duration { return time.Duration(n) * 24 * time.Hour }
	var full []past
	for i := range keptCount {
		full = append(full, at(fmt.Sprintf("full-%03d", i), days(2)))
	}
	wayBack := at("way-back", days(90))
	wayBack.left = "clusters/site-a"
	former := at("former-way-back", days(91))
	former.left = wayBack.left
	other := at("other-cluster", days(92))
	other.left = "clusters/site-b"
	for _, c := range []struct {
		name string
		all  []past
		want []string
	}{
		{"nothing", nil, nil},
		{"as many as are kept", full, nil},
		{"one too many", append(slices.Clone(full), at("oldest", days(3))), []string{"oldest"}},
		{"a day's do not count", append(slices.Clone(full), at("young", time.Hour)), nil},
		{"a full day's stay", append(slices.Clone(full), at("day", days(1))), nil},
		{"by age alone", []past{at("month", days(30)), at("older", days(30)+time.Second)}, []string{"older"}},
		{"the way back", []past{former, wayBack, other}, []string{"former-way-back"}},
		{"the way back does not count", append(slices.Clone(full), wayBack), nil},
		{"of the future", append(slices.Clone(full), at("skewed", -days(1))), nil},
	} {
		var got []string
		for _, o := range outdated(c.all, now) {
			got = append(got, o.name)
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, diff)
		}
	}
}
