package reconcile

import (
	"context"
	"fmt"
	"log/slog"
	"testing"
	"time"

	ipaasv1 "gantry.dev/proto/gen/gantry/ipaas/v1"
	gantryv1 "gantry.dev/proto/gen/gantry/v1"
	"gantry.dev/services/cluster-mgr/internal/fleet"
	"gantry.dev/services/cluster-mgr/internal/observe"
	"gantry.dev/services/cluster-mgr/internal/store"
)

// BenchmarkSteadyPass is what a pass costs in which nothing is to be done,
// without reading the store: apps of four replicas in two clusters of 50 nodes.
func BenchmarkSteadyPass(b *testing.B) {
	for _, apps := range []int{1000, 5000} {
		b.Run(fmt.Sprintf("apps=%d", apps), func(b *testing.B) {
			s, l := steady(apps)
			b.ReportAllocs()
			for b.Loop() {
				pass := fleet.Snapshot{Clusters: s.Clusters, Apps: s.Apps, Assignments: s.Assignments, View: s.View}
				there := l.images(pass)
				draft := pass.Draft()
				w := &work{ctx: context.Background(), loop: l, snapshot: pass, there: there}
				for _, app := range pass.InOrder() {
					p, err := l.place(draft, app.Value, there, time.Now())
					if err != nil || p.changed {
						b.Fatalf("not steady: %v %s", err, p.out.Formula)
					}
					w.add(p)
				}
				w.flush()
			}
		})
	}
}

// steady is a fleet that runs what is wanted, and a loop that has applied it.
func steady(apps int) (fleet.Snapshot, *Loop) {
	s := fleet.Snapshot{Assignments: map[string]store.Item[store.Assignment]{}, View: observe.View{Clusters: map[string]observe.ClusterView{}}}
	l := &Loop{applied: map[target]applied{}, configured: map[target]int{}, stuck: map[target]time.Time{}}
	l.Images = func(*gantryv1.Cluster, *gantryv1.App) (bool, string) { return true, "" }
	l.Logger = slog.New(slog.DiscardHandler)
	for _, name := range []string{"clusters/site-a", "clusters/site-b"} {
		s.Clusters = append(s.Clusters, store.Item[*gantryv1.Cluster]{Name: name, Value: &gantryv1.Cluster{Name: name, TrafficPercent: 100}})
		v := observe.ClusterView{IdentityOK: true, State: &ipaasv1.GetClusterStateResponse{ApiServerReady: true}, Workloads: map[string]*ipaasv1.WorkloadState{}}
		for n := range 50 {
			v.State.Nodes = append(v.State.Nodes, &gantryv1.NodeCapacity{
				Name: fmt.Sprintf("n%02d", n), Ready: true, AllocatableMilliCpu: 64_000, AllocatableMemoryBytes: 256 << 30, MaxPods: 500, Pods: int32(apps / 25),
			})
		}
		for i := range apps {
			app := fmt.Sprintf("projects/pay/apps/app-%04d", i)
			v.Workloads[app] = &ipaasv1.WorkloadState{App: app, Replicas: 2, ReadyReplicas: 2, UpdatedReplicas: 2, Release: 1}
			for p := range 2 {
				v.Pods = append(v.Pods, &gantryv1.Pod{App: app, Node: fmt.Sprintf("n%02d", (i+p)%50), Ready: true, Phase: "Running"})
			}
			l.applied[target{app, name}] = applied{replicas: 2, release: 1}
		}
		s.View.Clusters[name] = v
	}
	for i := range apps {
		app := appOf(fmt.Sprintf("app-%04d", i))
		app.Status = &gantryv1.AppStatus{Release: 1}
		s.Apps = append(s.Apps, store.Item[*gantryv1.App]{Name: app.GetName(), Value: app})
		s.Assignments[app.GetName()] = store.Item[store.Assignment]{Name: app.GetName(), Value: store.Assignment{
			App: app.GetName(), Desired: 4, Release: 1,
			Shares: []store.ShareRecord{{Cluster: "clusters/site-a", Replicas: 2}, {Cluster: "clusters/site-b", Replicas: 2}},
		}}
	}
	return s, l
}
