package fleet

import (
	"encoding/json"
	"fmt"
	"testing"

	"cloud.google.com/go/longrunning/autogen/longrunningpb"
	gantryv1 "gantry.dev/proto/gen/gantry/v1"
	"gantry.dev/services/cluster-mgr/internal/failover"
	"gantry.dev/services/cluster-mgr/internal/store"
)

// BenchmarkOperations is what a look costs for the running move of a thousand
// apps: unpacked anew each time, and remembered.
func BenchmarkOperations(b *testing.B) {
	list := []store.Item[*longrunningpb.Operation]{bigMove(b)}
	for name, remembers := range map[string]bool{"anew": false, "remembered": true} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			var known unpacked
			for b.Loop() {
				next, err := known.next(list)
				if err != nil || len(next.copies()) != 1 {
					b.Fatal(err)
				}
				if remembers {
					known = next
				}
			}
		})
	}
}

// bigMove is a move of a thousand apps, as it is stored.
func bigMove(b *testing.B) store.Item[*longrunningpb.Operation] {
	b.Helper()
	plan := failover.Plan{Kind: failover.KindMigrateApps, Cluster: "site-b"}
	place := failover.Step{Kind: failover.StepPlace, Cluster: "site-a"}
	for i := range 1000 {
		app := fmt.Sprintf("projects/team-%02d/apps/app-%03d", i%20, i)
		plan.Moves = append(plan.Moves, failover.Move{App: app, From: "site-b", Replicas: 2, To: []failover.Target{{Cluster: "site-a", Replicas: 2}}, Fits: true})
		place.Assignments = append(place.Assignments, failover.Assignment{App: app, Replicas: 4})
	}
	plan.Steps = []failover.Step{place, {Kind: failover.StepWaitReady, Cluster: "site-a", Assignments: place.Assignments}}
	text, err := json.Marshal(stored{Plan: plan})
	if err != nil {
		b.Fatal(err)
	}
	o := Operation{Name: "operations/1", Metadata: &gantryv1.OperationMetadata{State: gantryv1.OperationMetadata_STATE_RUNNING, PlanJson: string(text)}}
	for _, m := range plan.Moves {
		o.Metadata.Moves = append(o.Metadata.Moves, &gantryv1.PlannedMove{App: m.App, FromCluster: "clusters/site-b", ToCluster: "clusters/site-a", Replicas: 2})
	}
	value, err := o.Pack()
	if err != nil {
		b.Fatal(err)
	}
	return store.Item[*longrunningpb.Operation]{Name: o.Name, Value: value, ModRevision: 1}
}
