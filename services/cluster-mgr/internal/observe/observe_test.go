package observe_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"gantry.dev/pkg/etcdkv/etcdtest"
	ingressv1 "gantry.dev/proto/gen/gantry/ingress/v1"
	ipaasv1 "gantry.dev/proto/gen/gantry/ipaas/v1"
	gantryv1 "gantry.dev/proto/gen/gantry/v1"
	"gantry.dev/services/cluster-mgr/internal/clusters"
	"gantry.dev/services/cluster-mgr/internal/observe"
	"gantry.dev/services/cluster-mgr/internal/store"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	siteA = "clusters/site-a"
	siteB = "clusters/site-b"
	web   = "projects/pay/apps/web"
)

// world answers for every ipaas and agent.
type world struct {
	mu      sync.Mutex
	hanging string
	// Who does not answer what, "ipaas.site-a ListPods".
	refusing string
	identity map[string]string
	calls    map[string][]string
}

// conn is the connection to one of them.
type conn struct {
	grpc.ClientConnInterface
	world *world
	name  string
}

func (c conn) Invoke(ctx context.Context, method string, _, reply any, _ ...grpc.CallOption) error {
	c.world.mu.Lock()
	hanging := c.world.hanging == c.name
	verb := method[strings.LastIndex(method, "/")+1:]
	c.world.calls[c.name] = append(c.world.calls[c.name], verb)
	identity := c.world.identity[c.name]
	refused := c.world.refusing == c.name+" "+verb
	c.world.mu.Unlock()
	if refused {
		return errors.New("not now")
	}
	if hanging {
		<-ctx.Done()
		return ctx.Err()
	}
	var answer proto.Message
	switch verb {
	case "GetClusterState":
		answer = &ipaasv1.GetClusterStateResponse{Identity: identity, ApiServerReady: true}
	case "ListWorkloads":
		answer = &ipaasv1.ListWorkloadsResponse{Workloads: []*ipaasv1.WorkloadState{{App: web, Replicas: 2}}}
	case "ListPods":
		answer = &ipaasv1.ListPodsResponse{Pods: []*gantryv1.Pod{{App: web}}}
	case "GetStatus":
		answer = &ingressv1.GetStatusResponse{Generation: 7}
	}
	proto.Merge(reply.(proto.Message), answer)
	return nil
}

