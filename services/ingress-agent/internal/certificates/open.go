package certificates

import (
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"

	"gantry.dev/pkg/seal"
	ingressv1 "gantry.dev/proto/gen/gantry/ingress/v1"
)

// opener opens certificates with the key in a file, which it reads once, when
// there is one to open.
func opener(keyFile string) func(*ingressv1.Certificate) (Pair, error) {
	var key seal.Key
	var err error
	read := false
	return func(c *ingressv1.Certificate) (Pair, error) {
		switch {
		case c == nil:
			return Pair{}, errors.New("there is no certificate for the host; look whether the route's secret can be read")
		case keyFile == "":
			return Pair{}, errors.New("this load balancer has no gateway key, so it cannot open certificates; start its agent with --gateway-key")
		case !read:
			key, err = seal.Read(keyFile)
			read = true
		}
		if err != nil {
			return Pair{}, fmt.Errorf("the gateway key cannot be used: %w", err)
		}
		return open(key, c)
	}
}

// open refuses a pair that Nginx could not serve.
func open(key seal.Key, c *ingressv1.Certificate) (Pair, error) {
	private, err := key.Open(c.GetSealedKey(), []byte(c.GetHost()))
	if err != nil {
		return Pair{}, fmt.Errorf("the key of the certificate of %s does not open with this gateway's key; look whether both are of the same gateway: %w", c.GetHost(), err)
	}
	if _, err := tls.X509KeyPair(c.GetChainPem(), private); err != nil {
		return Pair{}, fmt.Errorf("the certificate of %s cannot be used with its key: %w", c.GetHost(), err)
	}
	return Pair{Version: hash(c.GetChainPem(), private), Chain: string(c.GetChainPem()), Key: string(private)}, nil
}

// sourceOf names the sealed form; empty for none.
func sourceOf(c *ingressv1.Certificate) string {
	if c == nil {
		return ""
	}
	return hash(c.GetChainPem(), c.GetSealedKey())
}

func hash(parts ...[]byte) string {
	h := sha256.New()
	for _, p := range parts {
		fmt.Fprintf(h, "%d\n", len(p))
		h.Write(p)
	}
	return hex.EncodeToString(h.Sum(nil))[:32]
}
