// Package etcdtest runs a real etcd inside a test.
package etcdtest

import (
	"net/url"
	"sync"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/embed"
	"go.uber.org/zap"
)

// Server is an etcd with one member on loopback.
type Server struct {
	// Endpoints are URLs of the client port.
	Endpoints []string
	stop      func()
}

// Start runs etcd until the test ends.
func Start(t *testing.T) *Server {
	t.Helper()
	c := embed.NewConfig()
	c.Dir, c.LogLevel = t.TempDir(), "fatal"
	c.ZapLoggerBuilder = embed.NewZapLoggerBuilder(zap.NewNop())
	// No fsync: a test's data need not outlive the machine.
	c.UnsafeNoFsync = true
	// The only member need not wait a second for others to stand for election.
	c.TickMs, c.ElectionMs = 10, 100
	any := url.URL{Scheme: "http", Host: "127.0.0.1:0"}
	c.ListenClientUrls, c.AdvertiseClientUrls = []url.URL{any}, []url.URL{any}
	c.ListenPeerUrls, c.AdvertisePeerUrls = []url.URL{any}, []url.URL{any}
	c.InitialCluster = c.InitialClusterFromName(c.Name)
	etcd, err := embed.StartEtcd(c)
	if err != nil {
		t.Fatalf("start etcd: %v", err)
	}
	stop := sync.OnceFunc(etcd.Close)
	t.Cleanup(stop)
	select {
	case <-etcd.Server.ReadyNotify():
	case <-time.After(30 * time.Second):
		t.Fatal("etcd was not ready within 30 s")
	}
	return &Server{Endpoints: []string{"http://" + etcd.Clients[0].Addr().String()}, stop: stop}
}

// Client connects to the server until the test ends.
func (s *Server) Client(t *testing.T) *clientv3.Client {
	t.Helper()
	client, err := clientv3.New(clientv3.Config{Endpoints: s.Endpoints, Logger: zap.NewNop()})
	if err != nil {
		t.Fatalf("connect to etcd: %v", err)
	}
	t.Cleanup(func() { _ = client.Close() })
	return client
}

// Stop kills the server while clients stay.
func (s *Server) Stop() { s.stop() }
