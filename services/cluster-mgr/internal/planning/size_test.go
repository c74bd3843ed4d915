package planning_test

import (
	"fmt"
	"testing"

	gantryv1 "gantry.dev/proto/gen/gantry/v1"
	"gantry.dev/services/cluster-mgr/internal/store"
	"google.golang.org/protobuf/proto"
)

// etcd takes requests of 1.5 MiB: the operation that moves a thousand apps has
// to fit, whichever state it is in and however little of it fits.
func TestAMigrationOfAThousandAppsCanBeStored(t *testing.T) {
	t.Parallel()
	for name, room := range map[string]int64{"all fits": 3_000_000, "nothing fits": 0} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := newMovable(t)
			m.room = room
			m.thousand()
			o := m.prepare()
			o.Progress.Done = len(o.Plan.Steps)
			m.end(o, gantryv1.OperationMetadata_STATE_SUCCEEDED)
			item, err := m.store.Operations.Get(t.Context(), o.Name)
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("%d moves, %d bytes", len(o.Metadata.GetMoves()), proto.Size(item.Value))
		})
	}
}

// thousand adds so many apps with two replicas in each cluster.
func (m *movable) thousand() {
	m.Helper()
	for batch := range 20 {
		change := store.NewChange()
		for i := range 50 {
			m.app(change, fmt.Sprintf("projects/business-line-%02d/apps/service-%03d", batch, i), gantryv1.AppClass_APP_CLASS_REPLICATED, 2, 2)
		}
		m.commit(change)
	}
}
