// Package observe looks at every cluster and load balancer node once a second
// and keeps what was seen last. A look that fails changes nothing but the
// error: unreachable is not empty (rule C1).
package observe

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"sync"
	"time"

	"gantry.dev/pkg/names"
	ingressv1 "gantry.dev/proto/gen/gantry/ingress/v1"
	ipaasv1 "gantry.dev/proto/gen/gantry/ipaas/v1"
	gantryv1 "gantry.dev/proto/gen/gantry/v1"
	"gantry.dev/services/cluster-mgr/internal/clusters"
	"gantry.dev/services/cluster-mgr/internal/store"
)

const (
	// interval between two looks at one thing.
	interval = time.Second
	// patience bounds one look.
	patience = 2 * time.Second
)

// View is what was seen last. Nobody changes it.
type View struct {
	// By cluster name, "clusters/site-a".
	Clusters map[string]ClusterView
	// By gateway and node, "main/lb-1".
	Agents map[string]AgentView
	// By cluster name, of those whose Prometheus was asked; nil: nobody asks.
	Use map[string]Use
}

// ClusterView is what was seen last of a cluster.
type ClusterView struct {
	Cluster *gantryv1.Cluster
	// Of the last good answer, and why there was no newer one.
	State    *ipaasv1.GetClusterStateResponse
	StateErr error
	// By app name; of the last good answer of the registered cluster.
	Workloads    map[string]*ipaasv1.WorkloadState
	Pods         []*gantryv1.Pod
	WorkloadsErr error
	// The kube-system UID is the registered one.
	IdentityOK bool
	// When it answered last, and when it was asked last.
	Time    time.Time
	Attempt time.Time
}

// AgentView is what a load balancer node said last.
type AgentView struct {
	Status *ingressv1.GetStatusResponse
	Err    error
	Time   time.Time
}

// Config is what New needs; all fields but Meter are required.
type Config struct {
	Store  *store.Store
	Pool   *clusters.Pool
	Logger *slog.Logger
	// Measures the use of nodes over a window; nil: nobody does.
	Meter Meter
}

// Observer looks and remembers.
type Observer struct {
	Config
	changed chan struct{}
	// Gives a value when the list of what is registered has been read.
	listed chan struct{}

	mu       sync.Mutex
	known    registered
	clusters map[string]ClusterView
	agents   map[string]AgentView
	// By URL of a Prometheus.
	use map[string]said
}

// registered is what there is to look at.
type registered struct {
	clusters []store.Item[*gantryv1.Cluster]
	gateways []store.Item[*gantryv1.Gateway]
}

// New checks its Config.
func New(c Config) (*Observer, error) {
	if c.Store == nil || c.Pool == nil || c.Logger == nil {
		return nil, errors.New("observe: store, pool and logger are required")
	}
	return &Observer{
		Config: c, changed: make(chan struct{}, 1), listed: make(chan struct{}, 1),
		clusters: map[string]ClusterView{}, agents: map[string]AgentView{}, use: map[string]said{},
	}, nil
}

// View is a snapshot of what was seen last.
func (o *Observer) View() View {
	o.mu.Lock()
	defer o.mu.Unlock()
	return View{Clusters: maps.Clone(o.clusters), Agents: maps.Clone(o.agents), Use: o.used()}
}

// Changed gives a value after a look has found something else than before;
// several changes may be one value. It is for one receiver.
func (o *Observer) Changed() <-chan struct{} { return o.changed }

// Run looks until ctx ends. One slow cluster does not delay the others, and
// neither does the store: while it does not answer, the last list stays.
func (o *Observer) Run(ctx context.Context) error {
	var busy sync.Map
	var looks sync.WaitGroup
	defer looks.Wait()
	if o.Meter != nil {
		looks.Go(func() { o.measure(ctx) })
	}
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		due := o.due()
		due["the store"] = o.list
		for key, look := range due {
			if _, running := busy.LoadOrStore(key, true); running {
				continue
			}
			looks.Go(func() {
				defer busy.Delete(key)
				ctx, cancel := context.WithTimeout(ctx, patience)
				defer cancel()
				look(ctx)
			})
		}
		select {
		case <-ctx.Done():
			return nil
		case <-o.listed:
		case <-tick.C:
		}
	}
}

// Look looks once at everything that is registered and returns when all have
// answered or run out of time.
func (o *Observer) Look(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	o.list(ctx)
	var looks sync.WaitGroup
	for _, look := range o.due() {
		looks.Go(func() { look(ctx) })
	}
	looks.Wait()
}

// LookAtAgents asks now the load balancer nodes that answered when they were
// asked last, and returns when they have answered or run out of time.
func (o *Observer) LookAtAgents(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	agents := o.View().Agents
	var looks sync.WaitGroup
	for key, look := range o.due() {
		if agent, ok := agents[key]; ok && agent.Err == nil {
			looks.Go(func() { look(ctx) })
		}
	}
	looks.Wait()
}

// list reads what is registered; a store that does not answer changes nothing.
func (o *Observer) list(ctx context.Context) {
	clusters, _, err := o.Store.Clusters.List(ctx, "")
	if err != nil {
		return
	}
	gateways, _, err := o.Store.Gateways.List(ctx, "")
	if err != nil {
		return
	}
	o.mu.Lock()
	first := o.known.clusters == nil
	o.known = registered{clusters, gateways}
	o.mu.Unlock()
	o.forget(o.due())
	if first && len(clusters) > 0 {
		o.listed <- struct{}{} // at most once, and there is room for one
	}
}

// due lists what is to be looked at.
func (o *Observer) due() map[string]func(context.Context) {
	o.mu.Lock()
	known := o.known
	o.mu.Unlock()
	looks := map[string]func(context.Context){}
	for _, c := range known.clusters {
		looks[c.Name] = func(ctx context.Context) { o.lookAtCluster(ctx, c.Value) }
	}
	for _, g := range known.gateways {
		for _, n := range g.Value.GetNodes() {
			key := names.ID(g.Name) + "/" + n.GetName()
			looks[key] = func(ctx context.Context) { o.lookAtAgent(ctx, key, names.ID(g.Name), n) }
		}
	}
	return looks
}

// forget drops what is registered no more.
func (o *Observer) forget(keep map[string]func(context.Context)) {
	o.mu.Lock()
	defer o.mu.Unlock()
	maps.DeleteFunc(o.clusters, func(name string, _ ClusterView) bool { return keep[name] == nil })
	maps.DeleteFunc(o.agents, func(name string, _ AgentView) bool { return keep[name] == nil })
}

func (o *Observer) notify() {
	select {
	case o.changed <- struct{}{}:
	default:
	}
}
