package kubetest

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
	"testing"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// pki is one cluster's CA with the files of its API server.
type pki struct {
	dir    string
	ca     *x509.Certificate
	key    *ecdsa.PrivateKey
	caPEM  []byte
	issued map[string][2][]byte
}

func newPKI(t *testing.T, dir string) *pki {
	t.Helper()
	p := &pki{dir: dir, key: newKey(t), issued: map[string][2][]byte{}}
	ca := template("kubernetes-ca", nil)
	ca.IsCA, ca.BasicConstraintsValid, ca.KeyUsage = true, true, x509.KeyUsageCertSign
	p.ca = ca
	p.caPEM = p.sign(t, ca, &p.key.PublicKey)
	server := template("kube-apiserver", nil)
	server.IPAddresses = []net.IP{net.IPv4(127, 0, 0, 1)}
	key := newKey(t)
	p.write(t, "ca.crt", p.caPEM)
	p.write(t, "apiserver.crt", p.sign(t, server, &key.PublicKey))
	p.write(t, "apiserver.key", keyPEM(t, key))
	p.write(t, "accounts.key", keyPEM(t, newKey(t)))
	return p
}

func (p *pki) file(name string) string { return filepath.Join(p.dir, name) }

func (p *pki) write(t *testing.T, name string, data []byte) {
	t.Helper()
	if err := os.WriteFile(p.file(name), data, 0o600); err != nil {
		t.Fatal(err)
	}
}

// client gives certificate and key of a user in PEM.
func (p *pki) client(t *testing.T, user string, groups []string) (cert, key []byte) {
	t.Helper()
	id := fmt.Sprint(user, groups)
	if _, ok := p.issued[id]; !ok {
		k := newKey(t)
		p.issued[id] = [2][]byte{p.sign(t, template(user, groups), &k.PublicKey), keyPEM(t, k)}
	}
	return p.issued[id][0], p.issued[id][1]
}

func (p *pki) sign(t *testing.T, c *x509.Certificate, public *ecdsa.PublicKey) []byte {
	t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, c, p.ca, public, p.key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

func template(commonName string, groups []string) *x509.Certificate {
	return &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()),
		Subject:      pkix.Name{CommonName: commonName, Organization: groups},
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(24 * time.Hour),
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func keyPEM(t *testing.T, key *ecdsa.PrivateKey) []byte {
	t.Helper()
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der})
}

func kubeconfig(t *testing.T, c *rest.Config) []byte {
	t.Helper()
	const name = "test"
	text, err := clientcmd.Write(clientcmdapi.Config{
		Clusters:       map[string]*clientcmdapi.Cluster{name: {Server: c.Host, CertificateAuthorityData: c.CAData}},
		AuthInfos:      map[string]*clientcmdapi.AuthInfo{name: {ClientCertificateData: c.CertData, ClientKeyData: c.KeyData}},
		Contexts:       map[string]*clientcmdapi.Context{name: {Cluster: name, AuthInfo: name}},
		CurrentContext: name,
	})
	if err != nil {
		t.Fatal(err)
	}
	return text
}
