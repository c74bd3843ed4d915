package app

import (
	"context"
	"fmt"
	"log/slog"
	"runtime/debug"
	"slices"

	"gantry.dev/pkg/etcdkv"
	"gantry.dev/pkg/grpcclient"
	"gantry.dev/pkg/grpcserver"
	ingressv1 "gantry.dev/proto/gen/gantry/ingress/v1"
	"gantry.dev/services/ingress-agent/internal/api"
	"gantry.dev/services/ingress-agent/internal/balancer"
	"gantry.dev/services/ingress-agent/internal/certificates"
	"gantry.dev/services/ingress-agent/internal/endpoints"
	"gantry.dev/services/ingress-agent/internal/generation"
	"gantry.dev/services/ingress-agent/internal/keepalived"
	"gantry.dev/services/ingress-agent/internal/nginx"
	"gantry.dev/services/ingress-agent/internal/probe"
	"gantry.dev/services/ingress-agent/internal/source"
	"gantry.dev/services/ingress-agent/internal/stream"
	clientv3 "go.etcd.io/etcd/client/v3"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
)

// agent is the parts of a node.
type agent struct {
	config     Config
	log        *slog.Logger
	state      *state
	fence      *source.Fence
	nginx      *nginx.Nginx
	keepalived *keepalived.Keepalived
	manager    *generation.Manager
	store      *endpoints.Store
	watcher    *endpoints.Watcher
	prober     *probe.Prober
	syncer     *balancer.Syncer
	metrics    *metrics
	// The newest configuration that has not been taken up.
	offered chan *ingressv1.GatewayConfig
	// A snapshot is due.
	dirty chan struct{}

	streams      *stream.Manager
	streamNginx  *stream.Nginx
	certificates *certificates.Store
	// The certificates may have changed.
	certificateWake chan struct{}

	// The stream routes or their pods may have changed.
	streamWake chan struct{}
}

// Run serves until ctx ends. Nginx and Keepalived go on: the next agent finds
// them again.
func Run(ctx context.Context, c Config) error {
	if err := c.validate(); err != nil {
		return err
	}
	if err := c.prepare(); err != nil {
		return err
	}
	saveMemory()
	a, err := newAgent(c)
	if err != nil {
		return err
	}
	server, err := a.server()
	if err != nil {
		return err
	}
	tlsConfig, err := c.TLS.Client("etcd")
	if err != nil {
		return err
	}
	etcd, err := etcdkv.Dial(c.Etcd, tlsConfig)
	if err != nil {
		return err
	}
	defer etcd.Close()
	return a.run(ctx, etcd, server)
}

// gcPercent makes the agent collect twice as often as usual: its memory is taken
// from Nginx beside it, its processor time is small.
const gcPercent = 50

func saveMemory() { debug.SetGCPercent(gcPercent) }

func (a *agent) run(ctx context.Context, etcd *clientv3.Client, server *grpcserver.Server) error {
	if err := a.resume(); err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	defer a.watcher.Wait()
	group.Go(func() error { return server.Run(ctx) })
	group.Go(func() error { return a.applyLoop(ctx) })
	group.Go(func() error { return a.keepNginx(ctx) })
	group.Go(func() error { return a.keepCertificates(ctx) })
	group.Go(func() error { return a.streamLoop(ctx) })
	group.Go(func() error { return a.keepKeepalived(ctx) })
	group.Go(func() error { return a.keepVIPs(ctx) })
	group.Go(func() error { return a.watchConflicts(ctx) })
	group.Go(func() error { return a.saveLoop(ctx) })
	group.Go(func() error { return a.syncer.Run(ctx) })
	group.Go(func() error { return a.prober.Run(ctx) })
	group.Go(func() error {
		return source.Watch(ctx, source.Config{
			Client: etcd, Gateway: a.config.Gateway, Fence: a.fence, Logger: a.log, Take: a.offer,
			Problem: func(err error) { a.state.problem("disk", err) },
		})
	})
	return group.Wait()
}

