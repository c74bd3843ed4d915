// Package probe asks processes whether they can work.
package probe

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"
)

// Func asks once; nil means ready.
type Func = func(ctx context.Context) error

// Identity is with which certificate a probe speaks and whom it trusts; the
// files are read at the first probe, because they may not be there before.
type Identity struct{ Cert, Key, CA string }

func (i Identity) config() (*tls.Config, error) {
	cert, err := tls.LoadX509KeyPair(i.Cert, i.Key)
	if err != nil {
		return nil, fmt.Errorf("client certificate: %w", err)
	}
	pem, err := os.ReadFile(i.CA)
	if err != nil {
		return nil, fmt.Errorf("authority: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("no certificate in %s", i.CA)
	}
	return &tls.Config{Certificates: []tls.Certificate{cert}, RootCAs: pool, MinVersion: tls.VersionTLS12}, nil
}

// HTTP wants status 200 from url.
func HTTP(url string) Func {
	return func(ctx context.Context) error {
		_, err := get(ctx, http.DefaultClient, url)
		return err
	}
}

// HTTPS wants status 200 from url, as this identity.
func HTTPS(url string, id Identity) Func {
	return func(ctx context.Context) error {
		_, err := getAs(ctx, url, id)
		return err
	}
}

// SelfSigned wants status 200 from a server on this machine whose certificate
// it made for itself and nobody can check.
func SelfSigned(url string) Func {
	return func(ctx context.Context) error {
		//nolint:gosec // loopback only, nothing secret is sent
		transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, DisableKeepAlives: true}
		_, err := get(ctx, &http.Client{Transport: transport}, url)
		return err
	}
}

// NodeReady wants the Kubernetes node at this URL to be Ready.
func NodeReady(url string, id Identity) Func {
	return func(ctx context.Context) error {
		body, err := getAs(ctx, url, id)
		if err != nil {
			return err
		}
		return nodeReady(body)
	}
}

func nodeReady(body []byte) error {
	var node struct {
		Status struct {
			Conditions []struct{ Type, Status, Message string }
		}
	}
	if err := json.Unmarshal(body, &node); err != nil {
		return fmt.Errorf("node: %w", err)
	}
	for _, c := range node.Status.Conditions {
		if c.Type == "Ready" && c.Status == "True" {
			return nil
		}
		if c.Type == "Ready" {
			return fmt.Errorf("node is not ready: %s", c.Message)
		}
	}
	return errors.New("node has not reported yet")
}

func getAs(ctx context.Context, url string, id Identity) ([]byte, error) {
	config, err := id.config()
	if err != nil {
		return nil, err
	}
	transport := &http.Transport{TLSClientConfig: config, DisableKeepAlives: true}
	return get(ctx, &http.Client{Transport: transport}, url)
}

func get(ctx context.Context, client *http.Client, url string) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	response, err := client.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, 1<<20))
	if err != nil {
		return nil, err
	}
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s answers %s", url, response.Status)
	}
	return body, nil
}

// Unix wants a Unix socket that accepts.
func Unix(path string) Func {
	return func(ctx context.Context) error {
		var dialer net.Dialer
		conn, err := dialer.DialContext(ctx, "unix", path)
		if err != nil {
			return err
		}
		return conn.Close()
	}
}

// GRPC wants SERVING from the standard health service. A server that lets
// nobody ask for its health is ready when it says so.
func GRPC(address string, id Identity) Func {
	answers := []codes.Code{codes.PermissionDenied, codes.Unauthenticated, codes.Unimplemented}
	return func(ctx context.Context) error {
		config, err := id.config()
		if err != nil {
			return err
		}
		conn, err := grpc.NewClient("passthrough:///"+address, grpc.WithTransportCredentials(credentials.NewTLS(config)))
		if err != nil {
			return err
		}
		defer conn.Close()
		ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
		defer cancel()
		answer, err := healthv1.NewHealthClient(conn).Check(ctx, &healthv1.HealthCheckRequest{})
		if slices.Contains(answers, status.Code(err)) {
			return nil
		}
		if err != nil {
			return err
		}
		if answer.GetStatus() != healthv1.HealthCheckResponse_SERVING {
			return fmt.Errorf("health is %s", answer.GetStatus())
		}
		return nil
	}
}
