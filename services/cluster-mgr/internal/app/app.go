// Package app puts cluster-mgr together. Every instance serves the API and
// observes the clusters; the leader also runs the loops.
package app

import (
	"context"
	"errors"
	"fmt"
	"time"

	"gantry.dev/pkg/etcdkv"
	"gantry.dev/pkg/grpcserver"
	"gantry.dev/pkg/leader"
	"gantry.dev/pkg/seal"
	"gantry.dev/pkg/serve"
	"gantry.dev/services/cluster-mgr/internal/alert"
	"gantry.dev/services/cluster-mgr/internal/api"
	"gantry.dev/services/cluster-mgr/internal/autoscaler"
	"gantry.dev/services/cluster-mgr/internal/clusters"
	"gantry.dev/services/cluster-mgr/internal/health"
	"gantry.dev/services/cluster-mgr/internal/metrics"
	"gantry.dev/services/cluster-mgr/internal/observe"
	"gantry.dev/services/cluster-mgr/internal/operations"
	"gantry.dev/services/cluster-mgr/internal/planning"
	"gantry.dev/services/cluster-mgr/internal/publish"
	"gantry.dev/services/cluster-mgr/internal/reconcile"
	"gantry.dev/services/cluster-mgr/internal/registry"
	"gantry.dev/services/cluster-mgr/internal/store"
	"gantry.dev/services/cluster-mgr/internal/vault"
	"gantry.dev/services/cluster-mgr/internal/watchdog"
	"github.com/prometheus/client_golang/prometheus"
	clientv3 "go.etcd.io/etcd/client/v3"
	"golang.org/x/sync/errgroup"
)

// Config of an instance; every field but the last two is required.
type Config struct {
	serve.Common
	// Name of this instance, shown as the leader's.
	Name string
	// URLs of etcd.
	Etcd []string
	// Time between two rounds of the autoscaler.
	AutoscaleInterval time.Duration
	// How often a pod's metrics are renewed at the latest.
	SampleInterval time.Duration
	// Over which time the use of nodes is measured for placement.
	UseWindow time.Duration
	// Time between two verdicts about the clusters.
	HealthInterval time.Duration
	// Thresholds of the verdicts; zeros are the defaults.
	Health health.Settings
	// How long a cluster must have been healthy before work is brought back.
	FailBackAfter time.Duration
	// URLs of the Alertmanagers that are told about alarms; none: nobody is.
	Alertmanagers []string
	// File of the key that secrets are sealed with; empty: there are none.
	SecretKey string
}

// instance is what the API and the loops share.
type instance struct {
	Config
	etcd     *clientv3.Client
	store    *store.Store
	vault    *vault.Vault
	pool     *clusters.Pool
	observer *observe.Observer
	// Of the observer's questions to Prometheus.
	source *metrics.Source
	images *images
	// One for all, so that questions are shared.
	registries *registry.Registries
	planner    *planning.Planner
	scaled     *prometheus.CounterVec
	rounds     prometheus.Histogram
	leading    prometheus.Gauge
}

// Run serves and, while it leads, decides, until ctx ends.
func Run(ctx context.Context, c Config) error {
	if len(c.Etcd) == 0 || c.Etcd[0] == "" || c.Listen == "" {
		return errors.New("--etcd and --listen are required")
	}
	i, err := newInstance(c)
	if err != nil {
		return err
	}
	defer i.etcd.Close()
	defer i.pool.Close()
	defer i.source.Close()
	server, err := i.server()
	if err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return server.Run(ctx) })
	group.Go(func() error { return i.observer.Run(ctx) })
	group.Go(func() error {
		return leader.Run(ctx, leader.Config{Client: i.etcd, Prefix: "/gantry/leader/cluster-mgr", Name: c.Name, Logger: c.Logger}, i.lead)
	})
	if err := group.Wait(); err != nil && !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

