package watchdog

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	gantryv1 "gantry.dev/proto/gen/gantry/v1"
	"gantry.dev/services/cluster-mgr/internal/failover"
	"gantry.dev/services/cluster-mgr/internal/fleet"
	"gantry.dev/services/cluster-mgr/internal/store"
	"github.com/google/go-cmp/cmp"
)

func automatic() *gantryv1.FailoverPolicy { return &gantryv1.FailoverPolicy{Automatic: true} }

// lose kills site-b and waits for the verdict.
func (w *world) lose() *world {
	w.t.Helper()
	w.sites[siteB].dead = true
	for w.verdict(siteB) != "DOWN" {
		w.pass(2 * time.Second)
	}
	return w
}

func (w *world) last() fleet.Operation {
	all := w.operations()
	return all[len(all)-1]
}

func TestAPolicyApproves(t *testing.T) {
	t.Parallel()
	w := newWorld(t, siteA, siteB).opt(siteB, automatic()).pass(20 * time.Second).lose().pass(50 * time.Second)
	o := w.last()
	if o.Running() || !strings.Contains(o.Metadata.GetSummary(), "the verdict must have held for 60 s, until ") {
		t.Errorf("too early, or unexplained: %s, %s", o.Metadata.GetState(), o.Metadata.GetSummary())
	}
	w.pass(20 * time.Second)
	if o = w.last(); !o.Running() || o.Metadata.GetApprovedBy() != "gantry (policy of clusters/site-b)" {
		t.Fatalf("%s, approved by %q: %s", o.Metadata.GetState(), o.Metadata.GetApprovedBy(), o.Metadata.GetSummary())
	}
	replay(t, w)
}

