package pki_test

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"os"
	"testing"
	"time"

	"gantry.dev/test/bench/internal/pki"
	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"k8s.io/client-go/tools/clientcmd"
)

func TestCertificatesHoldOnBothSides(t *testing.T) {
	a, err := pki.New(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	pair, err := a.Issue("user", pki.Leaf{CN: "bench", Groups: []string{"system:masters"}, Names: []string{"x.default.svc"}})
	if err != nil {
		t.Fatal(err)
	}
	loaded, err := tls.LoadX509KeyPair(pair.Cert, pair.Key)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"localhost", "127.0.0.1", "x.default.svc"} {
		_, err := loaded.Leaf.Verify(x509.VerifyOptions{Roots: a.Pool(), DNSName: name, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
		if err != nil {
			t.Errorf("as %s: %v", name, err)
		}
	}
	file, err := a.Kubeconfig("user", "https://127.0.0.1:1", pair)
	if err != nil {
		t.Fatal(err)
	}
	if config, err := clientcmd.BuildConfigFromFlags("", file); err != nil || config.Host != "https://127.0.0.1:1" || config.CertFile != pair.Cert {
		t.Errorf("%+v, %v", config, err)
	}
}

func TestTheTokenIsProvenByTheKeyFile(t *testing.T) {
	a, err := pki.New(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	token, keyFile, err := a.Token("bench")
	if err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(keyFile)
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(data)
	key, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := jwt.ParseSigned(token, []jose.SignatureAlgorithm{jose.ES256})
	if err != nil {
		t.Fatal(err)
	}
	var claims jwt.Claims
	if err := parsed.Claims(key, &claims); err != nil {
		t.Fatal(err)
	}
	if err := claims.Validate(jwt.Expected{Issuer: pki.Issuer, Subject: "bench", AnyAudience: jwt.Audience{"gantry"}, Time: time.Now()}); err != nil {
		t.Error(err)
	}
}
