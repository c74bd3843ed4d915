package watchdog

import (
	"strings"
	"testing"
	"time"

	"gantry.dev/pkg/fault"
	ipaasv1 "gantry.dev/proto/gen/gantry/ipaas/v1"
	gantryv1 "gantry.dev/proto/gen/gantry/v1"
	"gantry.dev/services/cluster-mgr/internal/fleet"
	"gantry.dev/services/cluster-mgr/internal/health"
	"gantry.dev/services/cluster-mgr/internal/operations/termtest"
	"gantry.dev/services/cluster-mgr/internal/store"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/timestamppb"
)

const (
	siteA = "clusters/site-a"
	siteB = "clusters/site-b"
	siteC = "clusters/site-c"
)

// revisions are those of the last writes of a cluster, its alarm and the
// operation that was prepared.
func (w *world) revisions(o fleet.Operation) [3]int64 {
	w.t.Helper()
	cluster, err := w.store.Clusters.Get(w.t.Context(), siteB)
	if err != nil {
		w.t.Fatal(err)
	}
	alarm, err := w.store.Alarms.Get(w.t.Context(), "alarms/clusterdown.clusters.site-b")
	if err != nil {
		w.t.Fatal(err)
	}
	return [3]int64{cluster.ModRevision, alarm.ModRevision, o.ModRevision}
}

func TestALossIsOneTransaction(t *testing.T) {
	t.Parallel()
	w := newWorld(t, siteA, siteB).pass(20 * time.Second)
	w.sites[siteB].dead = true
	for w.verdict(siteB) != "DOWN" {
		w.pass(2 * time.Second)
	}
	alarm, operations := w.alarm(alarmDown, siteB), w.operations()
	if len(operations) != 1 || alarm.GetState() != gantryv1.Alarm_STATE_FIRING || alarm.GetOperation() != operations[0].Name {
		t.Fatalf("alarm %v, operations %v", alarm, operations)
	}
	o := operations[0]
	if o.Metadata.GetState() != gantryv1.OperationMetadata_STATE_AWAITING_APPROVAL || len(o.Plan.Steps) == 0 || len(o.Metadata.GetMoves()) != 1 {
		t.Errorf("prepared: %v", o.Metadata)
	}
	if r := w.revisions(o); r[0] != r[1] || r[1] != r[2] {
		t.Errorf("verdict, alarm and plan were written at revisions %v", r)
	}
	w.pass(time.Minute)
	if got := len(w.operations()); got != 1 {
		t.Errorf("%d operations for one loss", got)
	}
}

func TestARecoveryEndsTheAlarmAndDropsThePlan(t *testing.T) {
	t.Parallel()
	w := newWorld(t, siteA, siteB).pass(20 * time.Second)
	w.sites[siteB].dead = true
	w.pass(time.Minute)
	w.sites[siteB].dead = false
	for w.verdict(siteB) != "HEALTHY" {
		w.pass(2 * time.Second)
	}
	o := w.operations()[0]
	if got := w.alarm(alarmDown, siteB).GetState(); got != gantryv1.Alarm_STATE_RESOLVED {
		t.Errorf("the alarm is %s", got)
	}
	if o.Metadata.GetState() != gantryv1.OperationMetadata_STATE_CANCELLED {
		t.Errorf("the plan is %s", o.Metadata.GetState())
	}
	if r := w.revisions(o); r[0] != r[1] || r[1] != r[2] {
		t.Errorf("verdict, alarm and plan were written at revisions %v", r)
	}
}

func TestMassFailureFreezes(t *testing.T) {
	t.Parallel()
	// rule C3
	w := newWorld(t, siteA, siteB, siteC).pass(20 * time.Second)
	w.sites[siteB].dead, w.sites[siteC].dead = true, true
	w.pass(5 * time.Minute)
	if w.loop.Frozen() == "" || w.verdict(siteB) != "SUSPECT" || len(w.operations()) != 0 {
		t.Errorf("frozen %q, site-b %s, %d operations", w.loop.Frozen(), w.verdict(siteB), len(w.operations()))
	}
	if got := w.alarm(alarmFrozen, allClusters).GetState(); got != gantryv1.Alarm_STATE_FIRING {
		t.Errorf("the alarm is %s", got)
	}
	w.sites[siteB].dead, w.sites[siteC].dead = false, false
	w.pass(3 * time.Minute)
	if got := w.alarm(alarmFrozen, allClusters).GetState(); w.loop.Frozen() != "" || got != gantryv1.Alarm_STATE_RESOLVED {
		t.Errorf("frozen %q, the alarm is %s", w.loop.Frozen(), got)
	}
}

