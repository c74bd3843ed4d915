package pki

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gantry.dev/pkg/seal"
	"gantry.dev/services/gantry/internal/local/layout"
	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"github.com/google/go-cmp/cmp"
	"k8s.io/client-go/tools/clientcmd"
)

func now() time.Time { return time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC) }

func ensure(t *testing.T) layout.Paths {
	t.Helper()
	p := layout.Paths{Dir: t.TempDir()}
	if err := Ensure(p, layout.Real(), now()); err != nil {
		t.Fatal(err)
	}
	return p
}

func certificate(t *testing.T, file string) *x509.Certificate {
	t.Helper()
	cert := readCertificate(file)
	if cert == nil {
		t.Fatalf("no certificate in %s", file)
	}
	return cert
}

func TestNamesAndAddresses(t *testing.T) {
	p := ensure(t)
	tests := []struct {
		file, cn string
		names    string
		ips      string
	}{
		{"etcd", "etcd", "localhost", "127.0.0.1 10.110.0.1"},
		{"cluster-mgr", "cluster-mgr", "localhost", "127.0.0.1 10.110.0.1"},
		{"portal", "portal", "localhost", "127.0.0.1"},
		{"ipaas.site-b", "ipaas.site-b", "localhost", "127.0.0.1 10.112.0.1"},
		{"ingress-agent.main.lb-1", "ingress-agent.main.lb-1", "localhost", "127.0.0.1 10.110.0.11"},
		{"gantry-local", "gantry-local", "localhost", "127.0.0.1"},
		{"site-a/apiserver", "kube-apiserver", "localhost kubernetes kubernetes.default kubernetes.default.svc", "127.0.0.1 10.111.0.1 10.121.0.1"},
		{"site-a/kubelet-server", "system:node:site-a", "localhost site-a", "127.0.0.1 10.111.0.1"},
		{"site-a/ipaas", "system:serviceaccount:gantry-system:ipaas", "localhost", "127.0.0.1"},
	}
	for _, test := range tests {
		t.Run(test.file, func(t *testing.T) {
			cert := certificate(t, p.PKI(test.file+".crt"))
			var ips []string
			for _, ip := range cert.IPAddresses {
				ips = append(ips, ip.String())
			}
			got := []string{cert.Subject.CommonName, strings.Join(cert.DNSNames, " "), strings.Join(ips, " ")}
			if diff := cmp.Diff([]string{test.cn, test.names, test.ips}, got); diff != "" {
				t.Error(diff)
			}
			authority := certificate(t, p.PKI(filepath.Dir(test.file), "ca.crt"))
			pool := x509.NewCertPool()
			pool.AddCert(authority)
			for _, use := range []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth} {
				options := x509.VerifyOptions{Roots: pool, CurrentTime: now(), KeyUsages: []x509.ExtKeyUsage{use}}
				if _, err := cert.Verify(options); err != nil {
					t.Errorf("use %v: %v", use, err)
				}
			}
		})
	}
}

// A cluster's authority must not open the platform, nor one cluster another.
func TestAuthoritiesAreSeparate(t *testing.T) {
	p := ensure(t)
	pool := x509.NewCertPool()
	pool.AddCert(certificate(t, p.PKI("ca.crt")))
	pool.AddCert(certificate(t, p.PKI("site-b", "ca.crt")))
	_, err := certificate(t, p.PKI("site-a", "admin.crt")).Verify(x509.VerifyOptions{Roots: pool, CurrentTime: now()})
	if err == nil {
		t.Error("site-a's administrator is trusted elsewhere")
	}
}

func TestKeysAreSecret(t *testing.T) {
	p := ensure(t)
	for _, file := range []string{p.PKI("ca.key"), p.PKI("site-a", "admin.key"), p.PKI("jwt.key"), p.Token("admin"), p.Kubeconfig("site-a", "admin"), SecretKey(p), GatewayKey(p, layout.Gateway)} {
		info, err := os.Stat(file)
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v", file, info.Mode())
		}
	}
}

func TestSecondTimeChangesNothing(t *testing.T) {
	p := ensure(t)
	files := []string{p.PKI("ca.crt"), p.PKI("etcd.crt"), p.PKI("site-a", "ca.crt"), p.PKI("site-a", "apiserver.crt"), SecretKey(p), GatewayKey(p, layout.Gateway)}
	before := map[string][]byte{}
	for _, f := range files {
		before[f] = read(t, f)
	}
	if err := Ensure(p, layout.Real(), now().Add(24*time.Hour)); err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if !bytes.Equal(before[f], read(t, f)) {
			t.Errorf("%s was made anew", f)
		}
	}
}