func newAgent(c Config) (*agent, error) {
	a := &agent{
		config: c, log: c.Logger, state: newState(),
		offered: make(chan *ingressv1.GatewayConfig, 1), dirty: make(chan struct{}, 1),
		streamWake: make(chan struct{}, 1), certificateWake: make(chan struct{}, 1),
	}
	a.nginx = nginx.New(nginx.Config{Binary: c.Nginx, StateDir: c.StateDir, Logger: c.Logger, Drain: c.Drain})
	a.keepalived = keepalived.New(keepalived.Config{Binary: c.Keepalived, StateDir: c.StateDir, Interface: c.Interface, Logger: c.Logger})
	a.metrics = newMetrics(a.nginx.Client())
	if err := a.metrics.register(c.Registry); err != nil {
		return nil, err
	}
	var err error
	if a.fence, err = source.OpenFence(c.StateDir, a.metrics.refused); err != nil {
		return nil, err
	}
	a.newCertificates()
	if a.manager, err = a.newManager(a.nginx); err != nil {
		return nil, err
	}
	if err := a.newStreams(); err != nil {
		return nil, err
	}
	known, err := balancer.LoadEndpoints(c.StateDir)
	if err != nil {
		a.log.Error("the last known endpoints cannot be read; waiting for the clusters", "error", err.Error())
	}
	a.store = endpoints.NewStore(known, a.changed)
	a.watcher = endpoints.NewWatcher(endpoints.Config{Store: a.store, Dial: a.dial, Logger: c.Logger})
	a.prober = probe.New(probe.Config{Targets: a.targets, Changed: a.changed, Hung: a.hung})
	a.syncer = balancer.NewSyncer(balancer.SyncConfig{
		Client: a.nginx.Client(), Wanted: a.wanted, Logger: c.Logger, Pushed: a.pushed,
	})
	return a, nil
}

func (a *agent) newManager(web generation.Web) (*generation.Manager, error) {
	env, err := a.config.env()
	if err != nil {
		return nil, err
	}
	code, err := balancer.Code()
	if err != nil {
		return nil, err
	}
	return generation.New(generation.Config{Env: env, Code: code, Web: web, VRRP: a.vrrp(), Logger: a.log})
}

// resume takes up the last good configuration before etcd is asked.
func (a *agent) resume() error {
	model, _ := a.manager.Served()
	a.state.applied(model, nil, 0)
	c, err := source.Load(a.config.StateDir)
	if err != nil {
		a.log.Error("the last good configuration cannot be read; waiting for etcd", "error", err.Error())
		return nil
	}
	if c == nil {
		return nil
	}
	if err := a.fence.Admit(c); err != nil {
		// A newer one was seen but never came into effect; this one serves
		// until it comes again.
		a.log.Info("serving the last good configuration", "note", err.Error())
	}
	a.offer(c)
	return nil
}

func (a *agent) server() (*grpcserver.Server, error) {
	tlsConfig, err := a.config.TLS.Server()
	if err != nil {
		return nil, err
	}
	server, err := grpcserver.New(grpcserver.Config{
		Name: a.config.Name, Listen: a.config.Listen, TLS: tlsConfig,
		Logger: a.log, Registry: a.config.Registry, Authorize: api.Authorize,
	})
	if err != nil {
		return nil, err
	}
	api.New(a).Register(server.Registrar())
	return server, nil
}

func (a *agent) dial(c endpoints.Cluster) (*grpc.ClientConn, error) {
	tlsConfig, err := a.config.TLS.Client("ipaas." + c.Name)
	if err != nil {
		return nil, fmt.Errorf("prepare TLS: %w", err)
	}
	return grpcclient.Dial(c.Address, tlsConfig)
}

// offer hands a configuration to the apply loop; a newer one replaces one that
// has not been taken up. Only one goroutine offers at a time.
func (a *agent) offer(c *ingressv1.GatewayConfig) {
	select {
	case <-a.offered:
	default:
	}
	a.offered <- c
}

// changed wakes what follows endpoints and marks.
func (a *agent) changed() {
	a.syncer.Wake()
	a.wakeStreams()
}

func (a *agent) pushed() {
	select {
	case a.dirty <- struct{}{}:
	default:
	}
}

// wanted is what Nginx should hold now.
func (a *agent) wanted() (balancer.Wanted, bool) {
	table, generation, ok := a.state.table(a.store.Snapshot())
	return balancer.Wanted{Table: table, Down: a.prober.Down(), Config: generation}, ok
}

func (a *agent) targets() []string {
	var all []string
	for _, m := range a.members() {
		all = append(all, m.target)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// members are the pods that can be asked whether they answer, each once per
// cluster.
func (a *agent) members() []member {
	known := a.store.Snapshot()
	table, _, _ := a.state.table(known)
	all := members(table)
	seen := map[member]bool{}
	for _, m := range all {
		seen[m] = true
	}
	for _, m := range a.streamMembers(known) {
		if !seen[m] {
			seen[m] = true
			all = append(all, m)
		}
	}
	return all
}