// A new leader on the same island must not take the loss of all for theirs.
func TestAFreezeOutlivesALeader(t *testing.T) {
	t.Parallel()
	// rule C3
	w := newWorld(t, siteA, siteB, siteC).pass(20 * time.Second)
	w.sites[siteB].dead, w.sites[siteC].dead = true, true
	w.pass(5 * time.Minute).lead("cluster-mgr-2").pass(10 * time.Second)
	if got := w.alarm(alarmFrozen, allClusters).GetState(); got != gantryv1.Alarm_STATE_FIRING {
		t.Errorf("the alarm is %s", got)
	}
	w.pass(2 * time.Minute)
	if w.loop.Frozen() == "" || len(w.operations()) != 0 {
		t.Errorf("frozen %q, site-b %s, %d operations", w.loop.Frozen(), w.verdict(siteB), len(w.operations()))
	}
}

func TestAFormerLeaderWritesNothing(t *testing.T) {
	t.Parallel()
	// rule S1
	w := newWorld(t, siteA, siteB).pass(20 * time.Second)
	former := w.loop
	w.lead("cluster-mgr-2")
	w.sites[siteB].dead = true
	snapshot, err := fleet.Load(t.Context(), w.store, w.View())
	if err != nil {
		t.Fatal(err)
	}
	// Somebody else has begun to lead between its look and its writing.
	down := health.Named{Name: siteB, State: health.State{Verdict: health.Down, Changed: true, SinceUnixMilli: w.now.UnixMilli()}}
	err = former.record(t.Context(), snapshot, health.Input{}, former.states[siteB], down)
	if !fault.HasReason(err, "NOT_LEADER") {
		t.Errorf("got %v", err)
	}
	if w.verdict(siteB) != "HEALTHY" || w.alarm(alarmDown, siteB) != nil || len(w.operations()) != 0 {
		t.Errorf("site-b is %s", w.verdict(siteB))
	}
}

// Observers' clocks say nothing: only when we hear counts.
func TestClocksOfObserversDoNotMatter(t *testing.T) {
	t.Parallel()
	for _, skew := range []time.Duration{-5 * time.Minute, 5 * time.Minute} {
		t.Run(skew.String(), func(t *testing.T) {
			w := newWorld(t, siteA, siteB)
			w.skew = skew
			w.sites[siteA].dns = &ipaasv1.DnsCheck{Ok: true, Time: timestamppb.New(w.now.Add(skew))}
			w.pass(20 * time.Second)
			w.sites[siteB].dead = true
			began, took := w.now, time.Duration(0)
			for w.verdict(siteB) != "DOWN" && took < 2*time.Minute {
				took = w.pass(2 * time.Second).now.Sub(began)
			}
			if took < 30*time.Second || took > 40*time.Second || w.verdict(siteA) != "HEALTHY" {
				t.Errorf("down after %s, site-a is %s", took, w.verdict(siteA))
			}
		})
	}
}

// A cluster whose DNS fails serves: it is degraded, and however long, not down.
func TestDNSDegrades(t *testing.T) {
	t.Parallel()
	w := newWorld(t, siteA, siteB).pass(20 * time.Second)
	for range 60 {
		w.sites[siteB].dns = &ipaasv1.DnsCheck{Detail: "i/o timeout", Time: timestamppb.New(w.now)}
		w.pass(2 * time.Second)
	}
	if w.verdict(siteB) != "DEGRADED" || len(w.operations()) != 0 {
		t.Errorf("site-b is %s", w.verdict(siteB))
	}
	found := false
	for _, v := range w.cluster(siteB).GetHealth().GetVoices() {
		found = found || v.GetSubject() == "dns" && !v.GetOk() && v.GetDetail() == "i/o timeout"
	}
	if !found {
		t.Errorf("no voice about DNS: %v", w.cluster(siteB).GetHealth().GetVoices())
	}
	// A canary that looks no more says nothing.
	w.pass(3 * time.Minute)
	if w.verdict(siteB) != "HEALTHY" {
		t.Errorf("site-b is %s", w.verdict(siteB))
	}
}

