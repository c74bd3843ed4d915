package operations

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"gantry.dev/pkg/fault"
	ingressv1 "gantry.dev/proto/gen/gantry/ingress/v1"
	ipaasv1 "gantry.dev/proto/gen/gantry/ipaas/v1"
	gantryv1 "gantry.dev/proto/gen/gantry/v1"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
)

// cloud is what outlives every leader: two Kubernetes clusters behind their
// ipaas, and two load balancer nodes. It reacts when time passes.
type cloud struct {
	mu    sync.Mutex
	sites map[string]*site
	// What the load balancer nodes serve.
	served *ingressv1.GatewayConfig
	// Answers counted by cluster, and how many of them fail.
	requests map[string]int64
	failed   map[string]int64
	failing  map[string]bool
	// How long all of them took, and which clusters answer slowly.
	millis map[string]int64
	slow   map[string]bool
}

// latency is what a cluster needs for an answer, in milliseconds.
func (c *cloud) latency(site string) int64 {
	if c.slow[site] {
		return 500
	}
	return 30
}

// site is one cluster.
type site struct {
	name      string
	dead      bool
	epoch     int64
	workloads map[string]*workload
}

// workload is an app in a cluster. Pods need some turns to start, one after the
// other, and to end.
type workload struct {
	replicas, ready int
	// Turns that the next pod has been starting.
	starting int
	// Pods that end, and for how many turns more.
	ending, grace int
}

// slowness is how many turns a pod needs to start or to end.
const slowness = 3

func (w *workload) turn(dead bool) {
	if surplus := w.ready - w.replicas; surplus > 0 {
		w.ready, w.ending, w.grace = w.replicas, w.ending+surplus, slowness
	}
	if w.grace = max(0, w.grace-1); w.grace == 0 {
		w.ending = 0
	}
	if w.starting++; w.ready == w.replicas || dead {
		w.starting = 0
	}
	if w.starting == slowness {
		w.ready, w.starting = w.ready+1, 0
	}
}

func newCloud(names ...string) *cloud {
	c := &cloud{
		sites: map[string]*site{}, served: &ingressv1.GatewayConfig{},
		requests: map[string]int64{}, failed: map[string]int64{}, failing: map[string]bool{},
		millis: map[string]int64{}, slow: map[string]bool{},
	}
	for _, n := range names {
		c.sites[n] = &site{name: n, workloads: map[string]*workload{}}
	}
	return c
}

// clone is another cloud that is the same now.
func (c *cloud) clone() *cloud {
	out := newCloud()
	out.served = proto.CloneOf(c.served)
	maps.Copy(out.requests, c.requests)
	maps.Copy(out.failed, c.failed)
	maps.Copy(out.failing, c.failing)
	maps.Copy(out.millis, c.millis)
	maps.Copy(out.slow, c.slow)
	for name, s := range c.sites {
		out.sites[name] = &site{name: s.name, dead: s.dead, epoch: s.epoch, workloads: map[string]*workload{}}
		for app, w := range s.workloads {
			again := *w
			out.sites[name].workloads[app] = &again
		}
	}
	return out
}

// runs lets an app have run in a cluster for a while.
func (c *cloud) runs(site, app string, replicas int) {
	c.sites[site].workloads[app] = &workload{replicas: replicas, ready: replicas}
}

// turn lets time pass: pods start and end, and the nodes serve what is
// published.
func (c *cloud) turn(published *ingressv1.GatewayConfig) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range c.sites {
		for _, w := range s.workloads {
			w.turn(s.dead)
		}
	}
	if published != nil {
		c.served = published
	}
	for _, cluster := range c.served.GetClusters() {
		if cluster.GetTrafficPercent() > 0 && c.share(web, cluster.GetName()) > 0 {
			c.millis[cluster.GetName()] += 100 * c.latency(cluster.GetName())
			c.requests[cluster.GetName()] += 100
			if c.failing[cluster.GetName()] {
				c.failed[cluster.GetName()] += 50
			}
		}
	}
}

// pods of an app that exist in a living cluster.
func (s *site) pods(app string) int {
	w := s.workloads[app]
	if w == nil || s.dead {
		return 0
	}
	return w.ready + w.ending
}

// percent of its traffic that a cluster gets from the nodes.
func (c *cloud) percent(site string) int {
	for _, s := range c.served.GetClusters() {
		if s.GetName() == site {
			return int(s.GetTrafficPercent())
		}
	}
	return 0
}

// share of an app's requests that a cluster gets from the nodes.
func (c *cloud) share(app, site string) int {
	for _, r := range c.served.GetRoutes() {
		if r.GetApp() == app && len(r.GetTrafficShares()) > 0 {
			return int(r.GetTrafficShares()[site])
		}
	}
	sum, here := 0, 0
	for _, s := range c.sites {
		if w := s.workloads[app]; w != nil {
			sum += w.ready
			here += map[bool]int{true: w.ready}[s.name == site]
		}
	}
	return 100 * here / max(1, sum)
}

// available are an app's ready replicas that get requests.
func (c *cloud) available(app string) int {
	led, all := 0, 0
	for _, s := range c.sites {
		if w := s.workloads[app]; w != nil && !s.dead && c.percent(s.name) > 0 {
			all += w.ready
			led += map[bool]int{true: w.ready}[c.share(app, s.name) > 0]
		}
	}
	if led == 0 { // shares that lead nowhere do not count
		return all
	}
	return led
}

