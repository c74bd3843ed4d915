package vault

import (
	"fmt"

	"gantry.dev/pkg/names"
)

// SealFor encrypts a text for the nodes of a gateway, "gateways/main" or
// "main"; they open it only with the same about. SECRET_KEY_MISSING.
func (v *Vault) SealFor(gateway string, plain, about []byte) ([]byte, error) {
	if err := v.ready(); err != nil {
		return nil, err
	}
	sealed, err := v.key.Derive("gateway/"+names.ID(gateway)).Seal(plain, about)
	if err != nil {
		return nil, fmt.Errorf("seal for gateway %s: %w", gateway, err)
	}
	return sealed, nil
}
