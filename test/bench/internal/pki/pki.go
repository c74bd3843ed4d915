// Package pki makes the certificates, kubeconfigs and the token of one run.
package pki

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"sigs.k8s.io/yaml"
)

// life of everything that is made; a run takes minutes.
const life = 24 * time.Hour

// Issuer of the run's token.
const Issuer = "https://bench.invalid"

// Authority signs the run's certificates.
type Authority struct {
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// Pair is a certificate and its key, as files.
type Pair struct{ Cert, Key string }

// New makes an authority whose files go to a folder.
func New(dir string) (*Authority, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	a := &Authority{dir: dir, key: key}
	template := &x509.Certificate{
		Subject: pkix.Name{CommonName: "bench"}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	if a.cert, err = a.sign("ca", template, template, key); err != nil {
		return nil, err
	}
	return a, a.writeKey("ca", key)
}

// CA is the file of the authority's certificate.
func (a *Authority) CA() string { return filepath.Join(a.dir, "ca.crt") }

// Pool trusts the authority.
func (a *Authority) Pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(a.cert)
	return pool
}

// PEM is the authority's certificate.
func (a *Authority) PEM() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.cert.Raw})
}

// Leaf is a certificate for a server on this machine and a client alike.
type Leaf struct {
	CN string
	// Kubernetes groups.
	Groups []string
	// Names beside localhost and 127.0.0.1.
	Names []string
}

// Issue makes a certificate and key with a file name.
func (a *Authority) Issue(file string, leaf Leaf) (Pair, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return Pair{}, err
	}
	_, err = a.sign(file, &x509.Certificate{
		Subject:     pkix.Name{CommonName: leaf.CN, Organization: leaf.Groups},
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		DNSNames:    append([]string{"localhost"}, leaf.Names...), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}, a.cert, key)
	if err != nil {
		return Pair{}, fmt.Errorf("certificate of %s: %w", leaf.CN, err)
	}
	return Pair{filepath.Join(a.dir, file+".crt"), filepath.Join(a.dir, file+".key")}, a.writeKey(file, key)
}

func (a *Authority) sign(file string, template, parent *x509.Certificate, key *ecdsa.PrivateKey) (*x509.Certificate, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return nil, err
	}
	template.SerialNumber = serial
	template.NotBefore, template.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(life)
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), a.key)
	if err != nil {
		return nil, err
	}
	data := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	if err := os.WriteFile(filepath.Join(a.dir, file+".crt"), data, 0o644); err != nil {
		return nil, err
	}
	return x509.ParseCertificate(der)
}

func (a *Authority) writeKey(file string, key *ecdsa.PrivateKey) error {
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return err
	}
	data := pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der})
	return os.WriteFile(filepath.Join(a.dir, file+".key"), data, 0o600)
}

// Kubeconfig writes how a user reaches an API server and gives the file.
func (a *Authority) Kubeconfig(file, server string, user Pair) (string, error) {
	data, err := yaml.Marshal(map[string]any{
		"apiVersion": "v1", "kind": "Config", "current-context": "bench",
		"clusters": []any{map[string]any{"name": "bench", "cluster": map[string]any{"server": server, "certificate-authority": a.CA()}}},
		"users":    []any{map[string]any{"name": "bench", "user": map[string]any{"client-certificate": user.Cert, "client-key": user.Key}}},
		"contexts": []any{map[string]any{"name": "bench", "context": map[string]any{"cluster": "bench", "user": "bench"}}},
	})
	if err != nil {
		return "", err
	}
	path := filepath.Join(a.dir, file+".kubeconfig")
	return path, os.WriteFile(path, data, 0o600)
}

// Token makes a platform operator's bearer token and the file of the public
// key that proves it.
func (a *Authority) Token(user string) (token, keyFile string, err error) {
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: a.key}, (&jose.SignerOptions{}).WithType("JWT"))
	if err != nil {
		return "", "", err
	}
	now := time.Now()
	token, err = jwt.Signed(signer).Claims(jwt.Claims{
		Issuer: Issuer, Subject: user, Audience: jwt.Audience{"gantry"},
		IssuedAt: jwt.NewNumericDate(now), NotBefore: jwt.NewNumericDate(now.Add(-time.Minute)), Expiry: jwt.NewNumericDate(now.Add(life)),
	}).Claims(map[string]any{"groups": []string{"gantry:operators"}}).Serialize()
	if err != nil {
		return "", "", err
	}
	der, err := x509.MarshalPKIXPublicKey(a.key.Public())
	if err != nil {
		return "", "", err
	}
	keyFile = filepath.Join(a.dir, "token.pub")
	return token, keyFile, os.WriteFile(keyFile, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}), 0o644)
}
