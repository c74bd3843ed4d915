package platform

import (
	"context"
	"errors"
	"net"
	"net/url"
	"path/filepath"
	"testing"
	"time"

	"gantry.dev/pkg/etcdkv"
	"gantry.dev/pkg/mtls"
	"gantry.dev/services/gantry/internal/local/layout"
	"gantry.dev/services/gantry/internal/local/pki"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"go.etcd.io/etcd/client/pkg/v3/transport"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/embed"
	"go.uber.org/zap"
)

// startEtcd runs an etcd that knows its users by certificate, as ours does.
func startEtcd(t *testing.T, p layout.Paths) string {
	t.Helper()
	c := embed.NewConfig()
	c.Dir, c.LogLevel, c.UnsafeNoFsync = filepath.Join(p.Dir, "etcd"), "fatal", true
	c.ZapLoggerBuilder = embed.NewZapLoggerBuilder(zap.NewNop())
	client, peer := url.URL{Scheme: "https", Host: "127.0.0.1:0"}, url.URL{Scheme: "http", Host: "127.0.0.1:0"}
	c.ListenClientUrls, c.AdvertiseClientUrls = []url.URL{client}, []url.URL{client}
	c.ListenPeerUrls, c.AdvertisePeerUrls = []url.URL{peer}, []url.URL{peer}
	c.InitialCluster = c.InitialClusterFromName(c.Name)
	c.ClientTLSInfo = transport.TLSInfo{
		CertFile: p.PKI("etcd.crt"), KeyFile: p.PKI("etcd.key"), TrustedCAFile: p.PKI("ca.crt"), ClientCertAuth: true,
	}
	etcd, err := embed.StartEtcd(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(etcd.Close)
	select {
	case <-etcd.Server.ReadyNotify():
	case <-time.After(30 * time.Second):
		t.Fatal("etcd was not ready within 30 s")
	}
	return "https://" + etcd.Clients[0].Addr().(*net.TCPAddr).String()
}

func as(t *testing.T, p layout.Paths, endpoint, identity string) *clientv3.Client {
	t.Helper()
	tls, err := mtls.Files{Cert: p.PKI(identity + ".crt"), Key: p.PKI(identity + ".key"), CA: p.PKI("ca.crt")}.Client("etcd")
	if err != nil {
		t.Fatal(err)
	}
	client, err := etcdkv.Dial([]string{endpoint}, tls)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	return client
}

// Each service reaches its own keys only. rule S6
func TestAccess(t *testing.T) {
	p := layout.Paths{Dir: t.TempDir()}
	if err := pki.Ensure(p, layout.Real(), time.Now()); err != nil {
		t.Fatal(err)
	}
	endpoint := startEtcd(t, p)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	root := as(t, p, endpoint, "gantry-local")
	for range 2 {
		if err := grantAll(ctx, root, layout.Balancers()); err != nil {
			t.Fatal(err)
		}
	}
	const agent = "ingress-agent.main.lb-1"
	tests := []struct {
		identity, key string
		read, write   bool
	}{
		{"gantry-local", "/anything", true, true},
		{"cluster-mgr", "/gantry/x", true, true},
		{"cluster-mgr", "/gantry-gateways/main/config", true, true},
		{"cluster-mgr", "/other", false, false},
		{agent, "/gantry-gateways/main/config", true, false},
		{agent, "/gantry-gateways/other/config", false, false},
		{agent, "/gantry/x", false, false},
		{"portal", "/gantry/x", false, false},
		{"ipaas.site-a", "/gantry/x", false, false},
	}
	for _, test := range tests {
		t.Run(test.identity+test.key, func(t *testing.T) {
			client := as(t, p, endpoint, test.identity)
			_, err := client.Get(ctx, test.key)
			checkAccess(t, "read", err, test.read)
			_, err = client.Put(ctx, test.key, "v")
			checkAccess(t, "write", err, test.write)
		})
	}
}

func checkAccess(t *testing.T, what string, err error, allowed bool) {
	t.Helper()
	if allowed && err != nil {
		t.Errorf("%s: %v", what, err)
	}
	// etcd answers ErrUserEmpty or "user name not found" to certificates of nobody.
	denied := errors.Is(err, rpctypes.ErrPermissionDenied) || errors.Is(err, rpctypes.ErrUserNotFound) || errors.Is(err, rpctypes.ErrUserEmpty)
	if !allowed && !denied {
		t.Errorf("%s was not refused: %v", what, err)
	}
}
