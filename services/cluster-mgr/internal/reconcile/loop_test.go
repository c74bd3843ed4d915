package reconcile

import (
	"fmt"
	"runtime"
	"strings"
	"testing"

	"gantry.dev/pkg/etcdkv/etcdtest"
	"gantry.dev/pkg/fault"
	gantryv1 "gantry.dev/proto/gen/gantry/v1"
	"gantry.dev/services/cluster-mgr/internal/store"
	"github.com/google/go-cmp/cmp"
)

// TestLoop shares one etcd; each case begins with an empty one.
func TestLoop(t *testing.T) {
	etcd := etcdtest.Start(t)
	cases := []struct {
		name string
		run  func(*world)
	}{
		{"placing, applying, deleting", placesAppliesDeletes},
		{"a former leader changes nothing", formerLeaderChangesNothing},
		{"a former leader is refused by ipaas", formerLeaderIsRefused},
		{"an unreachable cluster keeps its replicas", unreachableKeeps},
		{"only what was deleted is deleted", deletesOnlyWhatWasDeleted},
		{"an app made anew is not deleted", madeAnewIsNotDeleted},
		{"an app that is deleted while it is placed leaves nothing", deletedWhilePlacedLeavesNothing},
		{"a release waits for its image", waitsForImage},
		{"one app's failure does not stop others", failureDoesNotSpread},
		{"a slow cluster delays nobody else", slowDelaysNobody},
		{"files before workloads", filesFirst},
		{"files that a cluster does not take", filesRefused},
		{"secrets go with the release", secretsGoWithTheRelease},
		{"a secret that cannot be opened", aSecretThatCannotBeOpened},
		{"volumes bind an app", volumesBindAnApp},
		{"taking a volume into use", takingAVolumeIntoUseMovesAnApp},
		{"dividing anew on request", rebalances},
		{"replicas that no node takes go elsewhere", stuckGoElsewhere},
		{"replicas that fit nowhere stay", stuckStayWhereNothingFits},
		{"replicas that no cluster takes come to rest", stuckComeToRest},
		{"class single", singleStays},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			tc.run(newWorld(t, etcd, map[string]*cell{"site-a": newCell("site-a", 2, 2000), "site-b": newCell("site-b", 2, 2000)}))
		})
	}
}

const web1 = "projects/pay/apps/web"

func (w *world) a() *cell { return w.cells["site-a"] }
func (w *world) b() *cell { return w.cells["site-b"] }

func (w *world) calls(what string, c *cell, want ...string) {
	w.t.Helper()
	if diff := cmp.Diff(append([]string{}, want...), append([]string{}, c.took()...)); diff != "" {
		w.t.Errorf("%s: calls (-want +got):\n%s", what, diff)
	}
}

func placesAppliesDeletes(w *world) {
	w.deploy("web", 3)
	w.ok(w.pass())
	w.expect("shares", w.shares("web"), "site-a 2, site-b 1")
	w.calls("site-a", w.a(), "apply web 2 r1")
	w.calls("site-b", w.b(), "apply web 1 r1")
	d, err := w.store.Decisions.Get(w.t.Context(), w.assignment("web").Decision)
	w.ok(err)
	if d.Value.GetEpoch() != w.loop.term.Epoch || d.Value.GetFormula() == "" || len(d.Value.GetReasons()) != 2 {
		w.t.Errorf("decision %v", d.Value)
	}
	w.settle()
	w.calls("a steady app costs nothing", w.a())
	w.deploy("web", 1)
	w.settle()
	w.expect("shares", w.shares("web"), "site-a 1, site-b 0")
	if a, b := w.a().running(web1), w.b().running(web1); a != 1 || b != 0 {
		w.t.Errorf("run %d and %d", a, b)
	}
}

// rule S1
func formerLeaderChangesNothing(w *world) {
	w.deploy("web", 2)
	former := w.loop
	w.elect(w.store)
	w.observer.Look(w.t.Context())
	if err := former.Pass(w.t.Context()); !fault.HasReason(err, "NOT_LEADER") && !strings.Contains(fmt.Sprint(err), "another instance leads") {
		w.t.Errorf("a former leader's pass: %v", err)
	}
	w.expect("shares", w.shares("web"), "")
	w.calls("site-a", w.a())
}

