// Package certificate reads what a secret holds for HTTPS, and says whether a
// host can be served with it.
package certificate

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"time"
)

// Keys of a secret that holds a certificate.
const (
	chainKey   = "tls.crt"
	privateKey = "tls.key"
)

// maxChain bounds a chain: more is a bundle of roots, which no client wants.
const maxChain = 10

// Pair is a chain with the key of its leaf.
type Pair struct {
	// PEM of nothing but certificates, leaf first.
	Chain []byte
	// PEM of nothing but the private key.
	Key  []byte
	leaf *x509.Certificate
}

// Read takes the pair from a secret's values. The error is a sentence about
// the secret: a key is missing, is no PEM, the private key is that of another
// certificate, or the chain is not in order.
func Read(data map[string][]byte) (Pair, error) {
	for _, key := range []string{chainKey, privateKey} {
		if len(data[key]) == 0 {
			return Pair{}, fmt.Errorf("it has no key %q; it needs %q (PEM chain, leaf first) and %q (PEM)", key, chainKey, privateKey)
		}
	}
	chain, err := certificates(data[chainKey])
	if err != nil {
		return Pair{}, err
	}
	p := Pair{Chain: encode(chain), Key: onlyKey(data[privateKey]), leaf: chain[0]}
	if p.Key == nil {
		return Pair{}, fmt.Errorf("%s holds no private key in PEM without passphrase", privateKey)
	}
	if _, err := tls.X509KeyPair(p.Chain, p.Key); err != nil {
		return Pair{}, fmt.Errorf("%s does not belong to the first certificate of %s: %w", privateKey, chainKey, err)
	}
	return p, ordered(chain)
}

func certificates(text []byte) ([]*x509.Certificate, error) {
	var chain []*x509.Certificate
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" {
			return nil, fmt.Errorf("%s holds a %s; it may hold certificates only", chainKey, block.Type)
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("certificate %d of %s: %w", len(chain)+1, chainKey, err)
		}
		chain = append(chain, c)
	}
	switch {
	case len(chain) == 0:
		return nil, fmt.Errorf("%s holds no certificate in PEM", chainKey)
	case len(chain) > maxChain:
		return nil, fmt.Errorf("%s holds %d certificates; leave out those that are not between the leaf and its root", chainKey, len(chain))
	}
	return chain, nil
}

func encode(chain []*x509.Certificate) []byte {
	var out bytes.Buffer
	for _, c := range chain {
		_ = pem.Encode(&out, &pem.Block{Type: "CERTIFICATE", Bytes: c.Raw}) // a buffer takes all
	}
	return out.Bytes()
}

// onlyKey leaves out what may stand beside the key, such as EC parameters.
func onlyKey(text []byte) []byte {
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		switch block.Type {
		case "PRIVATE KEY", "RSA PRIVATE KEY", "EC PRIVATE KEY":
			return pem.EncodeToMemory(&pem.Block{Type: block.Type, Bytes: block.Bytes})
		}
	}
	return nil
}

// ordered refuses a chain whose certificates do not sign each other.
func ordered(chain []*x509.Certificate) error {
	for i := 1; i < len(chain); i++ {
		if err := chain[i-1].CheckSignatureFrom(chain[i]); err != nil {
			return fmt.Errorf("certificate %d of %s did not sign the one before it; order the chain leaf first", i+1, chainKey)
		}
	}
	return nil
}

// Serves says why a host cannot be served at a time: the leaf is for others, or
// not valid then.
func (p Pair) Serves(host string, now time.Time) error {
	if p.leaf == nil {
		return errors.New("there is no certificate")
	}
	if err := p.leaf.VerifyHostname(host); err != nil {
		return fmt.Errorf("its certificate does not cover the host %s: %w", host, err)
	}
	switch {
	case now.After(p.leaf.NotAfter):
		return fmt.Errorf("its certificate has expired at %s; renew it and set the secret anew", p.leaf.NotAfter.UTC().Format(time.RFC3339))
	case now.Before(p.leaf.NotBefore):
		return fmt.Errorf("its certificate is valid from %s only", p.leaf.NotBefore.UTC().Format(time.RFC3339))
	}
	return nil
}
