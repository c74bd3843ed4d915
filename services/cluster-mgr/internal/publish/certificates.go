package publish

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"

	ingressv1 "gantry.dev/proto/gen/gantry/ingress/v1"
	"gantry.dev/services/cluster-mgr/internal/certificate"
	"gantry.dev/services/cluster-mgr/internal/vault"
)

// certificates makes the certificates of configurations. Of what it has read it
// keeps chains, no keys. For one goroutine.
type certificates struct {
	vault  *vault.Vault
	logger *slog.Logger
	// By secret.
	chains map[string]versioned
	// What this pass has opened, by secret.
	opened map[string]certificate.Pair
}

// versioned is the chain of a secret's version.
type versioned struct {
	version string
	chain   []byte
}

func newCertificates(v *vault.Vault, logger *slog.Logger) *certificates {
	return &certificates{vault: v, logger: logger, chains: map[string]versioned{}}
}

// of gives the certificates of a configuration's hosts, in host order. One whose
// chain is as it was stays as it was: sealing its key anew would be a change.
// One whose secret cannot be read stays too, so that nothing stops being served.
func (c *certificates) of(ctx context.Context, config *ingressv1.GatewayConfig, versions map[string]string, last []*ingressv1.Certificate) []*ingressv1.Certificate {
	former := make(map[string]*ingressv1.Certificate, len(last))
	for _, l := range last {
		former[l.GetHost()] = l
	}
	secrets := map[string]string{}
	for _, r := range config.GetRoutes() {
		if secret := r.GetRules().GetTls().GetSecret(); secret != "" {
			secrets[r.GetHost()] = secret
		}
	}
	c.opened = map[string]certificate.Pair{}
	defer func() { c.opened = nil }()
	var out []*ingressv1.Certificate
	for _, host := range slices.Sorted(maps.Keys(secrets)) {
		secret := secrets[host]
		next, err := c.one(ctx, config.GetGateway(), host, secret, versions[secret], former[host])
		if err != nil {
			c.logger.Warn("a certificate cannot be renewed; what was served stays", "host", host, "secret", secret, "error", err.Error())
			next = former[host]
		}
		if next != nil {
			out = append(out, next)
		}
	}
	return out
}

func (c *certificates) one(ctx context.Context, gateway, host, secret, version string, former *ingressv1.Certificate) (*ingressv1.Certificate, error) {
	if version == "" {
		return nil, fmt.Errorf("there is no %s", secret)
	}
	known, ok := c.chains[secret]
	if ok && known.version == version && former != nil && bytes.Equal(known.chain, former.GetChainPem()) {
		return former, nil
	}
	pair, err := c.open(ctx, secret, version)
	if err != nil {
		return nil, err
	}
	if bytes.Equal(pair.Chain, former.GetChainPem()) {
		return former, nil
	}
	sealed, err := c.vault.SealFor(gateway, pair.Key, []byte(host))
	if err != nil {
		return nil, err
	}
	return &ingressv1.Certificate{Host: host, ChainPem: pair.Chain, SealedKey: sealed}, nil
}

// open reads a secret's pair, once in a pass.
func (c *certificates) open(ctx context.Context, secret, version string) (certificate.Pair, error) {
	if pair, ok := c.opened[secret]; ok {
		return pair, nil
	}
	data, err := c.vault.Version(ctx, secret, version)
	if err != nil {
		return certificate.Pair{}, err
	}
	pair, err := certificate.Read(data)
	if err != nil {
		return pair, fmt.Errorf("%s: %w", secret, err)
	}
	c.opened[secret], c.chains[secret] = pair, versioned{version, pair.Chain}
	return pair, nil
}