// replay decides again from the decision that was recorded.
func replay(t *testing.T, w *world) {
	t.Helper()
	decisions, _, err := w.store.Decisions.List(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(decisions, func(d store.Item[*gantryv1.Decision]) bool {
		return d.Value.GetKind() == gantryv1.Decision_KIND_FAILOVER && strings.Contains(d.Value.GetSummary(), "is approved by")
	})
	if i < 0 {
		t.Fatal("no decision was recorded")
	}
	d := decisions[i].Value
	var in failover.ConsentInput
	if err := json.Unmarshal([]byte(d.GetInputJson()), &in); err != nil {
		t.Fatal(err)
	}
	again, err := json.Marshal(failover.Consenting(in))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(d.GetOutputJson(), string(again)); diff != "" || d.GetSubject() != siteB || d.GetEpoch() == 0 {
		t.Errorf("subject %s, epoch %d, replay (-stored +again):\n%s", d.GetSubject(), d.GetEpoch(), diff)
	}
}

func TestWithoutAPolicyAPersonApproves(t *testing.T) {
	t.Parallel()
	w := newWorld(t, siteA, siteB).pass(20 * time.Second).lose().pass(5 * time.Minute)
	if o := w.last(); o.Running() || strings.Contains(o.Metadata.GetSummary(), refused) {
		t.Errorf("%s: %s", o.Metadata.GetState(), o.Metadata.GetSummary())
	}
}

func TestAPolicySurvivesALeader(t *testing.T) {
	t.Parallel()
	// rule C4
	w := newWorld(t, siteA, siteB).opt(siteB, automatic()).pass(20 * time.Second).lose()
	w.lead("cluster-mgr-2").pass(80 * time.Second)
	if o := w.last(); !o.Running() {
		t.Errorf("%s: %s", o.Metadata.GetState(), o.Metadata.GetSummary())
	}
}

func TestAFlappingClusterIsSwitchedOnce(t *testing.T) {
	t.Parallel()
	// rule C4
	for _, leaders := range []string{"one", "another each time"} {
		t.Run(leaders, func(t *testing.T) {
			w := newWorld(t, siteA, siteB).opt(siteB, automatic()).pass(20 * time.Second).lose()
			w.sites[siteB].dead = false
			w.pass(2 * time.Minute)
			if leaders != "one" {
				w.lead("cluster-mgr-2")
			}
			w.lose()
			if leaders != "one" {
				w.lead("cluster-mgr-1")
			}
			w.pass(3 * time.Minute)
			if first := w.operations()[0]; first.Metadata.GetState() != gantryv1.OperationMetadata_STATE_CANCELLED {
				t.Errorf("a cluster that answered again was left: %s", first.Metadata.GetSummary())
			}
			o := w.last()
			if len(w.operations()) != 2 || o.Running() || !strings.Contains(o.Metadata.GetSummary(), "it was down lately already") {
				t.Errorf("%d operations, the last is %s: %s", len(w.operations()), o.Metadata.GetState(), o.Metadata.GetSummary())
			}
		})
	}
}

// rule C4: it is still DOWN, since it must answer for a while to be healthy
// again, but who answers is not left.
func TestAClusterThatAnswersAgainIsNotLeft(t *testing.T) {
	t.Parallel()
	w := newWorld(t, siteA, siteB).opt(siteB, automatic()).pass(20 * time.Second).lose().pass(50 * time.Second)
	w.sites[siteB].dead = false
	w.pass(20 * time.Second)
	if w.verdict(siteB) != "DOWN" {
		t.Fatalf("it is %s already", w.verdict(siteB))
	}
	if o := w.last(); o.Running() || !strings.Contains(o.Metadata.GetSummary(), "it has begun to answer again") {
		t.Errorf("%s: %s", o.Metadata.GetState(), o.Metadata.GetSummary())
	}
}

// rule C3
func TestNothingIsApprovedInAFreeze(t *testing.T) {
	t.Parallel()
	w := newWorld(t, siteA, siteB, siteC).opt(siteB, automatic()).pass(20 * time.Second).lose()
	w.sites[siteA].dead = true
	w.pass(3 * time.Minute)
	if o := w.last(); o.Running() || !strings.Contains(o.Metadata.GetSummary(), "automation is frozen") {
		t.Errorf("%s: %s", o.Metadata.GetState(), o.Metadata.GetSummary())
	}
}

func TestNothingIsApprovedBesideAnotherOperation(t *testing.T) {
	t.Parallel()
	w := newWorld(t, siteA, siteB, siteC).opt(siteB, automatic()).pass(20 * time.Second).lose()
	other := fleet.Operation{Name: "operations/0", Metadata: &gantryv1.OperationMetadata{Subject: siteC, State: gantryv1.OperationMetadata_STATE_RUNNING}}
	change := store.NewChange()
	if err := other.Put(w.store, change, w.now); err != nil {
		t.Fatal(err)
	}
	w.commit(change)
	w.pass(3 * time.Minute)
	if o := w.last(); o.Running() || !strings.Contains(o.Metadata.GetSummary(), "operations/0 is running") {
		t.Errorf("%s: %s", o.Metadata.GetState(), o.Metadata.GetSummary())
	}
}

func TestAutomationNeverMovesASingle(t *testing.T) {
	t.Parallel()
	// rule C5
	w := newWorld(t, siteA, siteB).single(siteB).opt(siteB, automatic()).pass(20 * time.Second).lose()
	o := w.last()
	if singles := o.Plan.Singles(); len(singles) != 1 || !strings.Contains(o.Metadata.GetSummary(), "you confirm that "+cron+" cannot run in site-b") {
		t.Fatalf("what a person would confirm is not said: %v, %s", singles, o.Metadata.GetSummary())
	}
	w.pass(80 * time.Second)
	if o = w.last(); !o.Running() || len(o.Plan.Singles()) != 0 {
		t.Fatalf("%s with %v", o.Metadata.GetState(), o.Plan.Singles())
	}
	for _, m := range o.Metadata.GetMoves() {
		if m.GetApp() == cron && (m.GetToCluster() != "" || m.GetProblem() == "") {
			t.Errorf("cron moves: %v", m)
		}
	}
}

func TestSoManyMayBeWithoutAPlace(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		percent int32
		runs    bool
	}{{0, false}, {40, false}, {50, true}} {
		w := newWorld(t, siteA, siteB).opt(siteB, &gantryv1.FailoverPolicy{Automatic: true, MaxUnplacedPercent: tc.percent})
		big := &gantryv1.App{Name: web, Spec: &gantryv1.AppSpec{Resources: &gantryv1.Resources{Cpu: "600m", Memory: "64Mi"}}}
		change := store.NewChange()
		w.store.Apps.Put(change, web, big, store.Any)
		w.commit(change)
		w.pass(20 * time.Second).lose().pass(80 * time.Second)
		if o := w.last(); o.Running() != tc.runs {
			t.Errorf("%d %%: %s: %s", tc.percent, o.Metadata.GetState(), o.Metadata.GetSummary())
		}
	}
}