func read(t *testing.T, file string) []byte {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestMadeAnew(t *testing.T) {
	base := filepath.Join(t.TempDir(), "leaf")
	authority := func(name string) *Authority {
		a, err := Open(filepath.Join(filepath.Dir(base), name), name, now())
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	first := authority("one")
	leaf := Leaf{CN: "x"}
	tests := []struct {
		name string
		by   *Authority
		leaf Leaf
		at   time.Time
		same bool
	}{
		{"first", first, leaf, now(), false},
		{"same", first, leaf, now(), true},
		{"other name", first, Leaf{CN: "y"}, now(), false},
		{"other host", first, Leaf{CN: "y", Names: []string{"h"}}, now(), false},
		{"about to end", first, Leaf{CN: "y", Names: []string{"h"}}, now().Add(leafLife - renewBefore), false},
		{"other authority", authority("two"), Leaf{CN: "y", Names: []string{"h"}}, now(), false},
	}
	for _, test := range tests {
		before, _ := os.ReadFile(base + ".crt")
		if err := test.by.Issue(base, test.leaf, test.at); err != nil {
			t.Fatal(err)
		}
		if same := bytes.Equal(before, read(t, base+".crt")); same != test.same {
			t.Errorf("%s: same certificate %v, want %v", test.name, same, test.same)
		}
	}
}

func TestBrokenKeyIsNamed(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "ca.key"), []byte("nonsense"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := Open(filepath.Join(dir, "ca"), "x", now())
	if err == nil || !strings.Contains(err.Error(), "delete it") {
		t.Errorf("error is %v", err)
	}
}

func TestToken(t *testing.T) {
	p := ensure(t)
	block, _ := pem.Decode(read(t, p.PKI("jwt.pub")))
	key, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	for user, groups := range map[string][]string{"admin": {OperatorGroup}, "dev": {}} {
		token, err := jwt.ParseSigned(strings.TrimSpace(string(read(t, p.Token(user)))), []jose.SignatureAlgorithm{jose.ES256})
		if err != nil {
			t.Fatal(err)
		}
		var claims jwt.Claims
		var more struct {
			Groups []string `json:"groups"`
		}
		if err := token.Claims(key, &claims, &more); err != nil {
			t.Fatal(err)
		}
		expected := jwt.Expected{Issuer: Issuer, Subject: user, AnyAudience: jwt.Audience{Audience}, Time: now()}
		if err := claims.ValidateWithLeeway(expected, 0); err != nil {
			t.Errorf("%s: %v", user, err)
		}
		if diff := cmp.Diff(groups, more.Groups); diff != "" {
			t.Error(diff)
		}
	}
}

func TestKubeconfigLoads(t *testing.T) {
	p := ensure(t)
	config, err := clientcmd.BuildConfigFromFlags("", p.Kubeconfig("site-b", "ipaas"))
	if err != nil {
		t.Fatal(err)
	}
	if config.Host != "https://10.112.0.1:6443" || config.CAFile != p.PKI("site-b", "ca.crt") || config.CertFile != p.PKI("site-b", "ipaas.crt") {
		t.Errorf("config is %+v", config)
	}
}

// What cluster-mgr seals for a gateway, its agents open; the secrets they do
// not (rule S6).
func TestAGatewayOpensOnlyWhatIsItsOwn(t *testing.T) {
	p := ensure(t)
	secrets, err := seal.Read(SecretKey(p))
	if err != nil {
		t.Fatal(err)
	}
	gateway, err := seal.Read(GatewayKey(p, layout.Gateway))
	if err != nil {
		t.Fatal(err)
	}
	sealed, err := secrets.Derive("gateway/"+layout.Gateway).Seal([]byte("key"), []byte("a.b"))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := gateway.Open(sealed, []byte("a.b")); err != nil || string(got) != "key" {
		t.Errorf("opened %q, %v", got, err)
	}
	if sealed, err = secrets.Seal([]byte("secret"), nil); err != nil {
		t.Fatal(err)
	}
	if _, err := gateway.Open(sealed, nil); err == nil {
		t.Error("the gateway opens secrets")
	}
	if err := os.WriteFile(SecretKey(p), []byte("x\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := Ensure(p, layout.Real(), now()); err == nil || !strings.Contains(err.Error(), "key of the secrets") {
		t.Errorf("a broken key: %v", err)
	}
}
