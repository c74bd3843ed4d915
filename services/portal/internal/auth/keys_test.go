package auth

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"testing"

	"github.com/go-jose/go-jose/v4"
)

func TestParseKeys(t *testing.T) {
	p256, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	p384, _ := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	weak := &rsa.PublicKey{N: p384.X, E: 65537}
	tests := []struct {
		name string
		data []byte
		keys int
	}{
		{"PEM", publicPEM(t, &p256.PublicKey), 1},
		{"two PEM", append(publicPEM(t, &p256.PublicKey), publicPEM(t, &p256.PublicKey)...), 2},
		{"JWK", asJSON(t, jose.JSONWebKey{Key: &p256.PublicKey}), 1},
		{"JWK set", asJSON(t, jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: &p256.PublicKey}}}), 1},
		{"private JWK", asJSON(t, jose.JSONWebKey{Key: p256}), 0},
		{"symmetric JWK", asJSON(t, jose.JSONWebKey{Key: []byte("secret")}), 0},
		{"other curve", publicPEM(t, &p384.PublicKey), 0},
		{"weak RSA", publicPEM(t, weak), 0},
		{"other PEM", pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY"}), 0},
		{"damaged", pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: []byte("x")}), 0},
		{"empty", nil, 0},
		{"not JWK", []byte("{"), 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			keys, err := ParseKeys(tt.data)
			if len(keys) != tt.keys || (err == nil) != (tt.keys > 0) {
				t.Errorf("got %d keys, %v; want %d", len(keys), err, tt.keys)
			}
		})
	}
}

func publicPEM(t *testing.T, key any) []byte {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
}

func asJSON(t *testing.T, v any) []byte {
	t.Helper()
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return data
}