func newObserver(t *testing.T) (*observe.Observer, *world, *etcdtest.Server) {
	t.Helper()
	etcd := etcdtest.Start(t)
	s := store.New(etcd.Client(t))
	change := store.NewChange()
	for _, n := range []string{siteA, siteB} {
		s.Clusters.Put(change, n, &gantryv1.Cluster{Name: n, Identity: "uid of " + n}, 0)
	}
	s.Gateways.Put(change, "gateways/main", &gantryv1.Gateway{Name: "gateways/main", Nodes: []*gantryv1.GatewayNode{{Name: "lb-1"}}}, 0)
	if _, err := s.Commit(t.Context(), change); err != nil {
		t.Fatal(err)
	}
	w := &world{calls: map[string][]string{}, identity: map[string]string{"ipaas.site-a": "uid of " + siteA, "ipaas.site-b": "uid of " + siteB}}
	pool := clusters.NewDialing(func(commonName, _ string) (grpc.ClientConnInterface, error) {
		if commonName == "ipaas.site-c" {
			return nil, errors.New("no way there")
		}
		return conn{world: w, name: commonName}, nil
	})
	o, err := observe.New(observe.Config{Store: s, Pool: pool, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	return o, w, etcd
}

func TestALook(t *testing.T) {
	t.Parallel()
	o, w, _ := newObserver(t)
	o.Look(t.Context())
	v := o.View()
	if len(v.Clusters) != 2 || len(v.Agents) != 1 || v.Agents["main/lb-1"].Status.GetGeneration() != 7 {
		t.Fatalf("got %+v", v)
	}
	a := v.Clusters[siteA]
	if a.StateErr != nil || a.WorkloadsErr != nil || !a.IdentityOK || a.Workloads[web].GetReplicas() != 2 || a.Pods[0].GetCluster() != siteA {
		t.Errorf("got %+v", a)
	}
	if got := strings.Join(w.calls["ipaas.site-a"], " "); got != "ListWorkloads ListPods GetClusterState" {
		t.Errorf("asked %s; nodes must be asked about after pods", got)
	}
}

// rule C1: what was seen stays while a cluster does not answer.
func TestUnreachableIsNotEmpty(t *testing.T) {
	t.Parallel()
	o, w, _ := newObserver(t)
	o.Look(t.Context())
	before := o.View().Clusters[siteB]
	w.mu.Lock()
	w.hanging = "ipaas.site-b"
	w.mu.Unlock()
	o.Look(t.Context())
	b := o.View().Clusters[siteB]
	if !b.Time.Equal(before.Time) || !b.Attempt.After(before.Attempt) {
		t.Errorf("an answer of %s is said to be of %s", before.Time, b.Time)
	}
	if b.StateErr == nil || b.WorkloadsErr == nil || b.Workloads[web].GetReplicas() != 2 || len(b.Pods) != 1 || b.State == nil {
		t.Errorf("got %+v", b)
	}
	if a := o.View().Clusters[siteA]; a.StateErr != nil || a.WorkloadsErr != nil {
		t.Errorf("one that hangs disturbs another: %+v", a)
	}
}

// rule K2: what another cluster says is not believed.
func TestAnotherClusterAnswers(t *testing.T) {
	t.Parallel()
	o, w, _ := newObserver(t)
	o.Look(t.Context())
	w.mu.Lock()
	w.identity["ipaas.site-b"] = "somebody else"
	w.mu.Unlock()
	o.Look(t.Context())
	if b := o.View().Clusters[siteB]; b.IdentityOK || b.WorkloadsErr == nil || b.Workloads[web].GetReplicas() != 2 {
		t.Errorf("got %+v", b)
	}
}

// While etcd is dead every cluster and node is looked at as often as ever.
func TestADeadStoreDelaysNoLook(t *testing.T) {
	t.Parallel()
	o, w, etcd := newObserver(t)
	o.Look(t.Context())
	etcd.Stop()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- o.Run(ctx) }()
	defer func() { cancel(); <-done }()
	began, tick := time.Now(), time.NewTicker(20*time.Millisecond)
	defer tick.Stop()
	for range tick.C {
		w.mu.Lock()
		clusterLooks, nodeLooks := len(w.calls["ipaas.site-a"])/3, len(w.calls["ingress-agent.main.lb-1"])
		w.mu.Unlock()
		if clusterLooks >= 4 && nodeLooks >= 4 {
			break
		}
		if time.Since(began) > 4*time.Second {
			t.Fatalf("%d looks at a cluster and %d at a node in four seconds", clusterLooks, nodeLooks)
		}
	}
	if v := o.View(); len(v.Clusters) != 2 || len(v.Agents) != 1 {
		t.Errorf("forgotten: %+v", v)
	}
}

func TestTraffic(t *testing.T) {
	t.Parallel()
	said := func(requests int64, held int32) *ingressv1.GetStatusResponse {
		return &ingressv1.GetStatusResponse{Apps: []*ingressv1.AppTraffic{
			{App: web, Requests: requests, Held: held}, {App: "projects/pay/apps/other", Requests: 1000, Held: 9},
		}}
	}
	v := observe.View{Agents: map[string]observe.AgentView{
		"main/lb-1": {Status: said(10, 1)},
		"main/lb-2": {Status: said(20, 2)},
		"main/lb-3": {Status: said(40, 4), Err: errors.New("no answer")},
		"main/lb-4": {Err: errors.New("never answered")},
	}}
	traffic, unknown := v.Traffic(time.Now())
	if got := traffic[web].Held; got != 3 {
		t.Errorf("%d are held", got)
	}
	if got := traffic[web].Requests; got != 70 {
		t.Errorf("%d requests", got)
	}
	if got, ok := traffic["projects/x/apps/y"]; ok || got.Held != 0 || got.Requests != 0 {
		t.Error("an app without traffic has some")
	}
	if unknown == "" {
		t.Error("silent nodes are not told")
	}
}

// Who waits for the load balancer nodes asks them at once, but not the ones that are silent anyway.
func TestLookAtAgents(t *testing.T) {
	t.Parallel()
	o, w, _ := newObserver(t)
	asked := func() int {
		w.mu.Lock()
		defer w.mu.Unlock()
		return len(w.calls["ingress-agent.main.lb-1"])
	}
	o.LookAtAgents(t.Context())
	if asked() != 0 {
		t.Error("a node was asked before it is known")
	}
	o.Look(t.Context())
	o.LookAtAgents(t.Context())
	if asked() != 2 || len(w.calls["ipaas.site-a"]) != 3 {
		t.Errorf("%v", w.calls)
	}
	w.mu.Lock()
	w.hanging = "ingress-agent.main.lb-1"
	w.mu.Unlock()
	o.Look(t.Context())
	o.LookAtAgents(t.Context())
	if asked() != 3 || o.View().Agents["main/lb-1"].Err == nil {
		t.Errorf("%v", w.calls)
	}
}

// rule C1: what a load balancer node said stays, with the time when it said it.
func TestASilentAgentIsNotEmpty(t *testing.T) {
	t.Parallel()
	o, w, _ := newObserver(t)
	o.Look(t.Context())
	before := o.View().Agents["main/lb-1"]
	w.mu.Lock()
	w.hanging = "ingress-agent.main.lb-1"
	w.mu.Unlock()
	o.Look(t.Context())
	after := o.View().Agents["main/lb-1"]
	if after.Err == nil || after.Status.GetGeneration() != 7 || !after.Time.Equal(before.Time) {
		t.Errorf("got %+v", after)
	}
}

// rule C1: a list that does not come is not an empty one, and a cluster that
// falls silent after that is news again.
func TestAListThatDoesNotComeIsNotEmpty(t *testing.T) {
	t.Parallel()
	for _, verb := range []string{"ListWorkloads", "ListPods"} {
		o, w, _ := newObserver(t)
		o.Look(t.Context())
		w.mu.Lock()
		w.refusing = "ipaas.site-b " + verb
		w.mu.Unlock()
		o.Look(t.Context())
		b := o.View().Clusters[siteB]
		if b.StateErr != nil || b.WorkloadsErr == nil || b.Workloads[web].GetReplicas() != 2 || len(b.Pods) != 1 {
			t.Errorf("%s: got %+v", verb, b)
		}
		<-o.Changed()
		w.mu.Lock()
		w.hanging = "ipaas.site-b"
		w.mu.Unlock()
		o.Look(t.Context())
		select {
		case <-o.Changed():
		default:
			t.Errorf("%s: nobody hears that the cluster is silent", verb)
		}
	}
}