// end is the cloud in words, for comparing.
func (c *cloud) end() []string {
	var out []string
	for _, name := range slices.Sorted(maps.Keys(c.sites)) {
		line := fmt.Sprintf("%s serves %d %%, %d %% of web", name, c.percent(name), c.share(web, name))
		for _, app := range slices.Sorted(maps.Keys(c.sites[name].workloads)) {
			w := c.sites[name].workloads[app]
			line += fmt.Sprintf(", %s %d/%d", app[strings.LastIndex(app, "/")+1:], w.ready, w.replicas)
		}
		out = append(out, line)
	}
	return out
}

// conn is a process's connection to an ipaas or an agent. Each effect goes
// past the process, which may die of it.
type conn struct {
	grpc.ClientConnInterface
	cloud   *cloud
	site    string // empty: an agent
	process *process
}

func (n *conn) Invoke(_ context.Context, method string, args, reply any, _ ...grpc.CallOption) error {
	request := args.(proto.Message)
	if _, changes := request.(interface{ GetEpoch() int64 }); !changes {
		if n.process.gone() {
			return errGone
		}
		return n.answer(request, reply)
	}
	return n.process.effect(fmt.Sprintf("%s %s", method[strings.LastIndex(method, "/")+1:], n.site), func() error {
		return n.answer(request, reply)
	})
}

func (n *conn) answer(request proto.Message, reply any) error {
	n.cloud.mu.Lock()
	defer n.cloud.mu.Unlock()
	var out proto.Message
	var err error
	if n.site == "" {
		out = n.cloud.status()
	} else {
		out, err = n.cloud.ask(n.cloud.sites[n.site], request)
	}
	if err != nil {
		return err
	}
	proto.Merge(reply.(proto.Message), out)
	return nil
}

// status is what each load balancer node says.
func (c *cloud) status() proto.Message {
	of := &ingressv1.AppTraffic{App: web}
	out := &ingressv1.GetStatusResponse{Generation: c.served.GetGeneration(), Apps: []*ingressv1.AppTraffic{of}}
	for _, name := range slices.Sorted(maps.Keys(c.sites)) {
		out.Clusters = append(out.Clusters, &ingressv1.ClusterView{Cluster: name, Requests: c.requests[name], Failed: c.failed[name]})
		of.Clusters = append(of.Clusters, &ingressv1.ClusterTraffic{Cluster: name, Requests: c.requests[name], Failed: c.failed[name], LatencyMillis: c.millis[name]})
	}
	return out
}

// ask is a cluster's ipaas.
func (c *cloud) ask(s *site, request proto.Message) (proto.Message, error) {
	if s.dead {
		return nil, fault.Unavailable("IPAAS_UNREACHABLE", "%s is dead", s.name)
	}
	if r, changes := request.(interface{ GetEpoch() int64 }); changes {
		if r.GetEpoch() < s.epoch { // rule S2
			return nil, fault.Precondition("STALE_EPOCH", "epoch %d is older than %d", r.GetEpoch(), s.epoch)
		}
		s.epoch = r.GetEpoch()
	}
	switch r := request.(type) {
	case *ipaasv1.GetClusterStateRequest:
		return &ipaasv1.GetClusterStateResponse{Identity: s.name, ApiServerReady: true, Nodes: []*gantryv1.NodeCapacity{node()}}, nil
	case *ipaasv1.ListWorkloadsRequest:
		return s.list(), nil
	case *ipaasv1.ListPodsRequest:
		return s.listPods(), nil
	case *ipaasv1.ApplyWorkloadRequest:
		return s.apply(r.GetWorkload()), nil
	case *ipaasv1.ApplyConfigRequest:
		return &ipaasv1.ApplyConfigResponse{}, nil
	case *ipaasv1.FenceAppRequest:
		return s.fence(r.GetApp()), nil
	}
	return nil, fault.Internal("UNEXPECTED", "%T", request)
}

func node() *gantryv1.NodeCapacity {
	return &gantryv1.NodeCapacity{Name: "n", Ready: true, AllocatableMilliCpu: 20000, AllocatableMemoryBytes: 64 << 30, MaxPods: 110}
}

func (s *site) list() *ipaasv1.ListWorkloadsResponse {
	out := &ipaasv1.ListWorkloadsResponse{}
	for _, app := range slices.Sorted(maps.Keys(s.workloads)) {
		out.Workloads = append(out.Workloads, s.state(app))
	}
	return out
}

func (s *site) state(app string) *ipaasv1.WorkloadState {
	w := s.workloads[app]
	return &ipaasv1.WorkloadState{
		App: app, Release: 1, Replicas: int32(w.replicas), ReadyReplicas: int32(w.ready), UpdatedReplicas: int32(w.ready),
		Settled: w.ready == w.replicas,
	}
}

func (s *site) listPods() *ipaasv1.ListPodsResponse {
	out := &ipaasv1.ListPodsResponse{}
	for _, app := range slices.Sorted(maps.Keys(s.workloads)) {
		for i := range s.pods(app) {
			out.Pods = append(out.Pods, &gantryv1.Pod{App: app, Name: fmt.Sprintf("%s-%d", app[strings.LastIndex(app, "/")+1:], i), Ready: true, Node: "n"})
		}
	}
	return out
}

func (s *site) apply(r *ipaasv1.Workload) *ipaasv1.ApplyWorkloadResponse {
	w := s.workloads[r.GetApp()]
	if w == nil {
		w = &workload{}
		s.workloads[r.GetApp()] = w
	}
	w.replicas = int(r.GetReplicas())
	return &ipaasv1.ApplyWorkloadResponse{State: s.state(r.GetApp())}
}

func (s *site) fence(app string) *ipaasv1.FenceAppResponse {
	if w := s.workloads[app]; w != nil {
		w.replicas = 0
	}
	return &ipaasv1.FenceAppResponse{Pods: int32(s.pods(app))}
}
