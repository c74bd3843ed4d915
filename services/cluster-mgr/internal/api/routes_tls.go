package api

import (
	"context"
	"time"

	"gantry.dev/pkg/fault"
	"gantry.dev/pkg/names"
	gantryv1 "gantry.dev/proto/gen/gantry/v1"
	"gantry.dev/services/cluster-mgr/internal/certificate"
	"gantry.dev/services/cluster-mgr/internal/store"
)

// checkTLS refuses a certificate that the route's host cannot be served with.
func (s *routeService) checkTLS(ctx context.Context, change *store.Change, r *gantryv1.Route) error {
	const field = "route.rules.tls.secret"
	secret := r.GetRules().GetTls().GetSecret()
	if secret == "" {
		return nil
	}
	if names.Parent(secret) != names.Parent(r.GetName()) {
		return invalid(field, "%s is not in %s; a route uses the secrets of its own project", secret, names.Parent(r.GetName()))
	}
	record, err := s.Store.Secrets.Get(ctx, secret)
	if fault.Is(err, fault.KindNotFound) {
		return invalid(field, "there is no %s; make it with `gantry secret set %s --from-file tls.crt=… --from-file tls.key=…`", secret, names.ID(secret))
	}
	if err != nil {
		return err
	}
	s.Store.Secrets.Expect(change, record.Name, record.ModRevision)
	data, err := s.Vault.Version(ctx, secret, record.Value.Version)
	if err != nil {
		return err
	}
	if err := servable(data, r.GetHost()); err != nil {
		return invalid(field, "%s: %w", secret, err)
	}
	return s.roomFor(ctx, r, len(data["tls.crt"])+len(data["tls.key"]))
}

// maxCertificates bounds what the certificates of a gateway have together, in
// bytes. They hardly compress, and all that a gateway serves is one value of
// etcd, which takes 1.5 MiB: the rest is for some 20,000 routes.
const maxCertificates = 1 << 20

// roomFor refuses a host whose certificate the gateway has no room for: its
// configuration could not be written any more, for nobody.
func (s *routeService) roomFor(ctx context.Context, r *gantryv1.Route, size int) error {
	configs, _, err := s.Store.Configs.Fresh(ctx)
	if err != nil {
		return err
	}
	for _, c := range configs {
		if c.Name != names.ID(r.GetGateway()) {
			continue
		}
		for _, held := range c.Value.GetCertificates() {
			if held.GetHost() == r.GetHost() {
				return nil
			}
			size += len(held.GetChainPem()) + len(held.GetSealedKey())
		}
	}
	if size > maxCertificates {
		return fault.Exhausted("CERTIFICATES_FULL", "the certificates of %s would have %d bytes, it may have %d; put the host on another gateway, or leave needless certificates out of the chain", r.GetGateway(), size, maxCertificates).
			With(fault.Violation{Field: "route.rules.tls.secret", Description: "no room on the gateway"})
	}
	return nil
}

func servable(data map[string][]byte, host string) error {
	pair, err := certificate.Read(data)
	if err != nil {
		return err
	}
	return pair.Serves(host, time.Now())
}

// stillServable refuses a content of a secret that a host of one of its routes
// cannot be served with. The change then depends on that no route is made or
// changed meanwhile.
func (s *Services) stillServable(ctx context.Context, change *store.Change, secret string, data map[string][]byte) error {
	project := names.Parent(secret) + "/"
	routes, at, err := s.Store.Routes.List(ctx, project)
	if err != nil {
		return err
	}
	s.Store.Routes.ExpectNoneSince(change, project, at)
	for _, r := range routes {
		if r.Value.GetRules().GetTls().GetSecret() != secret {
			continue
		}
		if err := servable(data, r.Value.GetHost()); err != nil {
			return invalid("secret.data", "%s serves %s with it: %w", r.Name, r.Value.GetHost(), err)
		}
	}
	return nil
}
