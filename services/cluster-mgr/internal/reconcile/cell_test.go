package reconcile

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"

	ipaasv1 "gantry.dev/proto/gen/gantry/ipaas/v1"
	gantryv1 "gantry.dev/proto/gen/gantry/v1"
	"gantry.dev/services/cluster-mgr/internal/fleet"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// cell is a cluster whose ipaas behaves: it keeps what is applied, refuses an
// older epoch or another identity (rule S2), and has a scheduler that puts one
// pod after the other onto the node with the most room.
type cell struct {
	ipaasv1.UnimplementedIpaasServiceServer
	identity string

	mu   sync.Mutex
	down bool
	// Its ipaas answers, its API server does not.
	noServer bool

	epoch int64
	nodes []*gantryv1.NodeCapacity
	apps  map[string]*deployment
	// What was asked, in order: "config web 1", "apply web 3 r1", "delete web".
	calls []string
	// What ApplyConfig brought last, by app.
	brought map[string]*ipaasv1.ApplyConfigRequest
	// Apps whose calls fail, by "apply web" or "config web".
	broken map[string]bool
	// Calls refused for an older epoch.
	stale int
	// gate, while it is set, holds ApplyWorkload until it is closed.
	gate chan struct{}
	// hook runs after each answer to one who looks: what is listed next may
	// have changed meanwhile.
	hook func()
	// overdrawn says where more was wanted than the nodes have.
	overdrawn string
}

type deployment struct {
	workload *ipaasv1.Workload
	cpu      int64
	pods     []*gantryv1.Pod
	made     int
}

func newCell(name string, nodes int, milliCPU int64) *cell {
	c := &cell{identity: "uid-" + name, apps: map[string]*deployment{}, broken: map[string]bool{}, brought: map[string]*ipaasv1.ApplyConfigRequest{}}
	for i := range nodes {
		c.nodes = append(c.nodes, &gantryv1.NodeCapacity{
			Name: fmt.Sprintf("n%d", i), Ready: true, AllocatableMilliCpu: milliCPU, AllocatableMemoryBytes: 64 << 30, MaxPods: 110,
		})
	}
	return c
}

func (c *cell) GetClusterState(context.Context, *ipaasv1.GetClusterStateRequest) (*ipaasv1.GetClusterStateResponse, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.down {
		return nil, status.Error(codes.Unavailable, "nobody is there")
	}
	out := &ipaasv1.GetClusterStateResponse{Identity: c.identity, ApiServerReady: !c.noServer, ObserveTime: timestamppb.Now(), Epoch: c.epoch}
	for _, n := range c.nodes {
		out.Nodes = append(out.Nodes, c.usage(n))
	}
	c.meanwhile()
	return out, nil
}

func (c *cell) meanwhile() {
	if c.hook != nil {
		c.hook()
	}
}

// usage is a node with the requests of its pods.
func (c *cell) usage(n *gantryv1.NodeCapacity) *gantryv1.NodeCapacity {
	out := &gantryv1.NodeCapacity{
		Name: n.GetName(), Ready: n.GetReady(), AllocatableMilliCpu: n.GetAllocatableMilliCpu(),
		AllocatableMemoryBytes: n.GetAllocatableMemoryBytes(), MaxPods: n.GetMaxPods(),
	}
	for _, d := range c.apps {
		for _, p := range d.pods {
			if p.GetNode() == n.GetName() {
				out.RequestedMilliCpu += d.cpu
				out.Pods++
			}
		}
	}
	return out
}

func (c *cell) ListWorkloads(context.Context, *ipaasv1.ListWorkloadsRequest) (*ipaasv1.ListWorkloadsResponse, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.down {
		return nil, status.Error(codes.Unavailable, "nobody is there")
	}
	out := &ipaasv1.ListWorkloadsResponse{}
	for name, d := range c.apps {
		w := &ipaasv1.WorkloadState{App: name, Release: d.workload.GetRelease(), Replicas: d.workload.GetReplicas()}
		for _, p := range d.pods {
			switch {
			case p.GetReady():
				w.ReadyReplicas++
				w.UpdatedReplicas++
			case p.GetNode() == "":
				w.UnschedulableReplicas++
				w.UnschedulableReason = "0/1 nodes are available: 1 Insufficient cpu"
			}
		}
		out.Workloads = append(out.Workloads, w)
	}
	c.meanwhile()
	return out, nil
}

func (c *cell) ListPods(context.Context, *ipaasv1.ListPodsRequest) (*ipaasv1.ListPodsResponse, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.down {
		return nil, status.Error(codes.Unavailable, "nobody is there")
	}
	out := &ipaasv1.ListPodsResponse{}
	for name, d := range c.apps {
		for _, p := range d.pods {
			out.Pods = append(out.Pods, &gantryv1.Pod{Name: p.GetName(), App: name, Node: p.GetNode(), Ready: p.GetReady(), Phase: "Running"})
		}
	}
	c.meanwhile()
	return out, nil
}

