package publish

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	ingressv1 "gantry.dev/proto/gen/gantry/ingress/v1"
	gantryv1 "gantry.dev/proto/gen/gantry/v1"
	"gantry.dev/services/cluster-mgr/internal/store"
)

// state is all that configurations are made of. Nobody changes it.
type state struct {
	gateways []*gantryv1.Gateway
	routes   []*gantryv1.Route
	streams  []*gantryv1.StreamRoute
	clusters []*gantryv1.Cluster
	apps     []*gantryv1.App
	shares   []store.TrafficShares
	// Current version by secret.
	versions map[string]string
}

func (l *Loop) read(ctx context.Context) (state, error) {
	out := state{versions: map[string]string{}}
	var secrets []store.SecretRecord
	for _, err := range []error{
		into(ctx, l.store.Gateways, "gateways", &out.gateways),
		into(ctx, l.store.Routes, "routes", &out.routes),
		into(ctx, l.store.StreamRoutes, "stream routes", &out.streams),
		into(ctx, l.store.Clusters, "clusters", &out.clusters),
		into(ctx, l.store.Apps, "apps", &out.apps),
		into(ctx, l.store.Shares, "traffic shares", &out.shares),
		into(ctx, l.store.Secrets, "secrets", &secrets),
	} {
		if err != nil {
			return state{}, err
		}
	}
	for _, s := range secrets {
		out.versions[s.Name] = s.Version
	}
	return out, nil
}

func into[T any](ctx context.Context, c *store.Collection[T], what string, out *[]T) error {
	items, _, err := c.Fresh(ctx)
	if err != nil {
		return fmt.Errorf("list %s: %w", what, err)
	}
	*out = values(items)
	return nil
}

func values[T any](items []store.Item[T]) []T {
	out := make([]T, 0, len(items))
	for _, i := range items {
		out = append(out, i.Value)
	}
	return out
}

// streams are the stream routes of a gateway, in name order.
func streams(gateway string, all []*gantryv1.StreamRoute) []*ingressv1.StreamRoute {
	var out []*ingressv1.StreamRoute
	for _, r := range all {
		if r.GetGateway() != gateway {
			continue
		}
		out = append(out, &ingressv1.StreamRoute{
			Name: r.GetName(), Protocol: r.GetProtocol(), ListenPort: r.GetListenPort(), App: r.GetApp(), Port: r.GetPort(),
			ProxyProtocol: r.GetProxyProtocol(), AllowCidrs: r.GetAllowCidrs(), IdleSeconds: r.GetIdleSeconds(),
		})
	}
	slices.SortFunc(out, func(a, b *ingressv1.StreamRoute) int { return cmp.Compare(a.GetName(), b.GetName()) })
	return out
}
