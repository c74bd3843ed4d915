package auth

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"os"

	"gantry.dev/pkg/fault"
	"github.com/go-jose/go-jose/v4"
)

// Smallest RSA modulus accepted, bits.
const minRSABits = 2048

// LoadKeys reads public keys from a file: PEM blocks `PUBLIC KEY`, one JWK, or
// a JWK set. Several keys let the issuer change its key without a pause.
func LoadKeys(path string) ([]crypto.PublicKey, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fault.Invalid("TOKEN_KEY_UNREADABLE", "the token key cannot be read: %w", err)
	}
	keys, err := ParseKeys(data)
	if err != nil {
		return nil, fault.Invalid("TOKEN_KEY_INVALID", "%s: %w", path, err)
	}
	return keys, nil
}

// ParseKeys is LoadKeys on the content of the file.
func ParseKeys(data []byte) ([]crypto.PublicKey, error) {
	data = bytes.TrimSpace(data)
	parse := parsePEM
	if bytes.HasPrefix(data, []byte("{")) {
		parse = parseJWK
	}
	keys, err := parse(data)
	if err != nil {
		return nil, err
	}
	if len(keys) == 0 {
		return nil, fault.Invalid("TOKEN_KEY_INVALID", "there is no public key in it")
	}
	for _, key := range keys {
		if err := checkKey(key); err != nil {
			return nil, err
		}
	}
	return keys, nil
}

func parsePEM(data []byte) ([]crypto.PublicKey, error) {
	var keys []crypto.PublicKey
	for {
		block, rest := pem.Decode(data)
		if block == nil {
			return keys, nil
		}
		data = rest
		if block.Type != "PUBLIC KEY" {
			return nil, fault.Invalid("TOKEN_KEY_INVALID", "expected a PEM block PUBLIC KEY, found %s", block.Type)
		}
		key, err := x509.ParsePKIXPublicKey(block.Bytes)
		if err != nil {
			return nil, fault.Invalid("TOKEN_KEY_INVALID", "the public key is damaged: %w", err)
		}
		keys = append(keys, key)
	}
}

func parseJWK(data []byte) ([]crypto.PublicKey, error) {
	var set jose.JSONWebKeySet
	if err := json.Unmarshal(data, &set); err == nil && len(set.Keys) > 0 {
		return publicOf(set.Keys)
	}
	var one jose.JSONWebKey
	if err := json.Unmarshal(data, &one); err != nil {
		return nil, fault.Invalid("TOKEN_KEY_INVALID", "it is not a JWK: %w", err)
	}
	return publicOf([]jose.JSONWebKey{one})
}

func publicOf(jwks []jose.JSONWebKey) ([]crypto.PublicKey, error) {
	var keys []crypto.PublicKey
	for _, k := range jwks {
		if !k.IsPublic() {
			return nil, fault.Invalid("TOKEN_KEY_INVALID", "give portal the public key only: %q is not one", k.KeyID)
		}
		keys = append(keys, k.Key)
	}
	return keys, nil
}

func checkKey(key crypto.PublicKey) error {
	switch k := key.(type) {
	case *ecdsa.PublicKey:
		if k.Curve == elliptic.P256() {
			return nil
		}
	case *rsa.PublicKey:
		if k.N.BitLen() >= minRSABits {
			return nil
		}
	}
	return fault.Invalid("TOKEN_KEY_INVALID", "use an ECDSA P-256 key, or RSA of at least %d bits", minRSABits)
}