// rule K2: another cluster in the place of one is not that one lost.
func TestAnotherClusterAnswering(t *testing.T) {
	t.Parallel()
	w := newWorld(t, siteA, siteB).pass(20 * time.Second)
	w.sites[siteB].foreign = true
	w.pass(3 * time.Minute)
	if w.verdict(siteB) != "UNKNOWN" || len(w.operations()) != 0 {
		t.Errorf("site-b is %s, %d operations", w.verdict(siteB), len(w.operations()))
	}
}

func TestAForgottenClusterIsNoError(t *testing.T) {
	t.Parallel()
	w := newWorld(t, siteA, siteB, siteC).pass(20 * time.Second)
	item, err := w.store.Clusters.Get(t.Context(), siteC)
	if err != nil {
		t.Fatal(err)
	}
	change := store.NewChange()
	w.store.Clusters.Delete(change, siteC, item.ModRevision)
	w.commit(change)
	delete(w.sites, siteC)
	w.pass(time.Minute)
	if w.verdict(siteA) != "HEALTHY" {
		t.Errorf("site-a is %s", w.verdict(siteA))
	}
}

func TestConfigIsChecked(t *testing.T) {
	t.Parallel()
	w := newWorld(t, siteA)
	w.stop()
	term, _ := termtest.Lead(t, w.client, "cluster-mgr-3")
	if _, err := New(Config{Store: w.store}, term); err == nil {
		t.Error("a loop without an observer")
	}
}

// Where all is being started at once, clusters answer after their leader leads: that is a freeze,
// but nothing to wake anybody for. A leader that goes on seeing nobody tells.
func TestAStartIsNoAlarm(t *testing.T) {
	// rule C3
	t.Parallel()
	w := newWorld(t, siteA, siteB).pass(20 * time.Second)
	w.sites[siteA].dead, w.sites[siteB].dead = true, true
	w.lead("cluster-mgr-2").pass(20 * time.Second)
	if w.loop.Frozen() == "" || w.alarm(alarmFrozen, allClusters) != nil {
		t.Errorf("frozen %q, alarm %v", w.loop.Frozen(), w.alarm(alarmFrozen, allClusters))
	}
	w.pass(2 * time.Minute)
	if got := w.alarm(alarmFrozen, allClusters).GetState(); got != gantryv1.Alarm_STATE_FIRING {
		t.Errorf("the alarm is %s", got)
	}
}

// A leader whose lease is gone keeps its hands off, also before its term ends,
// and leaves what is stored to the next one.
func TestALeaderWithoutALeaseSuspectsItself(t *testing.T) {
	// rule C3
	t.Parallel()
	w := newWorld(t, siteA, siteB, siteC).pass(20 * time.Second)
	w.stop()
	w.stop = nil
	w.sites[siteB].dead = true
	before := w.cluster(siteB)
	for range 12 {
		if err := w.loop.look(t.Context(), w.now); err == nil || !strings.Contains(err.Error(), "our own lease is lost") {
			t.Fatalf("a look says %v", err)
		}
		w.now = w.now.Add(interval)
	}
	if w.loop.Frozen() == "" || len(w.operations()) != 0 {
		t.Errorf("frozen %q, %d operations", w.loop.Frozen(), len(w.operations()))
	}
	if diff := cmp.Diff(before, w.cluster(siteB), protocmp.Transform()); diff != "" {
		t.Errorf("it stored (-before +after):\n%s", diff)
	}
	w.lead("cluster-mgr-2").pass(50 * time.Second)
	if w.loop.Frozen() != "" || w.verdict(siteB) != "DOWN" {
		t.Errorf("the next leader: frozen %q, site-b %s", w.loop.Frozen(), w.verdict(siteB))
	}
}