// A snapshot may have an app whose assignment went with it before that was read.
func deletedWhilePlacedLeavesNothing(w *world) {
	next := store.Assignment{App: web1, Release: 1}
	if err := w.loop.commit(w.t.Context(), []placed{{app: &gantryv1.App{Name: web1}, next: next}}); !fault.HasReason(err, "CHANGED_MEANWHILE") {
		w.t.Errorf("an app that is not there was placed: %v", err)
	}
	if _, err := w.store.Assignments.Get(w.t.Context(), web1); !fault.Is(err, fault.KindNotFound) {
		w.t.Errorf("it has an assignment, which would keep an app of its name from being made: %v", err)
	}
}

// rule S2: where nothing is to be stored, the receiver refuses.
func formerLeaderIsRefused(w *world) {
	w.deploy("web", 2)
	w.settle()
	former := w.loop
	w.elect(w.store)
	w.settle() // the new one applies everything once
	clear(former.applied)
	w.a().took()
	w.observer.Look(w.t.Context())
	if err := former.Pass(w.t.Context()); err == nil {
		w.t.Error("a former leader's pass succeeded")
	}
	if w.a().stale != 1 || w.b().stale != 1 {
		w.t.Errorf("refused %d and %d calls, want one each", w.a().stale, w.b().stale)
	}
	w.calls("site-a", w.a())
}

// rule C1
func unreachableKeeps(w *world) {
	w.deploy("web", 4)
	w.settle()
	w.b().do(func() { w.b().down = true })
	w.deploy("web", 6)
	w.deploy("api", 2)
	w.settle()
	w.expect("web grows in the other", w.shares("web"), "site-a 4, site-b 2")
	w.expect("api goes to the other", w.shares("api"), "site-a 2, site-b 0")
	w.b().do(func() { w.b().down = false })
	w.settle()
	w.expect("nothing moves back", w.shares("web"), "site-a 4, site-b 2")
	if n := w.b().running(web1); n != 2 {
		w.t.Errorf("site-b runs %d", n)
	}
}

func (w *world) remove(name string, record bool) {
	w.t.Helper()
	change := store.NewChange()
	w.store.Apps.Delete(change, "projects/pay/apps/"+name, store.Any)
	w.store.Assignments.Delete(change, "projects/pay/apps/"+name, store.Any)
	if record {
		w.store.Deletions.Put(change, "projects/pay/apps/"+name, store.Deletion{
			App: "projects/pay/apps/" + name, Clusters: []string{"clusters/site-a", "clusters/site-b", "clusters/forgotten"},
		}, store.Any)
	}
	w.commit(change)
}

// rule K1, C1: absence deletes nothing; a request does, where it can be heard.
func deletesOnlyWhatWasDeleted(w *world) {
	w.deploy("web", 2)
	w.deploy("api", 2)
	w.settle()
	w.a().took()
	w.b().took()
	w.remove("api", false)
	w.remove("web", true)
	w.b().do(func() { w.b().down = true })
	w.settle()
	w.calls("site-a", w.a(), "delete web")
	left, err := w.store.Deletions.Get(w.t.Context(), web1)
	w.ok(err)
	if diff := cmp.Diff([]string{"clusters/site-b"}, left.Value.Clusters); diff != "" {
		w.t.Error(diff)
	}
	w.b().do(func() { w.b().down, w.b().noServer = false, true })
	w.settle()
	w.calls("site-b, whose ipaas alone answers", w.b()) // rule K2
	w.b().do(func() { w.b().noServer = false })
	w.settle()
	w.calls("site-b", w.b(), "delete web")
	if _, err := w.store.Deletions.Get(w.t.Context(), web1); !fault.Is(err, fault.KindNotFound) {
		w.t.Errorf("the record is left: %v", err)
	}
	if w.a().running("projects/pay/apps/api") < 0 {
		w.t.Error("an app was deleted that nobody has deleted")
	}
}