func newInstance(c Config) (*instance, error) {
	tlsConfig, err := c.TLS.Client("")
	if err != nil {
		return nil, err
	}
	key, err := secretKey(c.SecretKey)
	if err != nil {
		return nil, err
	}
	etcd, err := etcdkv.Dial(c.Etcd, tlsConfig)
	if err != nil {
		return nil, err
	}
	i := &instance{Config: c, etcd: etcd, store: store.New(etcd), pool: clusters.New(c.TLS.Client), scaled: autoscaler.NewCounter(), rounds: autoscaler.NewHistogram()}
	i.vault = vault.New(i.store, key)
	i.leading = prometheus.NewGauge(prometheus.GaugeOpts{Name: "gantry_leading", Help: "1 while this instance leads."})
	c.Registry.MustRegister(i.scaled, i.rounds, i.leading)
	if i.registries, err = registry.New(); err != nil {
		return nil, err
	}
	i.images = newImages(i.registries.Resolve)
	i.source = metrics.New(c.SampleInterval)
	meter, err := metrics.NewNodeMeter(i.source, c.UseWindow)
	if err != nil {
		return nil, fmt.Errorf("--use-window: %w", err)
	}
	if i.observer, err = observe.New(observe.Config{Store: i.store, Pool: i.pool, Logger: c.Logger, Meter: meter}); err != nil {
		return nil, err
	}
	i.planner, err = planning.New(planning.Config{Store: i.store, Observer: i.observer, Images: i.images.there, FailBackAfter: c.FailBackAfter})
	return i, err
}

// secretKey reads the key of a file; the zero key without one.
func secretKey(path string) (seal.Key, error) {
	if path == "" {
		return seal.Key{}, nil
	}
	key, err := seal.Read(path)
	if err != nil {
		return seal.Key{}, fmt.Errorf("--secret-key: %w", err)
	}
	return key, nil
}

func (i *instance) server() (*grpcserver.Server, error) {
	tlsConfig, err := i.TLS.Server()
	if err != nil {
		return nil, err
	}
	services, err := api.New(api.Config{
		Store:    i.store,
		Pool:     i.pool,
		Observer: i.observer,
		Resolve:  i.registries.Resolve,
		Fitter:   i.planner,
		Planner:  i.planner,
		Vault:    i.vault,
		Logger:   i.Logger,
	})
	if err != nil {
		return nil, err
	}
	server, err := grpcserver.New(grpcserver.Config{
		Name:      i.Common.Name,
		Listen:    i.Listen,
		TLS:       tlsConfig,
		Logger:    i.Logger,
		Registry:  i.Registry,
		Authorize: services.Authorize,
	})
	if err != nil {
		return nil, err
	}
	services.Register(server.Registrar())
	return server, nil
}

// lead runs every loop for one term; the first that fails ends it.
func (i *instance) lead(ctx context.Context, term leader.Term) error {
	i.leading.Set(1)
	defer i.leading.Set(0)
	loops, err := i.loops(term)
	if err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	for _, l := range loops {
		group.Go(func() error { return l.Run(ctx) })
	}
	return group.Wait()
}

// loop is one of the leader's.
type loop interface {
	Run(ctx context.Context) error
}

func (i *instance) loops(term leader.Term) ([]loop, error) {
	dog, err := watchdog.New(watchdog.Config{Store: i.store, Observer: i.observer, Planner: i.planner, Interval: i.HealthInterval, Settings: i.Health, Logger: i.Logger}, term)
	if err != nil {
		return nil, fmt.Errorf("watchdog: %w", err)
	}
	reconciler, err := reconcile.New(reconcile.Config{Store: i.store, Pool: i.pool, Observer: i.observer, Images: i.images.there, Vault: i.vault, Logger: i.Logger}, term)
	if err != nil {
		return nil, err
	}
	publisher, err := publish.New(i.store, i.vault, term, i.Logger)
	if err != nil {
		return nil, err
	}
	scaler, err := autoscaler.New(autoscaler.Config{
		Store: i.store, Observer: i.observer, Interval: i.AutoscaleInterval, SampleInterval: i.SampleInterval,
		Frozen: dog.Frozen, Logger: i.Logger, Decisions: i.scaled, Rounds: i.rounds,
	}, term)
	if err != nil {
		return nil, err
	}
	worker, err := operations.New(operations.Config{Store: i.store, Pool: i.pool, Observer: i.observer, Frozen: dog.Frozen, Logger: i.Logger}, term)
	if err != nil {
		return nil, err
	}
	herald, err := alert.New(alert.Config{Store: i.store, URLs: i.Alertmanagers, Logger: i.Logger})
	if err != nil {
		return nil, err
	}
	return []loop{dog, reconciler, publisher, scaler, worker, herald}, nil
}
