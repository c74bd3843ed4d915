package publish_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"gantry.dev/pkg/etcdkv"
	"gantry.dev/pkg/etcdkv/etcdtest"
	"gantry.dev/pkg/leader"
	"gantry.dev/pkg/seal"
	ingressv1 "gantry.dev/proto/gen/gantry/ingress/v1"
	gantryv1 "gantry.dev/proto/gen/gantry/v1"
	"gantry.dev/services/cluster-mgr/internal/certificate/certificatetest"
	"gantry.dev/services/cluster-mgr/internal/publish"
	"gantry.dev/services/cluster-mgr/internal/store"
	"gantry.dev/services/cluster-mgr/internal/vault"
	"github.com/google/go-cmp/cmp"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/protobuf/testing/protocmp"
)

// world is a publisher over a real etcd.
type world struct {
	t      *testing.T
	client *clientv3.Client
	store  *store.Store
	vault  *vault.Vault
	key    seal.Key
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, client: etcdtest.Start(t).Client(t), key: seal.New()}
	w.store = store.New(w.client)
	w.vault = vault.New(w.store, w.key)
	w.put(func(ch *store.Change) {
		w.store.Gateways.Put(ch, "gateways/main", &gantryv1.Gateway{
			Name: "gateways/main", Vip: "10.0.0.100", VirtualRouterId: 7, MoreVips: []*gantryv1.Vip{{Address: "10.0.0.101", VirtualRouterId: 8}},
			Nodes: []*gantryv1.GatewayNode{{Name: "lb-1", Address: "10.0.0.11", Priority: 150, Drained: true}},
		}, store.Any)
	})
	return w
}

func (w *world) put(fill func(*store.Change)) {
	w.t.Helper()
	change := store.NewChange()
	fill(change)
	if _, err := w.store.Commit(w.t.Context(), change); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) secret(name string, data map[string][]byte) {
	w.t.Helper()
	w.put(func(ch *store.Change) {
		version, err := w.vault.Put(ch, name, data)
		if err != nil {
			w.t.Fatal(err)
		}
		w.store.Secrets.Put(ch, name, store.SecretRecord{Name: name, Version: version}, store.Any)
	})
}

func (w *world) route(id, host, secret string) {
	w.t.Helper()
	r := &gantryv1.Route{Name: "projects/pay/routes/" + id, Gateway: "gateways/main", Host: host, App: "projects/pay/apps/web", Port: 80, Revision: 3}
	if secret != "" {
		r.Rules = &gantryv1.HttpRules{Tls: &gantryv1.Tls{Secret: secret}}
	}
	w.put(func(ch *store.Change) { w.store.Routes.Put(ch, r.GetName(), r, store.Any) })
}

// term publishes while f runs.
func (w *world) term(f func()) {
	w.t.Helper()
	ctx, stop := context.WithCancel(w.t.Context())
	done := make(chan error)
	config := leader.Config{Client: w.client, Prefix: "/gantry/leader/test", Name: "test", Logger: slog.New(slog.DiscardHandler)}
	go func() {
		done <- leader.Run(ctx, config, func(ctx context.Context, term leader.Term) error {
			loop, err := publish.New(w.store, w.vault, term, slog.New(slog.DiscardHandler))
			if err != nil {
				return err
			}
			return loop.Run(ctx)
		})
	}()
	f()
	stop()
	<-done
}

// await gives the configuration once it is as wanted, read as an agent does.
func (w *world) await(wanted func(*ingressv1.GatewayConfig) bool) (out *ingressv1.GatewayConfig) {
	w.t.Helper()
	ctx, stop := context.WithTimeout(w.t.Context(), 10*time.Second)
	defer stop()
	create := func() *ingressv1.GatewayConfig { return &ingressv1.GatewayConfig{} }
	_ = etcdkv.Watch(ctx, w.client, "/gantry-gateways/main/config", create, 0, func(e etcdkv.Event[*ingressv1.GatewayConfig]) error {
		if e.Value != nil && wanted(e.Value) {
			out = e.Value
			return context.Canceled
		}
		return nil
	})
	if out == nil {
		w.t.Fatal("the configuration did not become as wanted")
	}
	return out
}

