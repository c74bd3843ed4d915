package balancer

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	"pgregory.net/rapid"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fakeNginx keeps a table as the Lua does.
type fakeNginx struct {
	mu         sync.Mutex
	generation int64
	table      map[string]string
	pushes     int
}

func startFake(t *testing.T) (*fakeNginx, *Client) {
	t.Helper()
	socket := filepath.Join(t.TempDir(), "s")
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	f := &fakeNginx{table: map[string]string{}}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/status", f.status)
	mux.HandleFunc("POST /v1/table", f.take)
	server := &http.Server{Handler: mux, ReadHeaderTimeout: time.Second}
	done := make(chan struct{})
	go func() { defer close(done); _ = server.Serve(l) }()
	t.Cleanup(func() { _ = server.Close(); <-done })
	return f, NewClient(socket)
}

func (f *fakeNginx) status(w http.ResponseWriter, _ *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	_ = json.NewEncoder(w).Encode(Status{Generation: f.generation})
}

func (f *fakeNginx) take(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var c change
	if err := json.NewDecoder(r.Body).Decode(&c); err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	if !c.Full && c.Base != f.generation {
		w.WriteHeader(http.StatusConflict)
		return
	}
	maps.Copy(f.table, c.Set)
	for _, name := range c.Delete {
		delete(f.table, name)
	}
	if c.Keep != nil {
		keep := map[string]bool{}
		for _, name := range c.Keep {
			keep[name] = true
		}
		maps.DeleteFunc(f.table, func(name, _ string) bool { return !keep[name] })
	}
	f.generation, f.pushes = c.Generation, f.pushes+1
}

func (f *fakeNginx) restart() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.generation, f.table = 0, map[string]string{"stale/x:1": "{}"}
}

func table(n, variant int) Table {
	t := Table{}
	for i := range n {
		pods := []string{fmt.Sprintf("10.0.%d.%d", i%7, variant+1)}
		t[fmt.Sprintf("p/a%d:80", i)] = Upstream{Clusters: []Cluster{{Name: "site-a", Percent: 100, Port: 80, Pods: pods}}}
	}
	return t
}

// Nginx ends up with the wanted table whatever happens between the pushes.
func TestSyncerConverges(t *testing.T) {
	fake, client := startFake(t)
	rapid.Check(t, func(r *rapid.T) {
		var wanted Wanted
		s := NewSyncer(SyncConfig{
			Client: client, Wanted: func() (Wanted, bool) { return wanted, true }, Logger: slog.New(slog.DiscardHandler), Pushed: func() {},
		})
		for range rapid.IntRange(1, 6).Draw(r, "steps") {
			wanted.Table = table(rapid.SampledFrom([]int{0, 1, 5, 600}).Draw(r, "n"), rapid.IntRange(0, 3).Draw(r, "variant"))
			if rapid.Bool().Draw(r, "restart") {
				fake.restart()
			}
			s.try(context.Background())
			want, err := wanted.Table.encode(encoded{})
			if err != nil {
				r.Fatal(err)
			}
			if diff := cmp.Diff(want.texts, fake.table); diff != "" {
				r.Fatal(diff)
			}
		}
	})
}

// rule I6: an agent that knows nothing pushes nothing.
func TestSyncerWithoutConfigurationIsSilent(t *testing.T) {
	fake, client := startFake(t)
	s := NewSyncer(SyncConfig{
		Client: client, Wanted: func() (Wanted, bool) { return Wanted{}, false }, Logger: slog.New(slog.DiscardHandler), Pushed: func() {},
	})
	s.try(t.Context())
	if fake.pushes != 0 {
		t.Errorf("%d pushes", fake.pushes)
	}
}

func TestUnchangedIsNotANewGeneration(t *testing.T) {
	fake, client := startFake(t)
	pushed := 0
	s := NewSyncer(SyncConfig{
		Client: client, Wanted: func() (Wanted, bool) { return Wanted{Table: table(3, 0)}, true },
		Logger: slog.New(slog.DiscardHandler), Pushed: func() { pushed++ },
	})
	for range 3 {
		s.try(t.Context())
	}
	if fake.generation != 1 || fake.pushes != 3 || pushed != 1 {
		t.Errorf("generation %d after %d pushes, %d told", fake.generation, fake.pushes, pushed)
	}
}

func TestSnapshotKeepsEndpoints(t *testing.T) {
	dir := t.TempDir()
	if got, err := LoadEndpoints(dir); got != nil || err != nil {
		t.Errorf("%v, %v", got, err)
	}
	want := map[string]map[string][]string{"site-a": {"projects/p/apps/a": {"10.0.0.1"}}}
	if err := SaveSnapshot(dir, Wanted{Table: table(1, 0)}, want); err != nil {
		t.Fatal(err)
	}
	got, err := LoadEndpoints(dir)
	if err != nil || cmp.Diff(want, got) != "" {
		t.Errorf("%v, %v", got, err)
	}
}

func TestTotal(t *testing.T) {
	all := map[Key]Counters{
		{Upstream: "p/a:80", Cluster: "site-a"}: {Requests: map[string]int64{"2xx": 5, "5xx": 2, "lost": 1}},
		{Upstream: "p/b:80", Cluster: "site-a"}: {Requests: map[string]int64{"2xx": 10}},
		{Upstream: "p/b:80", Cluster: "site-b"}: {Requests: map[string]int64{"2xx": 10}},
	}
	if requests, failed := Total(all, "site-a"); requests != 18 || failed != 3 {
		t.Errorf("%d, %d", requests, failed)
	}
}
