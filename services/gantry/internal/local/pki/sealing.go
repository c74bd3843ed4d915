package pki

import (
	"errors"
	"fmt"
	"os"

	"gantry.dev/pkg/seal"
	"gantry.dev/services/gantry/internal/local/layout"
)

// SecretKey is the file of the key that cluster-mgr seals secrets with.
func SecretKey(p layout.Paths) string { return p.PKI("secret.key") }

// GatewayKey is the file of the key with which the agents of a gateway open
// what cluster-mgr has sealed for them, and nothing else.
func GatewayKey(p layout.Paths, gateway string) string { return p.PKI("gateway-" + gateway + ".key") }

// ensureSealing makes the key of secrets once, and that of the gateway from it.
func ensureSealing(p layout.Paths) error {
	key, err := seal.Read(SecretKey(p))
	if errors.Is(err, os.ErrNotExist) {
		key = seal.New()
		err = write(SecretKey(p), []byte(key.String()), 0o600)
	}
	if err != nil {
		return fmt.Errorf("key of the secrets: %w", err)
	}
	return write(GatewayKey(p, layout.Gateway), []byte(key.Derive("gateway/"+layout.Gateway).String()), 0o600)
}