func madeAnewIsNotDeleted(w *world) {
	files := func(s *gantryv1.AppSpec) { s.Files = []*gantryv1.ConfigFile{{Path: "/etc/web", Content: "x"}} }
	w.deploy("web", 2, files)
	w.settle()
	w.remove("web", true)
	w.b().do(func() { w.b().down = true })
	w.settle()
	w.deploy("web", 2, files)
	w.b().do(func() { w.b().down = false })
	w.a().took()
	w.b().took()
	w.settle()
	w.calls("site-a", w.a(), "apply web 1 r1", "config web 1")
	w.calls("site-b", w.b(), "apply web 1 r1", "config web 1")
	if _, err := w.store.Deletions.Get(w.t.Context(), web1); !fault.Is(err, fault.KindNotFound) {
		w.t.Errorf("the record is left: %v", err)
	}
}

// rule B5
func waitsForImage(w *world) {
	w.deploy("web", 2)
	w.settle()
	w.a().took()
	w.b().took()
	w.noImage["site-b web"] = true
	w.deploy("web", 4)
	w.observer.Look(w.t.Context())
	if err := w.pass(); err == nil || !strings.Contains(err.Error(), "site-b has no image") {
		w.t.Errorf("the wait is not named: %v", err)
	}
	w.expect("shares", w.shares("web"), "site-a 3, site-b 1")
	w.calls("site-a", w.a(), "apply web 3 r2")
	w.calls("site-b", w.b())
	delete(w.noImage, "site-b web")
	w.settle()
	w.calls("site-b", w.b(), "apply web 1 r2")
}

func failureDoesNotSpread(w *world) {
	w.a().do(func() { w.a().broken["apply bad"] = true })
	w.deploy("bad", 2)
	w.deploy("odd", 2, func(s *gantryv1.AppSpec) { s.Resources.Cpu = "nonsense" })
	w.deploy("web", 2)
	err := w.pass()
	for _, want := range []string{"apply projects/pay/apps/bad", "resources of projects/pay/apps/odd"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			w.t.Errorf("%q is not in %v", want, err)
		}
	}
	w.calls("site-a", w.a(), "apply bad 1 r1", "apply web 1 r1")
	w.calls("site-b", w.b(), "apply bad 1 r1", "apply web 1 r1")
	if err := w.pass(); err == nil {
		w.t.Error("the failure is forgotten")
	}
	w.calls("what failed is repeated", w.a(), "apply bad 1 r1")
	w.calls("what did not is left alone", w.b())
}

// sweep looks and decides, and does not wait for what is applied.
func (w *world) sweep() {
	w.t.Helper()
	w.observer.Look(w.t.Context())
	w.ok(w.loop.sweep(w.t.Context(), w.now, func(error) {}))
}

func slowDelaysNobody(w *world) {
	gate := make(chan struct{})
	w.b().do(func() { w.b().gate = gate })
	w.deploy("web", 2)
	w.sweep()
	w.deploy("api", 1) // in site-a
	w.deploy("web", 4)
	w.sweep()
	for w.a().running("projects/pay/apps/api") != 1 { // it does not wait for site-b
		runtime.Gosched()
	}
	if w.b().running(web1) != -1 {
		w.t.Error("site-b was not slow")
	}
	w.remove("web", true)
	w.sweep()
	for _, call := range append(w.a().took(), w.b().took()...) {
		if strings.HasPrefix(call, "delete") {
			w.t.Error("deleted before what is on its way has arrived")
		}
	}
	close(gate)
	w.loop.applying.Wait()
	w.settle()
	if w.a().running(web1) != -1 || w.b().running(web1) != -1 {
		w.t.Error("a late call has brought a deleted app back")
	}
}

func filesFirst(w *world) {
	file := func(s *gantryv1.AppSpec) { s.Files = []*gantryv1.ConfigFile{{Path: "/etc/web", Content: "x"}} }
	w.b().do(func() { w.b().down = true })
	w.deploy("web", 2, file)
	w.ok(w.pass())
	if diff := cmp.Diff([]string{"config web 1", "apply web 2 r1"}, w.a().calls); diff != "" {
		w.t.Errorf("order of calls (-want +got):\n%s", diff)
	}
	w.a().took()
	w.settle()
	w.calls("a steady app costs nothing", w.a())
	w.b().do(func() { w.b().down = false })
	w.settle()
	w.calls("also where it has no replicas", w.b(), "config web 1")
	w.deploy("web", 2, file)
	w.settle()
	w.calls("site-a", w.a(), "apply web 2 r2", "config web 2")
	w.calls("site-b", w.b(), "config web 2")
	w.elect(w.store)
	w.settle()
	w.calls("a new term puts them once", w.b(), "config web 2")
	w.a().took()
	w.deploy("web", 2, file, func(s *gantryv1.AppSpec) {
		s.Placement = &gantryv1.Placement{Clusters: []*gantryv1.ClusterPlacement{{Cluster: "clusters/site-a"}}}
	})
	w.settle()
	w.calls("not where the app may not run", w.b())
}

