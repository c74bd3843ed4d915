package source

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"gantry.dev/pkg/etcdkv"
	"gantry.dev/pkg/etcdkv/etcdtest"
	ingressv1 "gantry.dev/proto/gen/gantry/ingress/v1"
	"github.com/prometheus/client_golang/prometheus"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/protobuf/proto"
)

func config(epoch, generation int64) *ingressv1.GatewayConfig {
	return &ingressv1.GatewayConfig{Gateway: "main", Epoch: epoch, Generation: generation}
}

func counter() prometheus.Counter { return prometheus.NewCounter(prometheus.CounterOpts{Name: "x"}) }

// rule S2: the fence holds over a restart.
func TestFence(t *testing.T) {
	dir := t.TempDir()
	for _, c := range []struct {
		epoch, generation int64
		want              bool
	}{{5, 1, true}, {5, 1, true}, {5, 3, true}, {5, 2, false}, {4, 9, false}, {6, 1, true}, {5, 99, false}, {6, 2, true}} {
		f, err := OpenFence(dir, counter())
		if err != nil {
			t.Fatal(err)
		}
		if err := f.Admit(config(c.epoch, c.generation)); (err == nil) != c.want {
			t.Errorf("epoch %d generation %d: %v", c.epoch, c.generation, err)
		}
	}
	f, _ := OpenFence(dir, counter())
	if f.Epoch() != 6 {
		t.Errorf("epoch %d", f.Epoch())
	}
}

// A full or broken disk refuses changes.
func TestFenceWithoutDisk(t *testing.T) {
	f, err := OpenFence(filepath.Join(t.TempDir(), "none"), counter())
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Admit(config(1, 1)); err == nil || f.Epoch() != 0 {
		t.Errorf("admitted without a disk: %v", err)
	}
}

func TestSaveAndLoad(t *testing.T) {
	dir := t.TempDir()
	if c, err := Load(dir); c != nil || err != nil {
		t.Errorf("%v, %v", c, err)
	}
	want := config(1, 2)
	want.Routes = []*ingressv1.Route{{Name: "projects/p/routes/r", Host: "a.example"}}
	if err := Save(dir, want); err != nil {
		t.Fatal(err)
	}
	if got, err := Load(dir); err != nil || !proto.Equal(want, got) {
		t.Errorf("%v, %v", got, err)
	}
	if err := os.WriteFile(filepath.Join(dir, configFile), []byte("{half"), 0o600); err != nil {
		t.Fatal(err)
	}
	if c, err := Load(dir); c != nil || err == nil {
		t.Errorf("half a file was read as %v", c)
	}
}

// rule I6: a deleted key changes nothing; another gateway's is refused.
func TestWatch(t *testing.T) {
	client := etcdtest.Start(t).Client(t)
	fence, err := OpenFence(t.TempDir(), counter())
	if err != nil {
		t.Fatal(err)
	}
	taken := make(chan int64, 10)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		done <- Watch(ctx, Config{
			Client: client, Gateway: "main", Fence: fence, Logger: slog.New(slog.DiscardHandler),
			Take: func(c *ingressv1.GatewayConfig) { taken <- c.GetGeneration() }, Problem: func(error) {},
		})
	}()
	other := config(1, 50)
	other.Gateway = "other"
	put(t, client, config(1, 1))
	expect(t, taken, 1)
	put(t, client, other)
	if _, err := client.Delete(t.Context(), Key("main")); err != nil {
		t.Fatal(err)
	}
	put(t, client, config(1, 2))
	expect(t, taken, 2)
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// A configuration that comes while the disk takes nothing is in effect soon
// after it does again.
func TestWatchWaitsForTheDisk(t *testing.T) {
	client := etcdtest.Start(t).Client(t)
	dir := filepath.Join(t.TempDir(), "not-there")
	fence, err := OpenFence(dir, counter())
	if err != nil {
		t.Fatal(err)
	}
	taken, problems := make(chan int64, 10), make(chan error, 100)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		done <- Watch(ctx, Config{
			Client: client, Gateway: "main", Fence: fence, Logger: slog.New(slog.DiscardHandler),
			Take: func(c *ingressv1.GatewayConfig) { taken <- c.GetGeneration() }, Problem: func(err error) { problems <- err },
		})
	}()
	put(t, client, config(1, 1))
	if err := <-problems; err == nil {
		t.Error("nothing is wrong without a disk")
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	expect(t, taken, 1)
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	for len(problems) > 1 {
		<-problems
	}
	if err := <-problems; err != nil {
		t.Errorf("the problem stays: %v", err)
	}
}

func put(t *testing.T, client *clientv3.Client, c *ingressv1.GatewayConfig) {
	t.Helper()
	op, err := etcdkv.Put(Key("main"), c)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.Do(t.Context(), op); err != nil {
		t.Fatal(err)
	}
}

func expect(t *testing.T, taken <-chan int64, want int64) {
	t.Helper()
	select {
	case got := <-taken:
		if got != want {
			t.Errorf("took generation %d, want %d", got, want)
		}
	case <-time.After(10 * time.Second):
		t.Fatalf("generation %d did not come", want)
	}
}
