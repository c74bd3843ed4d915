package autoscaler

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"gantry.dev/pkg/etcdkv/etcdtest"
	"gantry.dev/pkg/leader"
	ingressv1 "gantry.dev/proto/gen/gantry/ingress/v1"
	ipaasv1 "gantry.dev/proto/gen/gantry/ipaas/v1"
	gantryv1 "gantry.dev/proto/gen/gantry/v1"
	"gantry.dev/services/cluster-mgr/internal/observe"
	"gantry.dev/services/cluster-mgr/internal/store"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// world is one cluster of pods at a use, a Prometheus that tells it, and the
// autoscaler of a leader over a real etcd.
type world struct {
	t      *testing.T
	client *clientv3.Client
	store  *store.Store
	loop   *Loop
	view   observe.View
	now    time.Time

	mu sync.Mutex
	// CPUs that each pod uses; each requests one.
	use map[string]float64
	// What Prometheus does instead of answering; nil: it answers.
	trouble func(w http.ResponseWriter, r *http.Request)
	asked   []string
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, client: etcdtest.Start(t).Client(t), use: map[string]float64{}, now: time.Unix(1_790_000_000, 0)}
	w.store = store.New(w.client)
	prometheus := httptest.NewServer(w)
	t.Cleanup(prometheus.Close)
	cluster := &gantryv1.Cluster{Name: "clusters/site-a", PrometheusUrl: prometheus.URL, TrafficPercent: 100}
	w.put(func(c *store.Change) { w.store.Clusters.Put(c, cluster.GetName(), cluster, 0) })
	w.view = observe.View{Clusters: map[string]observe.ClusterView{cluster.GetName(): {
		Cluster: cluster, IdentityOK: true, State: &ipaasv1.GetClusterStateResponse{ApiServerReady: true}, Workloads: map[string]*ipaasv1.WorkloadState{},
	}}}
	w.loop = w.newLoop(w.term())
	return w
}

func (w *world) newLoop(term leader.Term) *Loop {
	w.t.Helper()
	l, err := New(Config{
		Store: w.store, Observer: w, Interval: 2 * time.Second, SampleInterval: 2 * time.Second,
		Frozen: func() string { return "" }, Logger: slog.New(slog.DiscardHandler), Decisions: NewCounter(), Rounds: NewHistogram(),
	}, term)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(l.source.Close)
	return l
}

// View implements Viewer.
func (w *world) View() observe.View { return w.view }

// term wins an election and gives it up; its guard holds until the next.
func (w *world) term() leader.Term {
	w.t.Helper()
	ctx, cancel := context.WithCancel(w.t.Context())
	terms, done := make(chan leader.Term), make(chan struct{})
	config := leader.Config{Client: w.client, Prefix: "/test/leader", Name: "x", TTL: 5 * time.Second, Logger: slog.New(slog.DiscardHandler)}
	go func() {
		defer close(done)
		_ = leader.Run(ctx, config, func(ctx context.Context, term leader.Term) error {
			terms <- term
			<-ctx.Done()
			return nil
		})
	}()
	w.t.Cleanup(func() { cancel(); <-done })
	return <-terms
}

func (w *world) put(f func(*store.Change)) {
	w.t.Helper()
	c := store.NewChange()
	f(c)
	if _, err := w.store.Commit(w.t.Context(), c); err != nil {
		w.t.Fatal(err)
	}
}

// app adds an app with ready pods, all at a use; it wants half a CPU per pod.
func (w *world) app(id string, pods int, use float64, change ...func(*gantryv1.Autoscale)) string {
	w.t.Helper()
	name := "projects/pay/apps/" + id
	policy := &gantryv1.Autoscale{
		MinReplicas: 1, MaxReplicas: 100, StabilizationSeconds: 4,
		Metrics: []*gantryv1.ScaleMetric{{Resource: gantryv1.ScaleMetric_RESOURCE_CPU, TargetPercent: 50}},
	}
	for _, f := range change {
		f(policy)
	}
	app := &gantryv1.App{Name: name, Spec: &gantryv1.AppSpec{Autoscale: policy}, Status: &gantryv1.AppStatus{Release: 1}}
	w.put(func(c *store.Change) {
		w.store.Apps.Put(c, name, app, 0)
		w.store.Assignments.Put(c, name, store.Assignment{
			App: name, Desired: pods, Release: 1, Shares: []store.ShareRecord{{Cluster: "clusters/site-a", Replicas: pods}},
		}, 0)
	})
	seen := w.view.Clusters["clusters/site-a"]
	for i := range pods {
		pod := fmt.Sprintf("%s-%d", id, i)
		seen.Pods = append(seen.Pods, &gantryv1.Pod{Name: pod, App: name, Ready: true, Release: 1})
		w.use[pod] = use
	}
	seen.Workloads[name] = &ipaasv1.WorkloadState{App: name, Release: 1, Replicas: int32(pods), ReadyReplicas: int32(pods), UpdatedReplicas: int32(pods)}
	w.view.Clusters["clusters/site-a"] = seen
	return name
}

// hears sets what one load balancer node says of an app.
func (w *world) hears(app string, requests int64, held int32) {
	w.view.Agents = map[string]observe.AgentView{"main/lb-1": {Time: w.now, Status: &ingressv1.GetStatusResponse{
		Apps: []*ingressv1.AppTraffic{{App: app, Requests: requests, Held: held, Open: held}},
	}}}
}

// rounds makes rounds two seconds apart.
func (w *world) rounds(n int) {
	w.t.Helper()
	for range n {
		w.now = w.now.Add(2 * time.Second)
		if err := w.loop.look(w.t.Context(), w.now); err != nil {
			w.t.Fatal(err)
		}
	}
}

func (w *world) desired(app string) int {
	w.t.Helper()
	a, err := w.store.Assignments.Get(w.t.Context(), app)
	if err != nil {
		w.t.Fatal(err)
	}
	return a.Value.Desired
}

func (w *world) revision() int64 {
	w.t.Helper()
	r, err := w.client.Get(w.t.Context(), "/")
	if err != nil {
		w.t.Fatal(err)
	}
	return r.Header.GetRevision()
}

// ServeHTTP is Prometheus.
func (w *world) ServeHTTP(out http.ResponseWriter, r *http.Request) {
	w.mu.Lock()
	w.asked = append(w.asked, r.FormValue("query"))
	trouble := w.trouble
	var series []string
	for pod, use := range w.use {
		series = append(series, fmt.Sprintf(`{"metric":{"cluster":"site-a","namespace":"gantry-pay","pod":%q},"value":[0,"%v"]}`, pod, use))
	}
	w.mu.Unlock()
	if trouble != nil {
		trouble(out, r)
		return
	}
	answer(out, "", series...)
}

func answer(out http.ResponseWriter, warnings string, series ...string) {
	out.Header().Set("Content-Type", "application/json")
	fmt.Fprintf(out, `{"status":"success","warnings":[%s],"data":{"resultType":"vector","result":[%s]}}`, warnings, strings.Join(series, ","))
}
