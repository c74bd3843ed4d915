package app

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"gantry.dev/pkg/seal"
	ingressv1 "gantry.dev/proto/gen/gantry/ingress/v1"
	gantryv1 "gantry.dev/proto/gen/gantry/v1"
	"gantry.dev/services/ingress-agent/internal/certificates"
)

// A secureNode is a node with a gateway key and a port for HTTPS.
type secureNode struct {
	*testNode
	key seal.Key
	// Certificates that clients trust.
	roots *x509.CertPool
}

func startSecure(t *testing.T, pods []string) (*secureNode, *fakeIpaas) {
	t.Helper()
	s := &secureNode{key: seal.New().Derive("gateway/main"), roots: x509.NewCertPool()}
	n, siteA, _ := startSites(t, pods, nil, func(n *testNode) {
		n.config.HTTPSPort = freePort(t)
		n.config.GatewayKey = filepath.Join(t.TempDir(), "gateway-main.key")
		if err := os.WriteFile(n.config.GatewayKey, []byte(s.key.String()), 0o600); err != nil {
			t.Fatal(err)
		}
	})
	s.testNode = n
	return s, siteA
}

// certificate makes a new one for a host, sealed as cluster-mgr does.
func (s *secureNode) certificate(host string) *ingressv1.Certificate {
	s.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		s.t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: host}, DNSNames: []string{host},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		s.t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		s.t.Fatal(err)
	}
	chain := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	s.roots.AppendCertsFromPEM(chain)
	return s.sealed(host, chain, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}))
}

func (s *secureNode) sealed(host string, chain, private []byte) *ingressv1.Certificate {
	s.t.Helper()
	sealed, err := s.key.Seal(private, []byte(host))
	if err != nil {
		s.t.Fatal(err)
	}
	return &ingressv1.Certificate{Host: host, ChainPem: chain, SealedKey: sealed}
}

// secureRoute is a route with TLS and the certificate of its host.
func (s *secureNode) secureRoute(name string, t *gantryv1.Tls) *ingressv1.Route {
	r := s.route(name, name+".example")
	r.Rules = &gantryv1.HttpRules{Tls: t}
	return r
}

