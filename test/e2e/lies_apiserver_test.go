package e2e

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// The ways in which an API server can be wrong.
const (
	truth          = "truth"
	unauthorized   = "401"
	internalError  = "500"
	wrongAuthority = "a certificate of nobody"
	emptyLists     = "empty lists"
)

// apiProxy stands between an ipaas and its API server.
type apiProxy struct {
	t      *testing.T
	server *httptest.Server
	real   *http.Transport
	target *url.URL
	own    tls.Certificate
	nobody tls.Certificate

	mu   sync.Mutex
	mode string
	told map[string]int
}

// lyingAPIServer speaks for a site's API server on loopback until the test
// ends, first the truth.
func lyingAPIServer(t *testing.T, site, address string) *apiProxy {
	t.Helper()
	pki := filepath.Join(local, "pki", site)
	pair := func(name string) tls.Certificate {
		pair, err := tls.LoadX509KeyPair(filepath.Join(pki, name+".crt"), filepath.Join(pki, name+".key"))
		if err != nil {
			t.Fatal(err)
		}
		return pair
	}
	authority, err := os.ReadFile(filepath.Join(pki, "ca.crt"))
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(authority)
	p := &apiProxy{
		t: t, mode: truth, told: map[string]int{},
		target: &url.URL{Scheme: "https", Host: address},
		own:    pair("apiserver"), nobody: selfSigned(t),
		real: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, Certificates: []tls.Certificate{pair("ipaas")}, MinVersion: tls.VersionTLS12}},
	}
	p.server = httptest.NewUnstartedServer(p)
	p.server.Config.ErrorLog = log.New(io.Discard, "", 0)
	p.server.TLS = &tls.Config{MinVersion: tls.VersionTLS12, GetConfigForClient: p.config}
	p.server.StartTLS()
	t.Cleanup(p.real.CloseIdleConnections)
	t.Cleanup(p.server.Close)
	t.Cleanup(p.server.CloseClientConnections)
	return p
}

// kubeconfig is ipaas' own, but for the server.
func (p *apiProxy) kubeconfig(site string) string {
	p.t.Helper()
	text, err := os.ReadFile(filepath.Join(local, "pki", site, "ipaas.kubeconfig"))
	if err != nil {
		p.t.Fatal(err)
	}
	path := filepath.Join(p.t.TempDir(), "kubeconfig")
	changed := strings.ReplaceAll(string(text), p.target.String(), p.server.URL)
	if err := os.WriteFile(path, []byte(changed), 0o600); err != nil {
		p.t.Fatal(err)
	}
	return path
}

// tell begins a lie, cuts what was said before, and waits until it has been
// told so often.
func (p *apiProxy) tell(mode string, times int) {
	p.t.Helper()
	p.mu.Lock()
	p.mode = mode
	p.mu.Unlock()
	p.server.CloseClientConnections()
	eventually(p.t, time.Minute, func() string {
		if n := p.times(mode); n < times {
			return fmt.Sprintf("%s was told %d times", mode, n)
		}
		return ""
	})
}

func (p *apiProxy) times(mode string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.told[mode]
}

// count is one more answer in the present mode, which it gives.
func (p *apiProxy) count() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.told[p.mode]++
	return p.mode
}

// config is asked for each connection, also by clients that name no server: a
// certificate alone would not be.
func (p *apiProxy) config(*tls.ClientHelloInfo) (*tls.Config, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	c := &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{p.own}}
	if p.mode == wrongAuthority {
		p.told[wrongAuthority]++
		c.Certificates[0] = p.nobody
	}
	return c, nil
}

func (p *apiProxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch p.count() {
	case unauthorized:
		refuse(w, http.StatusUnauthorized, "Unauthorized")
	case internalError:
		refuse(w, http.StatusInternalServerError, "InternalError")
	case emptyLists:
		p.serveNothing(w, r)
	default:
		p.pass().ServeHTTP(w, r)
	}
}

func (p *apiProxy) pass() *httputil.ReverseProxy {
	return &httputil.ReverseProxy{
		Transport: p.real, FlushInterval: -1,
		Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(p.target) },
	}
}

// serveNothing ends every watch as too old, so that the lists are read again,
// and takes what there is out of them.
func (p *apiProxy) serveNothing(w http.ResponseWriter, r *http.Request) {
	if watch := r.URL.Query().Get("watch"); watch == "true" || watch == "1" {
		if r.URL.Query().Get("sendInitialEvents") != "" {
			refuse(w, http.StatusUnprocessableEntity, "Invalid") // as a server that can only list
			return
		}
		refuse(w, http.StatusGone, "Expired")
		return
	}
	r.Header.Set("Accept", "application/json")
	r.Header.Del("Accept-Encoding")
	proxy := p.pass()
	proxy.ModifyResponse = emptied
	proxy.ServeHTTP(w, r)
}

// emptied takes the items out of a list; other answers stay.
func emptied(r *http.Response) error {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return err
	}
	var answer map[string]any
	if json.Unmarshal(body, &answer) == nil {
		if _, ok := answer["items"].([]any); ok {
			answer["items"] = []any{}
			if body, err = json.Marshal(answer); err != nil {
				return err
			}
		}
	}
	r.Body, r.ContentLength = io.NopCloser(strings.NewReader(string(body))), int64(len(body))
	r.Header.Set("Content-Length", fmt.Sprint(len(body)))
	return nil
}

// refuse answers as an API server does.
func refuse(w http.ResponseWriter, code int, reason string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(map[string]any{"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": reason, "code": code, "message": "a lie of the test"})
}

// selfSigned is a certificate for loopback that no authority knows.
func selfSigned(t *testing.T) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "nobody"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}
