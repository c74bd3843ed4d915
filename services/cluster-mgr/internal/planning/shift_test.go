package planning_test

import (
	"encoding/json"
	"strings"
	"testing"

	gantryv1 "gantry.dev/proto/gen/gantry/v1"
	"gantry.dev/services/cluster-mgr/internal/failover"
	"gantry.dev/services/cluster-mgr/internal/fleet"
	"gantry.dev/services/cluster-mgr/internal/store"
	"github.com/google/go-cmp/cmp"
)

func shift(shares map[string]int32) *gantryv1.ShiftTrafficRequest {
	return &gantryv1.ShiftTrafficRequest{Name: pay, Shares: shares, StepPercent: 20, StepSeconds: 10}
}

// led stores shares of pay, site-a and the rest site-b; 0: none.
func (m *movable) led(a int) {
	m.Helper()
	change := store.NewChange()
	if a == 0 {
		m.store.Shares.Delete(change, pay, store.Any)
	} else {
		m.store.Shares.Put(change, pay, fleet.Recorded(pay, []failover.Share{{Cluster: "site-a", Percent: a}, {Cluster: "site-b", Percent: 100 - a}}), store.Any)
	}
	m.commit(change)
}

func TestAShiftStartsAtOnce(t *testing.T) {
	t.Parallel()
	m := newMovable(t)
	dry := shift(map[string]int32{siteB: 100})
	dry.ValidateOnly = true
	if o, err := m.planner.ShiftTraffic(t.Context(), dry, ann); err != nil || o.GetName() != "" {
		t.Errorf("%v, %v", o, err)
	}
	o := m.operation(m.planner.ShiftTraffic(t.Context(), shift(map[string]int32{siteB: 100}), ann))
	meta := o.Metadata
	if !o.Running() || meta.GetKind() != gantryv1.OperationMetadata_KIND_SHIFT_TRAFFIC || meta.GetSubject() != pay || meta.GetCreatedBy() != ann || o.Plan.Guard.PauseSeconds != 10 {
		t.Errorf("%v", meta)
	}
	if diff := cmp.Diff("divide the requests of web: site-b 100 %", meta.GetSummary()); diff != "" || len(meta.GetSteps()) != 6 {
		t.Errorf("%d steps (-want +got):\n%s", len(meta.GetSteps()), diff)
	}
	if live, err := fleet.NewReader(m.store).Live(t.Context()); err != nil || len(live) != 1 {
		t.Errorf("%d operations: %v", len(live), err)
	}
}

// What was planned is kept with its input, and comes out of it again.
//
// rule S5
func TestAShiftIsADecision(t *testing.T) {
	t.Parallel()
	m := newMovable(t)
	m.led(70)
	m.operation(m.planner.ShiftTraffic(t.Context(), shift(map[string]int32{siteB: 100}), ann))
	list, _, err := m.store.Decisions.List(t.Context(), "")
	if err != nil || len(list) != 1 {
		t.Fatalf("%d decisions: %v", len(list), err)
	}
	d := list[0].Value
	var in failover.ShiftInput
	if err := json.Unmarshal([]byte(d.GetInputJson()), &in); err != nil {
		t.Fatal(err)
	}
	again, err := json.Marshal(failover.Shift(in))
	if err != nil || string(again) != d.GetOutputJson() || d.GetSubject() != pay {
		t.Errorf("%v: %s\nagain %s", err, d.GetOutputJson(), again)
	}
	if want := "divide the requests of web: site-b 100 %, in 4 steps; user:ann asked for it"; d.GetSummary() != want {
		t.Errorf("%q", d.GetSummary())
	}
}

func TestShiftsThatAreRefused(t *testing.T) {
	t.Parallel()
	m := newMovable(t)
	try := func(r *gantryv1.ShiftTrafficRequest) error {
		_, err := m.planner.ShiftTraffic(t.Context(), r, ann)
		return err
	}
	m.refused(try(&gantryv1.ShiftTrafficRequest{Name: "projects/pay/apps/none"}), "APP_NOT_FOUND")
	m.refused(try(shift(map[string]int32{"clusters/site-x": 10})), "CLUSTER_NOT_FOUND", "site-x")
	m.refused(try(shift(map[string]int32{siteA: 60, siteB: 60})), "SHARES_INVALID", "120 % together")
	m.refused(try(shift(map[string]int32{siteA: 10, siteB: 60})), "PLAN_IMPOSSIBLE", "70 % together")
	m.refused(try(shift(nil)), "PLAN_IMPOSSIBLE", "by ready pods already")
	m.refused(try(&gantryv1.ShiftTrafficRequest{Name: cron, Shares: map[string]int32{siteA: 100}}), "PLAN_IMPOSSIBLE", "no ready pod in site-a")
	m.cluster(func(c *gantryv1.Cluster) { c.Evacuated = true })
	m.refused(try(shift(map[string]int32{siteB: 100})), "PLAN_IMPOSSIBLE", "site-b is evacuated")
	m.cluster(func(c *gantryv1.Cluster) { c.Evacuated = false })
	first := m.operation(m.planner.ShiftTraffic(t.Context(), shift(map[string]int32{siteB: 100}), ann))
	m.refused(try(shift(map[string]int32{siteA: 100})), "OPERATION_RUNNING", first.Name)
}

