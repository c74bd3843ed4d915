package watchdog

import (
	"errors"
	"log/slog"
	"testing"
	"time"

	"gantry.dev/pkg/etcdkv/etcdtest"
	"gantry.dev/pkg/fault"
	"gantry.dev/pkg/leader"
	ingressv1 "gantry.dev/proto/gen/gantry/ingress/v1"
	ipaasv1 "gantry.dev/proto/gen/gantry/ipaas/v1"
	gantryv1 "gantry.dev/proto/gen/gantry/v1"
	"gantry.dev/services/cluster-mgr/internal/decision"
	"gantry.dev/services/cluster-mgr/internal/fleet"
	"gantry.dev/services/cluster-mgr/internal/observe"
	"gantry.dev/services/cluster-mgr/internal/operations/termtest"
	"gantry.dev/services/cluster-mgr/internal/planning"
	"gantry.dev/services/cluster-mgr/internal/store"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/goleak"
	"google.golang.org/protobuf/types/known/timestamppb"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	web  = "projects/pay/apps/web"
	cron = "projects/pay/apps/cron"
)

// site is what there is to see of a cluster.
type site struct {
	dead    bool
	foreign bool
	dns     *ipaasv1.DnsCheck
}

// world is a platform whose clusters a test kills and brings back. Time passes
// only by looks.
type world struct {
	t      *testing.T
	client *clientv3.Client
	store  *store.Store
	loop   *Loop
	now    time.Time
	sites  map[string]*site
	// What the load balancer nodes hear of the VIPs.
	conflicts []*ingressv1.VipConflict
	// How far the clocks of those who look are off.
	skew time.Duration
	stop func()
}

// newWorld has the clusters with two replicas of web in each.
func newWorld(t *testing.T, clusters ...string) *world {
	t.Helper()
	w := &world{t: t, client: etcdtest.Start(t).Client(t), now: time.Now().Add(-time.Hour), sites: map[string]*site{}}
	w.store = store.New(w.client)
	change := store.NewChange()
	a := store.Assignment{App: web, Desired: 2 * len(clusters)}
	for _, name := range clusters {
		w.sites[name] = &site{}
		w.store.Clusters.Put(change, name, &gantryv1.Cluster{Name: name, Identity: name, TrafficPercent: 100}, 0)
		a.Shares = append(a.Shares, store.ShareRecord{Cluster: name, Replicas: 2})
	}
	w.store.Apps.Put(change, web, &gantryv1.App{Name: web, Spec: &gantryv1.AppSpec{Resources: &gantryv1.Resources{Cpu: "100m", Memory: "64Mi"}}}, 0)
	w.store.Assignments.Put(change, web, a, 0)
	w.commit(change)
	w.lead("cluster-mgr-1")
	return w
}

// single adds an app of class single that runs in a cluster.
func (w *world) single(cluster string) *world {
	w.t.Helper()
	change := store.NewChange()
	spec := &gantryv1.AppSpec{Resources: &gantryv1.Resources{Cpu: "100m", Memory: "64Mi"}, Class: gantryv1.AppClass_APP_CLASS_SINGLE}
	w.store.Apps.Put(change, cron, &gantryv1.App{Name: cron, Spec: spec}, 0)
	w.store.Assignments.Put(change, cron, store.Assignment{App: cron, Desired: 1, Shares: []store.ShareRecord{{Cluster: cluster, Replicas: 1}}}, 0)
	w.commit(change)
	return w
}

func (w *world) commit(change *store.Change) {
	w.t.Helper()
	if _, err := w.store.Commit(w.t.Context(), change); err != nil {
		w.t.Fatal(err)
	}
}

