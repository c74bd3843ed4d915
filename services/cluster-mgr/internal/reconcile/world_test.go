package reconcile

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"testing"
	"time"

	"gantry.dev/pkg/etcdkv/etcdtest"
	"gantry.dev/pkg/leader"
	"gantry.dev/pkg/seal"
	ipaasv1 "gantry.dev/proto/gen/gantry/ipaas/v1"
	gantryv1 "gantry.dev/proto/gen/gantry/v1"
	"gantry.dev/services/cluster-mgr/internal/clusters"
	"gantry.dev/services/cluster-mgr/internal/observe"
	"gantry.dev/services/cluster-mgr/internal/store"
	"gantry.dev/services/cluster-mgr/internal/vault"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/test/bufconn"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// world is a store and some cells, with one leader at a time.
type world struct {
	t        *testing.T
	etcd     *etcdtest.Server
	client   *clientv3.Client
	store    *store.Store
	cells    map[string]*cell
	vault    *vault.Vault
	pool     *clusters.Pool
	observer *observe.Observer
	// Apps that a registry does not have, "site-a web".
	noImage map[string]bool
	loop    *Loop
	end     func()
	now     time.Time
}

func newWorld(t *testing.T, etcd *etcdtest.Server, cells map[string]*cell) *world {
	t.Helper()
	w := &world{t: t, etcd: etcd, client: etcd.Client(t), cells: cells, noImage: map[string]bool{}, now: time.Now()}
	w.store = store.New(w.client)
	w.vault = vault.New(w.store, seal.New())
	_, err := w.client.Delete(t.Context(), "/gantry", clientv3.WithPrefix())
	w.ok(err)
	servers := map[string]*bufconn.Listener{}
	change := store.NewChange()
	for name, c := range cells {
		servers["ipaas."+name] = serve(t, c)
		w.store.Clusters.Put(change, "clusters/"+name, &gantryv1.Cluster{
			Name: "clusters/" + name, Identity: c.identity, Registry: name + ":5000", TrafficPercent: 100,
		}, 0)
	}
	w.commit(change)
	w.pool = clusters.NewDialing(func(commonName, _ string) (grpc.ClientConnInterface, error) {
		listener := servers[commonName]
		return grpc.NewClient("passthrough:///"+commonName, grpc.WithTransportCredentials(insecure.NewCredentials()),
			grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return listener.DialContext(ctx) }))
	})
	t.Cleanup(w.pool.Close)
	w.observer, err = observe.New(observe.Config{Store: w.store, Pool: w.pool, Logger: slog.New(slog.DiscardHandler)})
	w.ok(err)
	w.elect(w.store)
	return w
}

func serve(t *testing.T, c *cell) *bufconn.Listener {
	listener, server := bufconn.Listen(1<<20), grpc.NewServer()
	ipaasv1.RegisterIpaasServiceServer(server, c)
	done := make(chan struct{})
	go func() { defer close(done); _ = server.Serve(listener) }()
	t.Cleanup(func() { server.Stop(); <-done })
	return listener
}

// elect ends the term, if there is one, and begins the next with a loop that
// remembers nothing and writes through s.
func (w *world) elect(s *store.Store) {
	w.t.Helper()
	if w.end != nil {
		w.end()
	}
	term, end := lead(w.t, w.client)
	w.end = end
	var err error
	w.loop, err = New(Config{Store: s, Pool: w.pool, Observer: w.observer, Images: w.there, Vault: w.vault, Logger: slog.New(slog.DiscardHandler)}, term)
	w.ok(err)
}

