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
	"gantry.dev/services/cluster-mgr/internal/vault"
	"golang.org/x/sync/errgroup"
	"google.golang.org/protobuf/proto"
)

// resync is the longest time between two passes.
const resync = 30 * time.Second

// Loop publishes during one leader's term.
type Loop struct {
	store        *store.Store
	certificates *certificates
	term         leader.Term
	logger       *slog.Logger
}

// New checks what it is given.
func New(s *store.Store, v *vault.Vault, term leader.Term, logger *slog.Logger) (*Loop, error) {
	if s == nil || v == nil || logger == nil {
		return nil, errors.New("publish: store, vault and logger are required")
	}
	return &Loop{store: s, certificates: newCertificates(v, logger), term: term, logger: logger}, nil
}

// Run publishes after each change of what a configuration is made of.
func (l *Loop) Run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	w := loop.NewWaker()
	loop.Watch(ctx, group, l.store.Gateways, w)
	loop.Watch(ctx, group, l.store.Routes, w)
	loop.Watch(ctx, group, l.store.StreamRoutes, w)
	loop.Watch(ctx, group, l.store.Clusters, w)
	loop.Watch(ctx, group, l.store.Apps, w)
	loop.Watch(ctx, group, l.store.Secrets, w)
	loop.Watch(ctx, group, l.store.Shares, w)
	group.Go(func() error {
		return loop.OnChange(ctx, w, resync, l.logger, "publish: a pass failed and will be repeated", l.pass)
	})
	return group.Wait()
}

// pass brings every gateway's configuration up to date. One that cannot be
// does not hold up the others.
func (l *Loop) pass(ctx context.Context) error {
	all, err := l.read(ctx)
	if err != nil {
		return err
	}
	var failed error
	for _, g := range all.gateways {
		failed = errors.Join(failed, l.publish(ctx, g, all))
	}
	return failed
}

// publish writes a gateway's configuration when it says something new.
func (l *Loop) publish(ctx context.Context, g *gantryv1.Gateway, all state) error {
	name := names.ID(g.GetName())
	last, err := l.store.Configs.Get(ctx, name)
	if err != nil && !fault.Is(err, fault.KindNotFound) {
		return fmt.Errorf("read the configuration of %s: %w", name, err)
	}
	next := Config(g, all.routes, all.clusters, all.apps)
	next.StreamRoutes = streams(g.GetName(), all.streams)
	Divide(next, all.shares)
	next.Certificates = l.certificates.of(ctx, next, all.versions, last.Value.GetCertificates())
	// Who wrote it when is no news.
	next.Epoch, next.Generation = last.Value.GetEpoch(), last.Value.GetGeneration()
	if last.Value != nil && proto.Equal(last.Value, next) {
		return nil
	}
	next.Epoch, next.Generation = l.term.Epoch, next.GetGeneration()+1
	change := store.NewChange().Guard(l.term.Guard())
	l.store.Configs.Put(change, name, next, last.ModRevision)
	if _, err := l.store.Commit(ctx, change); err != nil {
		return fmt.Errorf("publish %s: %w", name, err)
	}
	l.logger.Info("published", "gateway", name, "generation", next.GetGeneration())
	return nil
}

// Config is a gateway's desired state without generation and epoch, stream
// routes, shares and certificates. Order of the arguments does not matter. Of
// apps only those that may be scaled to zero count. It shares rules and VIPs
// with its arguments.
func Config(g *gantryv1.Gateway, routes []*gantryv1.Route, clusters []*gantryv1.Cluster, apps []*gantryv1.App) *ingressv1.GatewayConfig {
	out := &ingressv1.GatewayConfig{Gateway: names.ID(g.GetName()), Vip: g.GetVip(), VirtualRouterId: g.GetVirtualRouterId(), MoreVips: g.GetMoreVips()}
	for _, n := range g.GetNodes() {
		out.Nodes = append(out.Nodes, &ingressv1.Node{Name: n.GetName(), Address: n.GetAddress(), Priority: n.GetPriority(), Drained: n.GetDrained()})
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
		PathMatch:  r.GetPathMatch(),
		Rules:      r.GetRules(),
		Revision:   r.GetRevision(),
	}
	if sleeper {
		out.HoldSeconds = holdSeconds
	}
	return out
}