func (c *cell) ApplyConfig(_ context.Context, r *ipaasv1.ApplyConfigRequest) (*ipaasv1.ApplyConfigResponse, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.accept(r.GetEpoch(), r.GetIdentity(), "config "+short(r.GetApp()), fmt.Sprintf(" %d", r.GetRelease())); err != nil {
		return nil, err
	}
	c.brought[short(r.GetApp())] = r
	return &ipaasv1.ApplyConfigResponse{Object: "config"}, nil
}

func (c *cell) ApplyWorkload(_ context.Context, r *ipaasv1.ApplyWorkloadRequest) (*ipaasv1.ApplyWorkloadResponse, error) {
	c.mu.Lock()
	gate := c.gate
	c.mu.Unlock()
	if gate != nil {
		<-gate
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	w := r.GetWorkload()
	if err := c.accept(r.GetEpoch(), r.GetIdentity(), "apply "+short(w.GetApp()), fmt.Sprintf(" %d r%d", w.GetReplicas(), w.GetRelease())); err != nil {
		return nil, err
	}
	d := c.apps[w.GetApp()]
	if d == nil {
		d = &deployment{}
		c.apps[w.GetApp()] = d
	}
	d.workload = w
	per, err := fleet.PerReplica(w.GetSpec().GetResources())
	if err != nil {
		return nil, err
	}
	d.cpu = per.MilliCPU
	d.scale()
	c.audit()
	return &ipaasv1.ApplyWorkloadResponse{}, nil
}

func (c *cell) DeleteWorkload(_ context.Context, r *ipaasv1.DeleteWorkloadRequest) (*ipaasv1.DeleteWorkloadResponse, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.accept(r.GetEpoch(), r.GetIdentity(), "delete "+short(r.GetApp()), ""); err != nil {
		return nil, err
	}
	delete(c.apps, r.GetApp())
	return &ipaasv1.DeleteWorkloadResponse{}, nil
}

// accept is the fence of every change.
func (c *cell) accept(epoch int64, identity, what, detail string) error {
	switch {
	case c.down:
		return status.Error(codes.Unavailable, "nobody is there")
	case identity != c.identity:
		return status.Error(codes.FailedPrecondition, "another cluster")
	case epoch < c.epoch:
		c.stale++
		return status.Error(codes.FailedPrecondition, "an older leader")
	}
	c.epoch = epoch
	c.calls = append(c.calls, what+detail)
	if c.broken[what] {
		return status.Error(codes.Internal, what+" fails")
	}
	return nil
}

// scale makes and ends pods; like Kubernetes, those without a node end first.
func (d *deployment) scale() {
	for len(d.pods) < int(d.workload.GetReplicas()) {
		d.made++
		d.pods = append(d.pods, &gantryv1.Pod{Name: fmt.Sprintf("%s-%d", short(d.workload.GetApp()), d.made)})
	}
	slices.SortStableFunc(d.pods, func(a, b *gantryv1.Pod) int { return cmp.Compare(rank(a), rank(b)) })
	d.pods = d.pods[:d.workload.GetReplicas()]
}

func rank(p *gantryv1.Pod) int {
	switch {
	case p.GetReady():
		return 0
	case p.GetNode() != "":
		return 1
	}
	return 2
}

// schedule puts up to n pods onto nodes; each is ready at once.
func (c *cell) schedule(n int) {
	for _, name := range c.names() {
		d := c.apps[name]
		for _, p := range d.pods {
			if n == 0 {
				return
			}
			if p.GetNode() != "" {
				continue
			}
			if node := c.roomiest(d.cpu); node != "" {
				p.Node, p.Ready = node, true
				n--
			}
		}
	}
}

func (c *cell) names() []string {
	var out []string
	for name := range c.apps {
		out = append(out, name)
	}
	slices.Sort(out)
	return out
}

func (c *cell) roomiest(cpu int64) string {
	best, most := "", int64(-1)
	for _, n := range c.nodes {
		u := c.usage(n)
		if free := u.GetAllocatableMilliCpu() - u.GetRequestedMilliCpu(); n.GetReady() && free >= cpu && u.GetPods() < u.GetMaxPods() && free > most {
			best, most = n.GetName(), free
		}
	}
	return best
}

// audit notes when all that was applied together does not fit.
func (c *cell) audit() {
	var wanted, has int64
	for _, d := range c.apps {
		wanted += int64(d.workload.GetReplicas()) * d.cpu
	}
	for _, n := range c.nodes {
		has += n.GetAllocatableMilliCpu()
	}
	if wanted > has {
		c.overdrawn = fmt.Sprintf("%s: %dm are wanted of %dm", c.identity, wanted, has)
	}
}

func (c *cell) pending() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := 0
	for _, d := range c.apps {
		for _, p := range d.pods {
			if p.GetNode() == "" {
				n++
			}
		}
	}
	return n
}

// settle puts all pods onto nodes that fit.
func (c *cell) settle() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.schedule(1 << 20)
}

// do changes the cell.
func (c *cell) do(change func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	change()
}

// took gives the calls since the last time.
func (c *cell) took() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	calls := c.calls
	c.calls = nil
	slices.Sort(calls)
	return calls
}

func (c *cell) running(app string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	if d := c.apps[app]; d != nil {
		return int(d.workload.GetReplicas())
	}
	return -1
}

func short(app string) string { return app[len("projects/pay/apps/"):] }