// lead lets another instance take over.
func (w *world) lead(name string) *world {
	w.t.Helper()
	if w.stop != nil {
		w.stop()
	}
	var term leader.Term
	term, w.stop = termtest.Lead(w.t, w.client, name)
	w.loop = w.newLoop(term)
	if err := w.loop.resume(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
	return w
}

func (w *world) newLoop(term leader.Term) *Loop {
	w.t.Helper()
	there := func(*gantryv1.Cluster, *gantryv1.App) (bool, string) { return true, "" }
	planner, err := planning.New(planning.Config{Store: w.store, Observer: w, Images: there})
	if err != nil {
		w.t.Fatal(err)
	}
	l, err := New(Config{Store: w.store, Observer: w, Planner: planner, Interval: time.Second, Logger: slog.New(slog.DiscardHandler)}, term)
	if err != nil {
		w.t.Fatal(err)
	}
	return l
}

// View is what two load balancer nodes and cluster-mgr see now.
func (w *world) View() observe.View {
	v := observe.View{Clusters: map[string]observe.ClusterView{}, Agents: map[string]observe.AgentView{}}
	for name, s := range w.sites {
		c := observe.ClusterView{Attempt: w.now, IdentityOK: !s.foreign, Time: w.now}
		if s.dead {
			c.StateErr, c.WorkloadsErr = errors.New("no answer"), errors.New("no answer")
		}
		c.State = &ipaasv1.GetClusterStateResponse{Identity: name, ApiServerReady: true, Dns: s.dns, ObserveTime: timestamppb.New(w.now.Add(w.skew)), Nodes: []*gantryv1.NodeCapacity{
			{Name: "n", Ready: true, AllocatableMilliCpu: 2000, AllocatableMemoryBytes: 4 << 30},
		}}
		v.Clusters[name] = c
	}
	for _, node := range []string{"main/lb-1", "main/lb-2"} {
		status := &ingressv1.GetStatusResponse{Time: timestamppb.New(w.now.Add(w.skew)), VipConflicts: w.conflicts}
		for name, s := range w.sites {
			seen := &ingressv1.ClusterView{Cluster: name[len("clusters/"):], IpaasConnected: !s.dead, Pods: 2, PodsAnswering: 2}
			if s.dead {
				seen.PodsAnswering = 0
			}
			status.Clusters = append(status.Clusters, seen)
		}
		v.Agents[node] = observe.AgentView{Status: status, Time: w.now}
	}
	return v
}

// interval between two looks; a verdict must not depend on it.
const interval = 5 * time.Second

// pass lets time pass, with a look every interval.
func (w *world) pass(d time.Duration) *world {
	w.t.Helper()
	for end := w.now.Add(d); w.now.Before(end); w.now = w.now.Add(interval) {
		if err := w.loop.look(w.t.Context(), w.now); err != nil {
			w.t.Fatal(err)
		}
	}
	return w
}

func (w *world) cluster(name string) *gantryv1.Cluster {
	w.t.Helper()
	item, err := w.store.Clusters.Get(w.t.Context(), name)
	if err != nil {
		w.t.Fatal(err)
	}
	return item.Value
}

func (w *world) verdict(name string) string {
	return w.cluster(name).GetHealth().GetState().String()[len("STATE_"):]
}

// alarm is the alarm about a subject; nil: there never was one.
func (w *world) alarm(kind, subject string) *gantryv1.Alarm {
	w.t.Helper()
	item, err := w.store.Alarms.Get(w.t.Context(), decision.AlarmName(kind, subject))
	if err != nil && !fault.Is(err, fault.KindNotFound) {
		w.t.Fatal(err)
	}
	return item.Value
}

// operations are all that were ever prepared, oldest first.
func (w *world) operations() []fleet.Operation {
	w.t.Helper()
	items, _, err := w.store.Operations.List(w.t.Context(), "")
	if err != nil {
		w.t.Fatal(err)
	}
	var out []fleet.Operation
	for _, i := range items {
		o, err := fleet.Unpack(i)
		if err != nil {
			w.t.Fatal(err)
		}
		out = append(out, o)
	}
	return out
}

// opt lets an operator opt in to automatic failover of a cluster.
func (w *world) opt(name string, policy *gantryv1.FailoverPolicy) *world {
	w.t.Helper()
	item, err := w.store.Clusters.Get(w.t.Context(), name)
	if err != nil {
		w.t.Fatal(err)
	}
	item.Value.Failover = policy
	change := store.NewChange()
	w.store.Clusters.Put(change, name, item.Value, item.ModRevision)
	w.commit(change)
	return w
}
