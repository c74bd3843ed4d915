// Package app puts ipaas together.
package app

import (
	"bytes"
	"context"
	"errors"
	"os"

	"gantry.dev/pkg/grpcserver"
	"gantry.dev/pkg/serve"
	"gantry.dev/services/ipaas/internal/api"
	"gantry.dev/services/ipaas/internal/canary"
	"gantry.dev/services/ipaas/internal/endpoints"
	"gantry.dev/services/ipaas/internal/fence"
	"gantry.dev/services/ipaas/internal/kube"
	"gantry.dev/services/ipaas/internal/logs"
	"gantry.dev/services/ipaas/internal/state"
	"golang.org/x/sync/errgroup"
)

// Config of an ipaas.
type Config struct {
	serve.Common
	// Id of the cluster: "site-a".
	Cluster string
	// File with access to the cluster; empty: the service account of the pod.
	Kubeconfig string
	// Domain of the cluster; empty: that of the pod's own search list, else
	// "cluster.local".
	ClusterDomain string
}

// Run serves until ctx ends. It starts also while the API server is away, and
// ends with an error when another cluster answers in its place.
func Run(ctx context.Context, c Config) error {
	if c.Cluster == "" || c.Listen == "" {
		return errors.New("--cluster and --listen are required")
	}
	access, err := kube.NewAccess(c.Kubeconfig)
	if err != nil {
		return err
	}
	return run(ctx, c, access)
}

func run(ctx context.Context, c Config, access kube.Access) error {
	dns, err := newCanary(c, access)
	if err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	hub := endpoints.NewHub()
	cache := kube.NewCache(kube.CacheConfig{Client: access.Client, Logger: c.Logger, Pods: hub.Pods})
	parts := api.Config{
		Cluster: c.Cluster,
		Cache:   cache,
		Writer:  kube.NewWriter(kube.WriterConfig{Client: access.Client, Cache: cache, Logger: c.Logger}),
		Prober:  state.NewProber(access.Probe, c.Logger),
		Meter:   state.NewMeter(access.Kubelets, cache.EachNode),
		Fence:   fence.New(access.Client, c.Registry),
		Hub:     hub,
		Canary:  dns,
		Logs:    logs.Reader{Pods: cache.EachPod, Open: access.OpenLog},

		Stopping: ctx.Done(),
	}
	server, err := newServer(c, parts)
	if err != nil {
		return err
	}
	for _, f := range []func(context.Context) error{server.Run, cache.Run, parts.Prober.Run, parts.Meter.Run, parts.Fence.Run, dns.Run} {
		group.Go(func() error { return f(ctx) })
	}
	if err := group.Wait(); err != nil && !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

func newCanary(c Config, access kube.Access) (*canary.Canary, error) {
	domain, inside := c.ClusterDomain, c.Kubeconfig == ""
	if domain == "" {
		domain = canary.DefaultDomain
	}
	if text, err := os.ReadFile("/etc/resolv.conf"); inside && c.ClusterDomain == "" && err == nil {
		domain = canary.Domain(bytes.NewReader(text))
	}
	return canary.New(canary.Config{Client: access.Probe, Domain: domain, Inside: inside, Logger: c.Logger})
}

func newServer(c Config, parts api.Config) (*grpcserver.Server, error) {
	tlsConfig, err := c.TLS.Server()
	if err != nil {
		return nil, err
	}
	service, err := api.New(parts)
	if err != nil {
		return nil, err
	}
	server, err := grpcserver.New(grpcserver.Config{
		Name:      c.Name,
		Listen:    c.Listen,
		TLS:       tlsConfig,
		Logger:    c.Logger,
		Registry:  c.Registry,
		Authorize: api.Authorize,
	})
	if err != nil {
		return nil, err
	}
	service.Register(server.Registrar())
	return server, nil
}
