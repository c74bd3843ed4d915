// Package pki makes the certificates, tokens and kubeconfigs of the local
// platform. Everything is made on the spot and never leaves the machine.
package pki

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"slices"
	"time"
)

const (
	authorityLife = 10 * 365 * 24 * time.Hour
	leafLife      = 365 * 24 * time.Hour
	// renewBefore is how long before its end a certificate is made anew.
	renewBefore = 30 * 24 * time.Hour
)

// Authority signs certificates.
type Authority struct {
	cert *x509.Certificate
	key  crypto.Signer
	// File is the path of its certificate.
	File string
}

// Leaf describes a certificate for servers and clients alike.
type Leaf struct {
	// CN is the identity that peers check; Orgs are Kubernetes groups.
	CN   string
	Orgs []string
	// IPs and Names are where it may be served; 127.0.0.1 and localhost are added.
	IPs   []net.IP
	Names []string
}

// Open reads the authority in base.crt and base.key, and makes it when there is none.
func Open(base, cn string, now time.Time) (*Authority, error) {
	key, err := openKey(base + ".key")
	if err != nil {
		return nil, err
	}
	a := &Authority{key: key, File: base + ".crt"}
	if a.cert = readCertificate(a.File); a.cert != nil && a.cert.NotAfter.After(now.Add(renewBefore)) {
		return a, nil
	}
	template := &x509.Certificate{
		Subject:   pkix.Name{CommonName: cn},
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(authorityLife),
		IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign | x509.KeyUsageDigitalSignature,
	}
	a.cert, err = sign(a.File, template, template, key.Public(), key)
	return a, err
}

// Issue writes base.crt and base.key unless a certificate with the same
// content is there and lives long enough.
func (a *Authority) Issue(base string, leaf Leaf, now time.Time) error {
	key, err := openKey(base + ".key")
	if err != nil {
		return err
	}
	want := a.template(leaf, now)
	if have := readCertificate(base + ".crt"); have != nil && a.fits(have, want, key, now) {
		return nil
	}
	_, err = sign(base+".crt", want, a.cert, key.Public(), a.key)
	return err
}

func (a *Authority) template(leaf Leaf, now time.Time) *x509.Certificate {
	ips := append([]net.IP{net.IPv4(127, 0, 0, 1)}, leaf.IPs...)
	return &x509.Certificate{
		Subject:   pkix.Name{CommonName: leaf.CN, Organization: leaf.Orgs},
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(leafLife),
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		DNSNames:    append([]string{"localhost"}, leaf.Names...), IPAddresses: ips,
	}
}

func (a *Authority) fits(have, want *x509.Certificate, key crypto.Signer, now time.Time) bool {
	public, ok := have.PublicKey.(*ecdsa.PublicKey)
	return ok && public.Equal(key.Public()) &&
		have.CheckSignatureFrom(a.cert) == nil &&
		have.NotAfter.After(now.Add(renewBefore)) &&
		have.Subject.CommonName == want.Subject.CommonName &&
		slices.Equal(have.Subject.Organization, want.Subject.Organization) &&
		slices.Equal(have.DNSNames, want.DNSNames) &&
		slices.EqualFunc(have.IPAddresses, want.IPAddresses, net.IP.Equal)
}

func sign(file string, template, parent *x509.Certificate, public crypto.PublicKey, key crypto.Signer) (*x509.Certificate, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return nil, fmt.Errorf("serial number of %s: %w", file, err)
	}
	template.SerialNumber = serial
	der, err := x509.CreateCertificate(rand.Reader, template, parent, public, key)
	if err != nil {
		return nil, fmt.Errorf("sign %s: %w", file, err)
	}
	if err := write(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o644); err != nil {
		return nil, err
	}
	return x509.ParseCertificate(der)
}

func readCertificate(file string) *x509.Certificate {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil
	}
	block, _ := pem.Decode(data)
	if block == nil {
		return nil
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil
	}
	return cert
}

// openKey reads or makes a P-256 key; the file is PEM, SEC 1, mode 0600,
// which every part (Kubernetes, etcd, OpenSSL) reads.
func openKey(file string) (*ecdsa.PrivateKey, error) {
	data, err := os.ReadFile(file)
	if err == nil {
		return parseKey(file, data)
	}
	if !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("read key: %w", err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make key %s: %w", file, err)
	}
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("encode key %s: %w", file, err)
	}
	return key, write(file, pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der}), 0o600)
}

func parseKey(file string, data []byte) (*ecdsa.PrivateKey, error) {
	block, _ := pem.Decode(data)
	if block == nil {
		return nil, fmt.Errorf("key %s is not PEM; delete it to have it made anew", file)
	}
	key, err := x509.ParseECPrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("key %s: %w; delete it to have it made anew", file, err)
	}
	return key, nil
}

// write replaces a file whole, and leaves it alone when nothing changed.
func write(file string, data []byte, mode os.FileMode) error {
	if have, err := os.ReadFile(file); err == nil && bytes.Equal(have, data) {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return fmt.Errorf("make folder: %w", err)
	}
	next := file + ".new"
	if err := os.WriteFile(next, data, mode); err != nil {
		return fmt.Errorf("write: %w", err)
	}
	return os.Rename(next, file)
}