// transport dials the node whatever the URL says, on the port of its scheme.
func (s *secureNode) transport() *http.Transport {
	dial := func(ctx context.Context, network, address string) (net.Conn, error) {
		port := s.config.HTTPPort
		if strings.HasSuffix(address, ":443") {
			port = s.config.HTTPSPort
		}
		return (&net.Dialer{}).DialContext(ctx, network, net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	}
	return &http.Transport{
		DialContext: dial, TLSClientConfig: &tls.Config{RootCAs: s.roots}, ForceAttemptHTTP2: true, DisableKeepAlives: true, DisableCompression: true,
	}
}

// fetch asks for a URL and follows nothing.
func (s *secureNode) fetch(url string) (*http.Response, string, error) {
	s.t.Helper()
	request, err := http.NewRequestWithContext(s.t.Context(), http.MethodGet, url, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	transport := s.transport()
	defer transport.CloseIdleConnections()
	response, err := transport.RoundTrip(request)
	if err != nil {
		return nil, "", err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	return response, string(text), err
}

// serial of the certificate that a host shows now; 0: none.
func (s *secureNode) serial(host string) int64 {
	dialer := tls.Dialer{Config: &tls.Config{RootCAs: s.roots, ServerName: host}}
	conn, err := dialer.DialContext(s.t.Context(), "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(s.config.HTTPSPort)))
	if err != nil {
		return 0
	}
	defer conn.Close()
	return conn.(*tls.Conn).ConnectionState().PeerCertificates[0].SerialNumber.Int64()
}

func serialOf(t *testing.T, c *ingressv1.Certificate) int64 {
	t.Helper()
	block, _ := pem.Decode(c.GetChainPem())
	leaf, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return leaf.SerialNumber.Int64()
}

func (s *secureNode) shows(host string, c *ingressv1.Certificate) {
	s.t.Helper()
	want := serialOf(s.t, c)
	eventually(s.t, 10*time.Second, func() bool { return s.serial(host) == want }, s.log)
}

func (s *secureNode) epoch() int64 {
	s.t.Helper()
	status, err := s.agent.nginx.Client().Status(s.t.Context())
	if err != nil {
		s.t.Fatal(err)
	}
	return status.Epoch
}

func TestTLS(t *testing.T) {
	pods := addresses(51, 1)
	s, _ := startSecure(t, pods)
	startHandler(t, s.podPort, pods[0], func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Strict-Transport-Security", "max-age=1")
		fmt.Fprint(w, r.Header.Get("X-Forwarded-Proto"))
	})
	s.publish(func(c *ingressv1.GatewayConfig) {
		c.Routes = append(c.Routes, s.secureRoute("shop", &gantryv1.Tls{}), s.secureRoute("bank", &gantryv1.Tls{RedirectHttp: true, HstsSeconds: 3600}))
		c.Certificates = append(c.Certificates, s.certificate("shop.example"), s.certificate("bank.example"))
	})
	s.serving(2)
	for url, want := range map[string]string{
		"https://shop.example/": "HTTP/2.0 200 https max-age=1",
		"http://shop.example/":  "HTTP/1.1 200 http max-age=1",
		"https://bank.example/": "HTTP/2.0 200 https max-age=3600",
		"http://" + webHost:     "HTTP/1.1 200 http max-age=1",
	} {
		var got string
		eventually(t, 10*time.Second, func() bool {
			r, body, err := s.fetch(url)
			if err != nil {
				got = err.Error()
				return false
			}
			got = strings.Join([]string{r.Proto, strconv.Itoa(r.StatusCode), body, r.Header.Get("Strict-Transport-Security")}, " ")
			return got == want
		}, func() string { return url + ": " + got + ", want " + want + "\n" + s.log() })
	}
	to := fmt.Sprintf("https://bank.example:%d/a?b=c", s.config.HTTPSPort)
	if r, _, err := s.fetch("http://bank.example/a?b=c"); err != nil || r.StatusCode != http.StatusPermanentRedirect || r.Header.Get("Location") != to {
		t.Errorf("plain HTTP: %v %v", r, err)
	} else if r.Header.Get("Strict-Transport-Security") != "" {
		t.Errorf("plain HTTP says %s", r.Header)
	}
	for _, host := range []string{webHost, "other.example"} { // no TLS here, nor any certificate
		if _, _, err := s.fetch("https://" + host + "/"); err == nil || !strings.Contains(err.Error(), "unrecognized name") {
			t.Errorf("%s answers HTTPS: %v", host, err)
		}
	}
	old := tls.Dialer{Config: &tls.Config{ServerName: "shop.example", RootCAs: s.roots, MaxVersion: tls.VersionTLS11, MinVersion: tls.VersionTLS10}}
	if _, err := old.DialContext(t.Context(), "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(s.config.HTTPSPort))); err == nil {
		t.Error("TLS 1.1 is spoken")
	}
}

// A renewed certificate is shown without a reload; one that is no good is not,
// and is said, and the others go on (rules I3, I4).
func TestRenewal(t *testing.T) {
	pods := addresses(52, 1)
	s, _ := startSecure(t, pods)
	startPods(t, s.podPort, pods...)
	first := s.certificate("shop.example")
	other := s.certificate("bank.example")
	s.publish(func(c *ingressv1.GatewayConfig) {
		c.Routes = append(c.Routes, s.secureRoute("shop", &gantryv1.Tls{}), s.secureRoute("bank", &gantryv1.Tls{}))
		c.Certificates = []*ingressv1.Certificate{other, first}
	})
	s.serving(2)
	s.shows("shop.example", first)
	epoch := s.epoch()
	second := s.certificate("shop.example")
	s.publish(func(c *ingressv1.GatewayConfig) { c.Certificates[1] = second })
	start := time.Now()
	s.shows("shop.example", second)
	t.Logf("a renewed certificate is shown after %s", time.Since(start))
	for name, bad := range map[string]*ingressv1.Certificate{
		"does not open":  {Host: "shop.example", ChainPem: second.GetChainPem(), SealedKey: bytes.Repeat([]byte{1}, 60)},
		"with its key":   s.sealed("shop.example", second.GetChainPem(), []byte("no key")),
		"there is no":    nil,
		"cannot be used": s.sealed("shop.example", []byte("no chain"), []byte("no key")),
	} {
		s.publish(func(c *ingressv1.GatewayConfig) {
			c.Certificates = []*ingressv1.Certificate{other}
			if bad != nil {
				c.Certificates = append(c.Certificates, bad)
			}
		})
		s.serving(s.gateway.GetGeneration())
		eventually(t, 5*time.Second, func() bool {
			q := s.agent.Status(t.Context()).GetQuarantined()
			return len(q) == 1 && strings.HasSuffix(q[0].GetRoute(), "/shop") && strings.Contains(q[0].GetReason(), name) && strings.Contains(q[0].GetReason(), "last good")
		}, func() string { return name + s.agent.Status(t.Context()).String() })
		s.shows("shop.example", second)
		s.shows("bank.example", other)
	}
	if now := s.epoch(); now != epoch {
		t.Errorf("epoch %d became %d: something reloaded", epoch, now)
	}
}

// A host whose first certificate is no good is not served in its new form; the
// others are.
func TestNoGoodCertificate(t *testing.T) {
	pods := addresses(53, 1)
	s, _ := startSecure(t, pods)
	startPods(t, s.podPort, pods...)
	good := s.certificate("bank.example")
	s.publish(func(c *ingressv1.GatewayConfig) {
		c.Routes[0].Rules = &gantryv1.HttpRules{Tls: &gantryv1.Tls{RedirectHttp: true}}
		c.Routes = append(c.Routes, s.secureRoute("shop", &gantryv1.Tls{}), s.secureRoute("bank", &gantryv1.Tls{}))
		c.Certificates = []*ingressv1.Certificate{good, s.sealed("shop.example", good.GetChainPem(), []byte("no key"))}
	})
	s.serving(2)
	s.shows("bank.example", good)
	if r, _, err := s.fetch("http://" + webHost); err != nil || r.StatusCode != http.StatusOK {
		t.Errorf("the last good form of web is not served: %v %v", r, err)
	}
	if r, _, err := s.fetch("http://shop.example"); err != nil || r.StatusCode != http.StatusNotFound {
		t.Errorf("shop: %v %v", r, err)
	}
	if q := s.agent.Status(t.Context()).GetQuarantined(); len(q) != 2 {
		t.Errorf("quarantined %v", q)
	}
	s.publish(func(c *ingressv1.GatewayConfig) {
		c.Certificates = []*ingressv1.Certificate{good, s.certificate("shop.example"), s.certificate(webHost)}
	})
	s.serving(3)
	s.shows("shop.example", s.gateway.GetCertificates()[1])
	s.shows(webHost, s.gateway.GetCertificates()[2])
}

// rule I6: neither Nginx nor the agent needs anybody to serve TLS again.
func TestTLSComesBackFromDisk(t *testing.T) {
	pods := addresses(54, 1)
	s, siteA := startSecure(t, pods)
	startPods(t, s.podPort, pods...)
	c := s.certificate("shop.example")
	s.publish(func(g *ingressv1.GatewayConfig) {
		g.Routes = append(g.Routes, s.secureRoute("shop", &gantryv1.Tls{}))
		g.Certificates = []*ingressv1.Certificate{c}
	})
	s.serving(2)
	s.shows("shop.example", c)
	s.snapshotHolds(pods...)
	info, err := os.Stat(filepath.Join(s.config.StateDir, certificates.File))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("%v %v", info, err)
	}
	s.stop()
	s.etcd.Stop()
	siteA.server.Stop()
	s.killNginx()
	_, layout := s.agent.manager.Served()
	if err := s.agent.nginx.Start(t.Context(), layout); err != nil {
		t.Fatal(err)
	}
	s.shows("shop.example", c)
	s.killNginx()
	if err := os.Remove(s.config.GatewayKey); err != nil { // it was opened before
		t.Fatal(err)
	}
	s.start()
	s.serving(2)
	s.shows("shop.example", c)
	eventually(t, 5*time.Second, func() bool {
		q := s.agent.Status(t.Context()).GetQuarantined()
		return len(q) == 1 && strings.Contains(q[0].GetReason(), "the gateway key cannot be used")
	}, nil)
}
