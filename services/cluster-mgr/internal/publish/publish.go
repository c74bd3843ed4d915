// Package publish writes each gateway's desired state to where its agents
// read it. Endpoints are not part of it: agents get them from ipaas.
package publish

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"gantry.dev/pkg/fault"
	"gantry.dev/pkg/leader"
	"gantry.dev/pkg/names"
	ingressv1 "gantry.dev/proto/gen/gantry/ingress/v1"
	gantryv1 "gantry.dev/proto/gen/gantry/v1"
	"gantry.dev/services/cluster-mgr/internal/loop"
	"gantry.dev/services/cluster-mgr/internal/store"
	"golang.org/x/sync/errgroup"
	"google.golang.org/protobuf/proto"
)

// resync is the longest time between two passes.
const resync = 30 * time.Second

// Loop publishes during one leader's term.
type Loop struct {
	store  *store.Store
	term   leader.Term
	logger *slog.Logger
}

// New checks what it is given.
func New(s *store.Store, term leader.Term, logger *slog.Logger) (*Loop, error) {
	if s == nil || logger == nil {
		return nil, errors.New("publish: store and logger are required")
	}
	return &Loop{store: s, term: term, logger: logger}, nil
}

// Run publishes after each change of a gateway, route, cluster or app.
func (l *Loop) Run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	w := loop.NewWaker()
	loop.Watch(ctx, group, l.store.Gateways, w)
	loop.Watch(ctx, group, l.store.Routes, w)
	loop.Watch(ctx, group, l.store.Clusters, w)
	loop.Watch(ctx, group, l.store.Apps, w)
	group.Go(func() error {
		return loop.OnChange(ctx, w, resync, l.logger, "publish: a pass failed and will be repeated", l.pass)
	})
	return group.Wait()
}

func (l *Loop) pass(ctx context.Context) error {
	gateways, _, err := l.store.Gateways.List(ctx, "")
	if err != nil {
		return fmt.Errorf("list gateways: %w", err)
	}
	routes, _, err := l.store.Routes.List(ctx, "")
	if err != nil {
		return fmt.Errorf("list routes: %w", err)
	}
	clusters, _, err := l.store.Clusters.List(ctx, "")
	if err != nil {
		return fmt.Errorf("list clusters: %w", err)
	}
	apps, _, err := l.store.Apps.List(ctx, "")
	if err != nil {
		return fmt.Errorf("list apps: %w", err)
	}
	var failed error
	for _, g := range gateways {
		failed = errors.Join(failed, l.publish(ctx, Config(g.Value, values(routes), values(clusters), values(apps))))
	}
	return failed
}

func values[T any](items []store.Item[T]) []T {
	out := make([]T, 0, len(items))
	for _, i := range items {
		out = append(out, i.Value)
	}
	return out
}

// publish writes a configuration when it says something new.
func (l *Loop) publish(ctx context.Context, next *ingressv1.GatewayConfig) error {
	last, err := l.store.Configs.Get(ctx, next.GetGateway())
	if err != nil && !fault.Is(err, fault.KindNotFound) {
		return fmt.Errorf("read the configuration of %s: %w", next.GetGateway(), err)
	}
	next.Epoch = l.term.Epoch
	next.Generation = last.Value.GetGeneration() + 1
	if last.Value != nil && sameContent(last.Value, next) {
		return nil
	}
	change := store.NewChange().Guard(l.term.Guard())
	l.store.Configs.Put(change, next.GetGateway(), next, last.ModRevision)
	if _, err := l.store.Commit(ctx, change); err != nil {
		return fmt.Errorf("publish %s: %w", next.GetGateway(), err)
	}
	l.logger.Info("published", "gateway", next.GetGateway(), "generation", next.GetGeneration())
	return nil
}

// sameContent ignores who wrote it when.
func sameContent(a, b *ingressv1.GatewayConfig) bool {
	a, b = proto.CloneOf(a), proto.CloneOf(b)
	a.Generation, a.Epoch, b.Generation, b.Epoch = 0, 0, 0, 0
	return proto.Equal(a, b)
}

// Config is a gateway's desired state without generation and epoch. Order of
// the arguments does not matter. Of apps only those that may be scaled to zero
// count.
func Config(g *gantryv1.Gateway, routes []*gantryv1.Route, clusters []*gantryv1.Cluster, apps []*gantryv1.App) *ingressv1.GatewayConfig {
	out := &ingressv1.GatewayConfig{Gateway: names.ID(g.GetName()), Vip: g.GetVip(), VirtualRouterId: g.GetVirtualRouterId()}
	for _, n := range g.GetNodes() {
		out.Nodes = append(out.Nodes, &ingressv1.Node{Name: n.GetName(), Address: n.GetAddress(), Priority: n.GetPriority()})
	}
	for _, c := range clusters {
		out.Clusters = append(out.Clusters, &ingressv1.Cluster{
			Name:           names.ID(c.GetName()),
			IpaasAddress:   c.GetIpaasAddress(),
			Identity:       c.GetIdentity(),
			TrafficPercent: c.GetTrafficPercent(),
		})
	}
	sleepers := map[string]bool{}
	for _, a := range apps {
		sleepers[a.GetName()] = a.GetSpec().GetAutoscale().GetScaleToZero()
	}
	for _, r := range routes {
		if r.GetGateway() == g.GetName() {
			out.Routes = append(out.Routes, route(r, sleepers[r.GetApp()]))
		}
	}
	slices.SortFunc(out.Clusters, func(a, b *ingressv1.Cluster) int { return cmp.Compare(a.GetName(), b.GetName()) })
	slices.SortFunc(out.Routes, func(a, b *ingressv1.Route) int { return cmp.Compare(a.GetName(), b.GetName()) })
	return out
}

// holdSeconds is how long a request waits for an app that was scaled to zero.
const holdSeconds = 60

func route(r *gantryv1.Route, sleeper bool) *ingressv1.Route {
	out := &ingressv1.Route{
		Name:       r.GetName(),
		Host:       r.GetHost(),
		PathPrefix: cmp.Or(r.GetPathPrefix(), "/"),
		App:        r.GetApp(),
		Port:       r.GetPort(),
	}
	if sleeper {
		out.HoldSeconds = holdSeconds
	}
	return out
}
