package mtls_test

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"gantry.dev/pkg/mtls"
	"gantry.dev/pkg/mtls/mtlstest"
)

// shake makes one handshake and gives the client's error.
func shake(t *testing.T, server, client *tls.Config) error {
	t.Helper()
	listener, err := tls.Listen("tcp", "127.0.0.1:0", server)
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	done := make(chan struct{})
	defer func() { <-done }()
	go func() {
		defer close(done)
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		_, _ = io.WriteString(conn, "hello")
	}()
	conn, err := tls.DialWithDialer(&net.Dialer{Timeout: 5 * time.Second}, "tcp", listener.Addr().String(), client)
	if err != nil {
		return err
	}
	defer conn.Close()
	// With TLS 1.3 a refused client certificate shows with the first read.
	if _, err := conn.Read(make([]byte, 5)); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	return nil
}

func serverConfig(t *testing.T, f mtls.Files) *tls.Config {
	t.Helper()
	c, err := f.Server()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func clientConfig(t *testing.T, f mtls.Files, cn string) *tls.Config {
	t.Helper()
	c, err := f.Client(cn)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestWhoIsLetIn(t *testing.T) {
	ca, other := mtlstest.New(t), mtlstest.New(t)
	server := serverConfig(t, ca.Issue("ipaas.site-a"))
	stranger := other.Issue("cluster-mgr")
	stranger.CA = ca.Issue("unused").CA
	tests := []struct {
		name   string
		client *tls.Config
		want   string // part of the error; empty: let in
	}{
		{"right name", clientConfig(t, ca.Issue("cluster-mgr"), "ipaas.site-a"), ""},
		{"any name of the CA", clientConfig(t, ca.Issue("cluster-mgr"), ""), ""},
		{"another server than expected", clientConfig(t, ca.Issue("cluster-mgr"), "ipaas.site-b"), `is "ipaas.site-a", not "ipaas.site-b"`},
		{"a client of another CA", clientConfig(t, stranger, "ipaas.site-a"), "certificate"},
		{"a server of another CA", clientConfig(t, other.Issue("cluster-mgr"), "ipaas.site-a"), "verify the server's certificate"},
		{"no client certificate", &tls.Config{InsecureSkipVerify: true}, "certificate"}, // G402: the server must refuse
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			err := shake(t, server, tc.client)
			if tc.want == "" && err != nil || tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)) {
				t.Errorf("got %v, want %q", err, tc.want)
			}
		})
	}
}

func TestARenewedCertificateIsUsed(t *testing.T) {
	ca := mtlstest.New(t)
	files, renewed := ca.Issue("old"), ca.Issue("new")
	server := serverConfig(t, files)
	client := ca.Issue("client")
	if err := shake(t, server, clientConfig(t, client, "old")); err != nil {
		t.Fatal(err)
	}
	for from, to := range map[string]string{renewed.Cert: files.Cert, renewed.Key: files.Key} {
		b, err := os.ReadFile(from)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(to, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	later := time.Now().Add(time.Minute)
	if err := os.Chtimes(files.Cert, later, later); err != nil {
		t.Fatal(err)
	}
	if err := shake(t, server, clientConfig(t, client, "new")); err != nil {
		t.Errorf("the renewed certificate is not used: %v", err)
	}
	if err := os.WriteFile(files.Cert, []byte("half written"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := shake(t, server, clientConfig(t, client, "new")); err != nil {
		t.Errorf("a half written renewal ended service: %v", err)
	}
}

func TestMissingFilesAreErrorsOfTheStart(t *testing.T) {
	good := mtlstest.New(t).Issue("x")
	for name, f := range map[string]mtls.Files{
		"certificate": {Cert: "/nonexistent", Key: good.Key, CA: good.CA},
		"CA":          {Cert: good.Cert, Key: good.Key, CA: good.Key},
	} {
		if _, err := f.Server(); err == nil {
			t.Errorf("a wrong %s was accepted", name)
		}
	}
}
