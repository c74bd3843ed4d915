package app

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"gantry.dev/pkg/mtls/mtlstest"
	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
)

const testIssuer = "https://tokens.test"

// harness is a running portal with its issuer of tokens.
type harness struct {
	t       *testing.T
	ca      *mtlstest.CA
	address string
	tls     *tls.Config
	signer  *ecdsa.PrivateKey
	log     *logBuffer
	// stop ends portal as SIGTERM does.
	stop context.CancelFunc
}

// logBuffer collects log lines from many goroutines.
type logBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *logBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// startPortal runs portal in front of the addresses until the test ends.
func startPortal(t *testing.T, ca *mtlstest.CA, clusterMgr ...string) *harness {
	t.Helper()
	signer := newSigner(t)
	key := filepath.Join(t.TempDir(), "issuer.pem")
	writePublicKey(t, key, signer)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	files := ca.Issue("portal")
	h := &harness{t: t, ca: ca, address: listener.Addr().String(), tls: trust(t, files.CA), signer: signer, log: &logBuffer{}}
	ctx, cancel := context.WithCancel(t.Context())
	h.stop = cancel
	done := make(chan error, 1)
	go func() {
		done <- run(ctx, Config{
			TLS: files, ClusterMgr: clusterMgr, TokenIssuer: testIssuer, TokenAudience: "gantry", TokenKey: key,
			Logger: slog.New(slog.NewJSONHandler(h.log, nil)), Registry: prometheus.NewRegistry(),
		}, listener)
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("portal ended with %v", err)
		}
	})
	return h
}

func newSigner(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func writePublicKey(t *testing.T, path string, key *ecdsa.PrivateKey) {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
}

func trust(t *testing.T, caFile string) *tls.Config {
	t.Helper()
	data, err := os.ReadFile(caFile)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(data)
	return &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS13}
}

// claims are good ones of an operator; tests change what they are about.
func claims() map[string]any {
	now := time.Now()
	return map[string]any{
		"iss": testIssuer, "aud": "gantry", "sub": "ann",
		"nbf": now.Add(-time.Minute).Unix(), "exp": now.Add(time.Hour).Unix(),
		"groups": []string{"gantry:operators", "bad,group\n"},
	}
}

func sign(t *testing.T, key *ecdsa.PrivateKey, claims map[string]any) string {
	t.Helper()
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: key}, nil)
	if err != nil {
		t.Fatal(err)
	}
	token, err := jwt.Signed(signer).Claims(claims).Serialize()
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func (h *harness) token() string { return sign(h.t, h.signer, claims()) }

// client is an HTTP client that trusts portal.
func (h *harness) client() *http.Client {
	transport := &http.Transport{TLSClientConfig: h.tls.Clone(), ForceAttemptHTTP2: true}
	h.t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: 20 * time.Second}
}

// do calls REST with a good token and the given extra headers.
func (h *harness) do(method, path, body string, header http.Header) (int, string) {
	h.t.Helper()
	req, err := http.NewRequestWithContext(h.t.Context(), method, "https://"+h.address+path, bytes.NewBufferString(body))
	if err != nil {
		h.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+h.token())
	for name, values := range header {
		req.Header[name] = values
	}
	resp, err := h.client().Do(req)
	if err != nil {
		h.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		h.t.Fatal(err)
	}
	return resp.StatusCode, string(text)
}

// dial is a gRPC connection to portal; a token of "" sends none.
func (h *harness) dial(token string) *grpc.ClientConn {
	h.t.Helper()
	options := []grpc.DialOption{grpc.WithTransportCredentials(credentials.NewTLS(h.tls.Clone()))}
	if token != "" {
		options = append(options, grpc.WithPerRPCCredentials(bearer(token)))
	}
	conn, err := grpc.NewClient(h.address, options...)
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { conn.Close() })
	return conn
}

type bearer string

func (b bearer) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	return map[string]string{"authorization": "Bearer " + string(b)}, nil
}

func (bearer) RequireTransportSecurity() bool { return true }
