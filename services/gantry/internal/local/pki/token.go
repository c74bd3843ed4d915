package pki

import (
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

// Issuer, Audience and OperatorGroup are what portal expects in a token.
const (
	Issuer        = "https://gantry.local"
	Audience      = "gantry"
	OperatorGroup = "gantry:operators"
	tokenLife     = 90 * 24 * time.Hour
)

// Signer makes bearer tokens for the local users.
type Signer struct{ signer jose.Signer }

// OpenSigner reads or makes the key base.key and writes its public half, PEM,
// to base.pub.
func OpenSigner(base string) (*Signer, error) {
	key, err := openKey(base + ".key")
	if err != nil {
		return nil, err
	}
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return nil, fmt.Errorf("encode public key: %w", err)
	}
	if err := write(base+".pub", pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}), 0o644); err != nil {
		return nil, err
	}
	options := (&jose.SignerOptions{}).WithType("JWT")
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: key}, options)
	if err != nil {
		return nil, fmt.Errorf("token signer: %w", err)
	}
	return &Signer{signer: signer}, nil
}

// Token returns a bearer token of a user, valid for 90 days.
func (s *Signer) Token(user string, groups []string, now time.Time) (string, error) {
	claims := jwt.Claims{
		Issuer: Issuer, Subject: user, Audience: jwt.Audience{Audience},
		IssuedAt: jwt.NewNumericDate(now), NotBefore: jwt.NewNumericDate(now.Add(-time.Minute)),
		Expiry: jwt.NewNumericDate(now.Add(tokenLife)),
	}
	return jwt.Signed(s.signer).Claims(claims).Claims(map[string]any{"groups": groups}).Serialize()
}

// WriteToken puts a user's token into a file that only its owner reads.
func (s *Signer) WriteToken(file, user string, groups []string, now time.Time) error {
	token, err := s.Token(user, groups, now)
	if err != nil {
		return fmt.Errorf("token of %s: %w", user, err)
	}
	return write(file, []byte(token+"\n"), 0o600)
}
