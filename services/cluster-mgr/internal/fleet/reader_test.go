package fleet

import (
	"testing"

	"cloud.google.com/go/longrunning/autogen/longrunningpb"
	gantryv1 "gantry.dev/proto/gen/gantry/v1"
	"gantry.dev/services/cluster-mgr/internal/failover"
	"gantry.dev/services/cluster-mgr/internal/store"
)

func packed(t *testing.T, name string, state gantryv1.OperationMetadata_State) store.Item[*longrunningpb.Operation] {
	t.Helper()
	plan := `{"plan":{"kind":"MIGRATE_APPS","targets":["site-a"]}}`
	o := Operation{Name: name, Metadata: &gantryv1.OperationMetadata{State: state, PlanJson: plan}}
	value, err := o.Pack()
	if err != nil {
		t.Fatal(err)
	}
	return store.Item[*longrunningpb.Operation]{Name: name, Value: value, ModRevision: 1}
}

// The plans of two looks are one and the same as long as nobody writes the
// operation, and what one look does to the metadata the next does not see.
func TestPlansAreUnpackedOncePerRevision(t *testing.T) {
	t.Parallel()
	item := packed(t, "operations/1", gantryv1.OperationMetadata_STATE_RUNNING)
	list := []store.Item[*longrunningpb.Operation]{item}
	look := func(u unpacked) (unpacked, Operation) {
		t.Helper()
		next, err := u.next(list)
		if err != nil || len(next) != 1 {
			t.Fatalf("%d operations, %v", len(next), err)
		}
		return next, next.copies()[0]
	}
	known, first := look(nil)
	first.Metadata.Summary = "changed by who works on it"
	known, second := look(known)
	if &first.Plan.Targets[0] != &second.Plan.Targets[0] {
		t.Error("the plan was unpacked again")
	}
	if got := second.Metadata.GetSummary(); got != "" {
		t.Errorf("the summary is %q", got)
	}
	list = []store.Item[*longrunningpb.Operation]{packed(t, "operations/1", gantryv1.OperationMetadata_STATE_AWAITING_APPROVAL)}
	_, third := look(known)
	if third.Running() || third.Plan.Kind != failover.KindMigrateApps {
		t.Errorf("a written operation is %s", third.Metadata.GetState())
	}
}

// What is finished is not even opened: this one cannot be.
func TestFinishedOperationsAreNotUnpacked(t *testing.T) {
	t.Parallel()
	done := packed(t, "operations/1", gantryv1.OperationMetadata_STATE_SUCCEEDED)
	done.Value.Metadata.Value = []byte("no metadata")
	waiting := packed(t, "operations/2", gantryv1.OperationMetadata_STATE_AWAITING_APPROVAL)
	next, err := unpacked(nil).next([]store.Item[*longrunningpb.Operation]{done, waiting})
	if err != nil || len(next) != 1 || next[0].Name != "operations/2" {
		t.Errorf("%d operations, %v", len(next), err)
	}
	waiting.Value.Metadata.Value = []byte("no metadata")
	if _, err := unpacked(nil).next([]store.Item[*longrunningpb.Operation]{waiting}); err == nil {
		t.Error("an operation that cannot be read was passed over")
	}
}