func filesRefused(w *world) {
	w.a().do(func() { w.a().broken["config web"] = true })
	w.deploy("web", 2, func(s *gantryv1.AppSpec) { s.Files = []*gantryv1.ConfigFile{{Path: "/etc/web", Content: "x"}} })
	if err := w.pass(); err == nil || !strings.Contains(err.Error(), "site-a does not have its files") {
		w.t.Errorf("the wait is not named: %v", err)
	}
	w.calls("no workload without its files", w.a(), "config web 1")
	w.calls("the others go on", w.b(), "apply web 1 r1", "config web 1")
	w.a().do(func() { clear(w.a().broken) })
	w.settle()
	w.calls("site-a", w.a(), "apply web 1 r1", "config web 1")
}

func rebalances(w *world) {
	w.b().do(func() { w.b().down = true })
	w.deploy("web", 4)
	w.settle()
	w.b().do(func() { w.b().down = false })
	w.settle()
	w.expect("by itself nothing moves", w.shares("web"), "site-a 4, site-b 0")
	before := w.assignment("web").Decision
	w.amend("web", func(a *store.Assignment) { a.Rebalance = true })
	w.ok(w.pass())
	w.expect("divided anew", w.shares("web"), "site-a 2, site-b 2")
	if a := w.assignment("web"); a.Rebalance || a.Decision == before {
		w.t.Errorf("still asked for, or not recorded: %+v", a)
	}
	// rule C2: site-a keeps all until site-b is ready.
	w.ok(w.pass())
	if a, b := w.a().running(web1), w.b().running(web1); a != 4 || b != 2 {
		w.t.Errorf("run %d and %d, want 4 and 2", a, b)
	}
	w.settle()
	if a := w.a().running(web1); a != 2 {
		w.t.Errorf("site-a still runs %d", a)
	}
	w.amend("web", func(a *store.Assignment) { a.Rebalance = true })
	w.settle()
	if a := w.assignment("web"); a.Rebalance || w.shares("web") != "site-a 2, site-b 2" {
		w.t.Errorf("asking twice: %+v", a)
	}
}

// rule C5
func singleStays(w *world) {
	single := func(s *gantryv1.AppSpec) { s.Class = gantryv1.AppClass_APP_CLASS_SINGLE }
	w.deploy("job", 1, single)
	w.settle()
	w.expect("one copy", w.shares("job"), "site-a 1, site-b 0")
	w.a().do(func() { w.a().down = true })
	item, err := w.store.Clusters.Get(w.t.Context(), "clusters/site-a")
	w.ok(err)
	item.Value.Evacuated = true
	change := store.NewChange()
	w.store.Clusters.Put(change, item.Name, item.Value, item.ModRevision)
	w.commit(change)
	w.settle()
	w.expect("it stays assigned where it may still run", w.shares("job"), "site-a 1, site-b 0")
	w.calls("nothing starts elsewhere", w.b())
	// An operation has given it up in site-a, whose pod still shows.
	item, err = w.store.Clusters.Get(w.t.Context(), "clusters/site-a")
	w.ok(err)
	item.Value.Evacuated = false
	change = store.NewChange()
	w.store.Clusters.Put(change, item.Name, item.Value, item.ModRevision)
	w.commit(change)
	w.a().do(func() { w.a().down = false })
	w.amend("job", func(a *store.Assignment) {
		a.Shares = []store.ShareRecord{{Cluster: "clusters/site-a"}, {Cluster: "clusters/site-b"}}
	})
	w.ok(w.pass())
	w.expect("back to where it is", w.shares("job"), "site-a 1, site-b 0")
}
