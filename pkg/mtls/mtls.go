// Package mtls is mutual TLS between Gantry's services. A service is known by
// the common name of its certificate ("cluster-mgr", "ipaas.site-a"); the CA
// is Gantry's own. Renewed files are used from the next handshake on.
package mtls

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/peer"
)

// Files are PEM files: certificate chain, key and the CA that signs peers.
type Files struct {
	Cert, Key, CA string
}

// Server demands and verifies a client certificate.
func (f Files) Server() (*tls.Config, error) {
	source, pool, err := f.load()
	if err != nil {
		return nil, err
	}
	return &tls.Config{
		MinVersion: tls.VersionTLS13,
		ClientAuth: tls.RequireAndVerifyClientCert,
		ClientCAs:  pool,
		NextProtos: []string{"h2", "http/1.1"},
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			return source.certificate()
		},
	}, nil
}

// Client verifies the server's chain and that its common name is serverCN; an
// empty serverCN accepts any certificate of the CA. Addresses do not count:
// a service keeps its name when it moves.
func (f Files) Client(serverCN string) (*tls.Config, error) {
	source, pool, err := f.load()
	if err != nil {
		return nil, err
	}
	return &tls.Config{
		MinVersion: tls.VersionTLS13,
		// The chain is verified below, by CA and common name.
		InsecureSkipVerify: true, //nolint:gosec // G402: VerifyConnection checks the chain and the name
		VerifyConnection: func(state tls.ConnectionState) error {
			return verifyServer(state, pool, serverCN)
		},
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			return source.certificate()
		},
	}, nil
}

// PeerName is the common name of the peer that calls a gRPC method; empty
// without mutual TLS.
func PeerName(ctx context.Context) string {
	p, ok := peer.FromContext(ctx)
	if !ok {
		return ""
	}
	info, ok := p.AuthInfo.(credentials.TLSInfo)
	if !ok || len(info.State.VerifiedChains) == 0 {
		return ""
	}
	return info.State.VerifiedChains[0][0].Subject.CommonName
}

func verifyServer(state tls.ConnectionState, pool *x509.CertPool, serverCN string) error {
	if len(state.PeerCertificates) == 0 {
		return errors.New("the server shows no certificate")
	}
	leaf := state.PeerCertificates[0]
	intermediates := x509.NewCertPool()
	for _, c := range state.PeerCertificates[1:] {
		intermediates.AddCert(c)
	}
	_, err := leaf.Verify(x509.VerifyOptions{
		Roots:         pool,
		Intermediates: intermediates,
		KeyUsages:     []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	})
	if err != nil {
		return fmt.Errorf("verify the server's certificate: %w", err)
	}
	if serverCN != "" && leaf.Subject.CommonName != serverCN {
		return fmt.Errorf("the server is %q, not %q", leaf.Subject.CommonName, serverCN)
	}
	return nil
}

func (f Files) load() (*source, *x509.CertPool, error) {
	s := &source{files: f}
	if _, err := s.certificate(); err != nil {
		return nil, nil, err
	}
	ca, err := os.ReadFile(f.CA)
	if err != nil {
		return nil, nil, fmt.Errorf("read the CA: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(ca) {
		return nil, nil, fmt.Errorf("%s holds no PEM certificate", f.CA)
	}
	return s, pool, nil
}

// source reads the key pair again when the certificate file has changed.
type source struct {
	files Files

	mu     sync.Mutex
	loaded *tls.Certificate
	mtime  time.Time
}

func (s *source) certificate() (*tls.Certificate, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	info, err := os.Stat(s.files.Cert)
	if err != nil {
		return s.orLast(fmt.Errorf("read the certificate: %w", err))
	}
	if s.loaded != nil && info.ModTime().Equal(s.mtime) {
		return s.loaded, nil
	}
	pair, err := tls.LoadX509KeyPair(s.files.Cert, s.files.Key)
	if err != nil {
		return s.orLast(fmt.Errorf("load the key pair: %w", err))
	}
	s.loaded, s.mtime = &pair, info.ModTime()
	return s.loaded, nil
}

// orLast keeps serving the last good pair while a renewal is half written.
func (s *source) orLast(err error) (*tls.Certificate, error) {
	if s.loaded != nil {
		return s.loaded, nil
	}
	return nil, err
}
