package planning_test

import (
	"encoding/json"
	"strings"
	"testing"

	gantryv1 "gantry.dev/proto/gen/gantry/v1"
	"gantry.dev/services/cluster-mgr/internal/failover"
	"gantry.dev/services/cluster-mgr/internal/fleet"
	"gantry.dev/services/cluster-mgr/internal/store"
	"gantry.dev/services/cluster-mgr/offline"
)

// plans are the stored decisions about plans, oldest first.
func (m *movable) plans() []*gantryv1.Decision {
	m.Helper()
	items, _, err := m.store.Decisions.List(m.Context(), "")
	if err != nil {
		m.Fatal(err)
	}
	var out []*gantryv1.Decision
	for _, item := range items {
		if item.Value.GetKind() == gantryv1.Decision_KIND_FAILOVER {
			out = append(out, item.Value)
		}
	}
	return out
}

// rule S5: each plan that is stored can be made again from its decision alone.
func TestStoredPlansAreMadeAgain(t *testing.T) {
	t.Parallel()
	m := newMovable(t)
	m.home()
	o := m.operation(m.planner.SwitchTraffic(t.Context(), &gantryv1.SwitchTrafficRequest{Name: siteA}, ann))
	m.end(o, gantryv1.OperationMetadata_STATE_SUCCEEDED)
	// The loss is planned, and planned again when it is approved.
	plans := m.madeAgain("MIGRATE_APPS", "MIGRATE_APPS", "FAIL_BACK", "SWITCH_TRAFFIC")
	if !strings.Contains(plans[2].GetInputJson(), `"left":{`) {
		t.Error("the way back does not know how the cluster was left")
	}
	if plans[0].GetEpoch() != 3 {
		t.Errorf("the leader's own plan is of epoch %d", plans[0].GetEpoch())
	}
}

// rule S5: so can the ways back.
func TestStoredWaysBackAreMadeAgain(t *testing.T) {
	t.Parallel()
	m := newMovable(t)
	m.led(70)
	shifted := m.operation(m.planner.ShiftTraffic(t.Context(), shift(map[string]int32{siteB: 90}), ann))
	shifted.Progress.Done, shifted.ModRevision = len(shifted.Plan.Steps), store.Any
	m.end(shifted, gantryv1.OperationMetadata_STATE_SUCCEEDED)
	m.led(10)
	m.end(m.reverse(shifted), gantryv1.OperationMetadata_STATE_SUCCEEDED)
	switched := m.operation(m.planner.SwitchTraffic(t.Context(), &gantryv1.SwitchTrafficRequest{Name: siteB}, ann))
	m.end(switched, gantryv1.OperationMetadata_STATE_SUCCEEDED)
	m.cluster(func(c *gantryv1.Cluster) { c.TrafficPercent = 0 })
	m.end(m.reverse(switched), gantryv1.OperationMetadata_STATE_SUCCEEDED)
	m.cluster(func(c *gantryv1.Cluster) { c.TrafficPercent = 100 })
	left := m.operation(m.planner.MigrateApps(t.Context(), migration(), ann))
	m.end(left, gantryv1.OperationMetadata_STATE_SUCCEEDED)
	m.cluster(func(c *gantryv1.Cluster) { c.Evacuated, c.TrafficPercent = true, 0 })
	m.share(4, 0)
	m.reverse(left)
	m.madeAgain("SHIFT_TRAFFIC", "SHIFT_TRAFFIC", "SWITCH_TRAFFIC", "SWITCH_TRAFFIC", "MIGRATE_APPS", "FAIL_BACK")
}

func (m *movable) reverse(o fleet.Operation) fleet.Operation {
	m.Helper()
	return m.operation(m.planner.Reverse(m.Context(), &gantryv1.ReverseOperationRequest{Name: o.Name}, ann))
}

// madeAgain makes all stored plans again from their decisions alone.
func (m *movable) madeAgain(kinds ...string) []*gantryv1.Decision {
	m.Helper()
	plans := m.plans()
	if len(plans) != len(kinds) {
		m.Fatalf("%d plans are stored, want %d", len(plans), len(kinds))
	}
	for i, want := range kinds {
		stored := []byte(`{"kind":"KIND_FAILOVER","subject":"` + plans[i].GetSubject() + `","inputJson":` + quoted(m.T, plans[i].GetInputJson()) + `,"outputJson":` + quoted(m.T, plans[i].GetOutputJson()) + `}`)
		answer, err := offline.Failover(stored)
		if err != nil || answer.Action != want || answer.Differs() {
			m.Errorf("%s: %v, %s, want %s\nstored %s\nagain  %s", plans[i].GetSummary(), err, answer.Action, want, plans[i].GetOutputJson(), answer.Output)
		}
	}
	return plans
}

// What a migration moved is what comes back.
func TestFailBackTakesWhatWasMoved(t *testing.T) {
	t.Parallel()
	m := newMovable(t)
	back := m.home()
	var got []failover.Move
	for _, move := range back.Plan.Moves {
		if move.App == pay {
			got = append(got, move)
		}
	}
	if len(got) != 1 || got[0].From != "site-a" || got[0].Replicas != 2 {
		t.Errorf("moves %+v, problems %v", got, back.Plan.Problems)
	}
}

// home is the operation that brings work back to site-b, which was lost and
// left. It has come to its end.
func (m *movable) home() (back fleet.Operation) {
	m.Helper()
	o := m.prepare()
	o = m.operation(m.planner.Approve(m.Context(), o.Name, ann))
	m.end(o, gantryv1.OperationMetadata_STATE_SUCCEEDED)
	m.judge(gantryv1.ClusterHealth_STATE_HEALTHY)
	m.cluster(func(c *gantryv1.Cluster) { c.Evacuated, c.TrafficPercent = true, 0 })
	m.share(4, 0)
	back = m.operation(m.planner.FailBack(m.Context(), &gantryv1.FailBackRequest{Name: siteB}, ann))
	m.end(back, gantryv1.OperationMetadata_STATE_SUCCEEDED)
	m.cluster(func(c *gantryv1.Cluster) { c.Evacuated, c.TrafficPercent = false, 100 })
	m.share(2, 2)
	return back
}

// share assigns web's replicas.
func (m *movable) share(a, b int) {
	m.Helper()
	item, err := m.store.Assignments.Get(m.Context(), pay)
	if err != nil {
		m.Fatal(err)
	}
	item.Value.Shares = []store.ShareRecord{{Cluster: siteA, Replicas: a}, {Cluster: siteB, Replicas: b}}
	change := store.NewChange()
	m.store.Assignments.Put(change, pay, item.Value, item.ModRevision)
	m.commit(change)
}

func quoted(t *testing.T, text string) string {
	t.Helper()
	out, err := json.Marshal(text)
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}