// lead wins an election; end gives it up.
func lead(t *testing.T, client *clientv3.Client) (leader.Term, func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	terms, done := make(chan leader.Term, 1), make(chan struct{})
	go func() {
		defer close(done)
		_ = leader.Run(ctx, leader.Config{Client: client, Prefix: "/gantry/leader/test", Name: "test", Logger: slog.New(slog.DiscardHandler)},
			func(ctx context.Context, term leader.Term) error {
				terms <- term
				<-ctx.Done()
				return nil
			})
	}()
	end := sync.OnceFunc(func() { cancel(); <-done })
	t.Cleanup(end)
	select {
	case term := <-terms:
		return term, end
	case <-time.After(30 * time.Second):
		t.Fatal("nobody leads")
		return leader.Term{}, nil
	}
}

func (w *world) there(c *gantryv1.Cluster, app *gantryv1.App) (bool, string) {
	if w.noImage[c.GetName()[len("clusters/"):]+" "+short(app.GetName())] {
		return false, "has no image in its registry"
	}
	return true, ""
}

func (w *world) ok(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) commit(change *store.Change) {
	w.t.Helper()
	_, err := w.store.Commit(w.t.Context(), change)
	w.ok(err)
}

// deploy stores the next release of an app with so many replicas wanted.
func (w *world) deploy(name string, desired int, spec ...func(*gantryv1.AppSpec)) {
	w.t.Helper()
	w.ok(deploy(w.t.Context(), w.store, appOf(name, spec...), desired))
}

func appOf(name string, spec ...func(*gantryv1.AppSpec)) *gantryv1.App {
	app := &gantryv1.App{Name: "projects/pay/apps/" + name, Spec: &gantryv1.AppSpec{
		Image: name + ":v1", Resources: &gantryv1.Resources{Cpu: "250m", Memory: "64Mi"},
	}}
	for _, f := range spec {
		f(app.GetSpec())
	}
	return app
}

// deploy is what the API does.
func deploy(ctx context.Context, s *store.Store, app *gantryv1.App, desired int) error {
	last, _ := s.Apps.Get(ctx, app.GetName())
	assignment, _ := s.Assignments.Get(ctx, app.GetName())
	app.Status = &gantryv1.AppStatus{Release: last.Value.GetStatus().GetRelease() + 1, Digest: "sha256:ab"}
	assignment.Value.App, assignment.Value.Desired = app.GetName(), desired
	change := store.NewChange()
	s.Apps.Put(change, app.GetName(), app, last.ModRevision)
	s.Assignments.Put(change, app.GetName(), assignment.Value, assignment.ModRevision)
	_, err := s.Commit(ctx, change)
	return err
}

// amend changes an assignment as others than the reconciler do.
func (w *world) amend(name string, f func(*store.Assignment)) {
	w.t.Helper()
	item, err := w.store.Assignments.Get(w.t.Context(), "projects/pay/apps/"+name)
	w.ok(err)
	f(&item.Value)
	change := store.NewChange()
	w.store.Assignments.Put(change, item.Name, item.Value, item.ModRevision)
	w.commit(change)
}

func (w *world) assignment(name string) store.Assignment {
	w.t.Helper()
	item, err := w.store.Assignments.Get(w.t.Context(), "projects/pay/apps/"+name)
	w.ok(err)
	return item.Value
}

// shares is "site-a 2, site-b 1" of an app.
func (w *world) shares(name string) string {
	w.t.Helper()
	out := ""
	for i, s := range w.assignment(name).Shares {
		if i > 0 {
			out += ", "
		}
		out += fmt.Sprintf("%s %d", s.Cluster[len("clusters/"):], s.Replicas)
	}
	return out
}

// pass looks and makes a pass; it gives the pass's error.
func (w *world) pass() error {
	w.observer.Look(w.t.Context())
	return w.loop.pass(w.t.Context(), w.now)
}

// settle makes passes, with all pods starting at once, until nothing is left
// to do.
func (w *world) settle() {
	w.t.Helper()
	for range 8 {
		w.ok(w.pass())
		for _, c := range w.cells {
			c.settle()
		}
	}
}

func (w *world) expect(what, got, want string) {
	w.t.Helper()
	if got != want {
		w.t.Errorf("%s: got %s, want %s", what, got, want)
	}
}