// Shifts of apps run beside each other and do not keep clusters from being moved; while clusters are
// moved no shift starts.
func TestAShiftAndOtherOperations(t *testing.T) {
	t.Parallel()
	m := newMovable(t)
	m.operation(m.planner.ShiftTraffic(t.Context(), shift(map[string]int32{siteB: 100}), ann))
	m.operation(m.planner.ShiftTraffic(t.Context(), &gantryv1.ShiftTrafficRequest{Name: cron, Shares: map[string]int32{siteB: 100}}, ann))
	away := m.operation(m.planner.SwitchTraffic(t.Context(), &gantryv1.SwitchTrafficRequest{Name: siteA, ToPercent: 50}, ann))
	change := store.NewChange()
	m.app(change, "projects/pay/apps/late", gantryv1.AppClass_APP_CLASS_REPLICATED, 1, 1)
	m.commit(change)
	_, err := m.planner.ShiftTraffic(t.Context(), &gantryv1.ShiftTrafficRequest{Name: "projects/pay/apps/late", Shares: map[string]int32{siteB: 100}}, ann)
	m.refused(err, "OPERATION_RUNNING", away.Name)
}

func TestAShiftIsTakenBackByOneCommand(t *testing.T) {
	t.Parallel()
	for _, state := range []gantryv1.OperationMetadata_State{gantryv1.OperationMetadata_STATE_SUCCEEDED, gantryv1.OperationMetadata_STATE_CANCELLED} {
		m := newMovable(t)
		m.led(70)
		o := m.operation(m.planner.ShiftTraffic(t.Context(), shift(map[string]int32{siteB: 90}), ann))
		back := &gantryv1.ReverseOperationRequest{Name: o.Name}
		_, err := m.planner.Reverse(t.Context(), back, ann)
		m.refused(err, "OPERATION_NOT_FINISHED")
		o.Progress.Done, o.ModRevision = len(o.Plan.Steps), store.Any
		m.end(o, state)
		_, err = m.planner.Reverse(t.Context(), back, ann)
		m.refused(err, "PLAN_OUTDATED", "have been changed since")
		m.led(10)
		reversal := m.operation(m.planner.Reverse(t.Context(), back, ann))
		if got := reversal.Plan.Steps[len(reversal.Plan.Steps)-2].Shares; !cmp.Equal(got, o.Plan.Former) || reversal.Plan.Guard != o.Plan.Guard {
			t.Errorf("it leads to %v", got)
		}
		if s := reversal.Metadata.GetSummary(); !strings.HasPrefix(s, "takes ") || !strings.HasSuffix(s, "site-a 70 %, site-b 30 %") {
			t.Errorf("%q", s)
		}
	}
}

// The plan of a migration says whose shares it ends, and its way back has them again.
func TestAMigrationEndsShares(t *testing.T) {
	t.Parallel()
	m := newMovable(t)
	m.led(70)
	o := m.operation(m.planner.MigrateApps(t.Context(), migration(), ann))
	if !strings.Contains(strings.Join(o.Metadata.GetProblems(), "\n"), pay+": its requests are led to site-b by shares (site-a 70 %, site-b 30 %), which end") {
		t.Errorf("%v", o.Metadata.GetProblems())
	}
	for name, list := range map[string][]failover.Step{"by ready pods": o.Plan.Steps, "site-a 70 %, site-b 30 %": o.Plan.Reverse} {
		sentences := ""
		for _, s := range list {
			sentences += s.Sentence + "\n"
		}
		if !strings.Contains(sentences, "divide the requests of web: "+name) {
			t.Errorf("%s\nlacks %q", sentences, name)
		}
	}
}