func TestWhatIsPublished(t *testing.T) {
	w := newWorld(t)
	const secret = "projects/pay/secrets/web"
	w.secret(secret, certificatetest.Secret(t, time.Hour, "web.test"))
	w.route("web", "web.test", secret)
	w.put(func(ch *store.Change) {
		w.store.StreamRoutes.Put(ch, "projects/pay/streamRoutes/db", &gantryv1.StreamRoute{
			Name: "projects/pay/streamRoutes/db", Gateway: "gateways/main", ListenPort: 5432, App: "projects/pay/apps/db", Port: 5432, IdleSeconds: 9,
		}, store.Any)
	})
	served := func(c *ingressv1.GatewayConfig) bool { return len(c.GetCertificates()) == 1 }
	var first *ingressv1.GatewayConfig
	w.term(func() { first = w.await(served) })
	if n := first.GetNodes()[0]; !n.GetDrained() || first.GetMoreVips()[0].GetAddress() != "10.0.0.101" {
		t.Errorf("got %v", first)
	}
	if r := first.GetRoutes()[0]; r.GetRevision() != 3 || r.GetRules().GetTls().GetSecret() != secret {
		t.Errorf("got %v", r)
	}
	want := &ingressv1.StreamRoute{Name: "projects/pay/streamRoutes/db", ListenPort: 5432, App: "projects/pay/apps/db", Port: 5432, IdleSeconds: 9}
	if diff := cmp.Diff(want, first.GetStreamRoutes()[0], protocmp.Transform()); diff != "" {
		t.Errorf("stream route (-want +got):\n%s", diff)
	}
	certificate := first.GetCertificates()[0]
	if plain, err := w.key.Derive("gateway/main").Open(certificate.GetSealedKey(), []byte("web.test")); err != nil || !bytes.Contains(plain, []byte("PRIVATE KEY")) {
		t.Errorf("the node cannot open the key: %v", err)
	}

	// Another leader, and a route that comes and goes: the sealed key stays.
	w.term(func() {
		w.route("api", "api.test", "")
		second := w.await(func(c *ingressv1.GatewayConfig) bool { return len(c.GetRoutes()) == 2 })
		if diff := cmp.Diff(certificate, second.GetCertificates()[0], protocmp.Transform()); diff != "" || second.GetEpoch() <= first.GetEpoch() {
			t.Errorf("the key was sealed anew:\n%s", diff)
		}
		w.secret(secret, certificatetest.Secret(t, time.Hour, "web.test"))
		w.await(func(c *ingressv1.GatewayConfig) bool {
			return !bytes.Equal(c.GetCertificates()[0].GetChainPem(), certificate.GetChainPem())
		})
		// A secret that cannot be read any more takes nothing away.
		w.put(func(ch *store.Change) { w.store.Secrets.Delete(ch, secret, store.Any) })
		w.route("more", "more.test", "")
		if c := w.await(func(c *ingressv1.GatewayConfig) bool { return len(c.GetRoutes()) == 3 }); len(c.GetCertificates()) != 1 {
			t.Error("the certificate has gone with its secret")
		}
	})
}

// A configuration that says nothing new is not written: what wakes the
// publisher without changing anything leaves the key as it is.
func TestNothingIsWrittenInTheSteadyState(t *testing.T) {
	w := newWorld(t)
	w.secret("projects/pay/secrets/web", certificatetest.Secret(t, time.Hour, "web.test"))
	w.route("web", "web.test", "projects/pay/secrets/web")
	revision := func() int64 {
		item, err := w.store.Configs.Get(t.Context(), "main")
		if err != nil {
			t.Fatal(err)
		}
		return item.ModRevision
	}
	w.term(func() { w.await(func(c *ingressv1.GatewayConfig) bool { return len(c.GetCertificates()) == 1 }) })
	before := revision()
	w.term(func() {
		w.put(func(ch *store.Change) {
			w.store.Apps.Put(ch, "projects/pay/apps/new", &gantryv1.App{Name: "projects/pay/apps/new"}, store.Any)
		})
		// The pass that sees this is later than the one that saw the app.
		w.put(func(ch *store.Change) {
			w.store.Gateways.Put(ch, "gateways/second", &gantryv1.Gateway{Name: "gateways/second", Vip: "10.0.0.200"}, store.Any)
		})
		_ = etcdkv.WatchRaw(t.Context(), w.client, "/gantry-gateways/second/", 0, func(e etcdkv.RawEvent) error {
			if len(e.Value) > 0 {
				return context.Canceled
			}
			return nil
		})
	})
	if after := revision(); after != before {
		t.Errorf("the key was written at %d, %d before", after, before)
	}
}

// 10,000 routes with rules of all kinds fit into one key: etcd refuses requests
// of more than 1.5 MiB.
func TestTenThousandRoutesFit(t *testing.T) {
	w := newWorld(t)
	var routes []*gantryv1.Route
	for i := range 10_000 {
		project := fmt.Sprintf("projects/team-%d", i%40)
		routes = append(routes, &gantryv1.Route{
			Name: fmt.Sprintf("%s/routes/r-%d", project, i), Gateway: "gateways/main", Host: fmt.Sprintf("service-%x.team-%d.example.com", i*7919%65536, i%40),
			PathPrefix: "/api", PathMatch: gantryv1.PathMatch_PATH_MATCH_PREFIX, App: fmt.Sprintf("%s/apps/service-%d", project, i), Port: 8080, Revision: int32(i % 50),
			Rules: &gantryv1.HttpRules{
				Limits:         &gantryv1.Limits{MaxBodyBytes: int64(i) << 10, ReadSeconds: 30},
				RateLimit:      &gantryv1.RateLimit{RequestsPerSecond: int32(i%500 + 1), Burst: 20},
				RequestHeaders: &gantryv1.HeaderRules{Set: []*gantryv1.HeaderValue{{Name: "X-Team", Value: fmt.Sprintf("team-%d", i%40)}}},
				AllowCidrs:     []string{"10.0.0.0/8", fmt.Sprintf("192.168.%d.0/24", i%256)},
			},
		})
	}
	config := publish.Config(&gantryv1.Gateway{Name: "gateways/main", Vip: "10.0.0.100"}, routes, nil, nil)
	start := time.Now()
	w.put(func(ch *store.Change) { w.store.Configs.Put(ch, "main", config, store.Any) })
	r, err := w.client.Get(t.Context(), "/gantry-gateways/main/config")
	if err != nil {
		t.Fatal(err)
	}
	got := w.await(func(c *ingressv1.GatewayConfig) bool { return true })
	t.Logf("%d routes are %d KiB in etcd, written and read in %v", len(got.GetRoutes()), len(r.Kvs[0].Value)>>10, time.Since(start))
	if len(got.GetRoutes()) != 10_000 {
		t.Errorf("%d routes came back", len(got.GetRoutes()))
	}
}
