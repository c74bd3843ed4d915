// Package source gives the gateway's desired state: from etcd, and from disk
// when etcd is away. It never gives less than it knew (rule I6), nor what an
// older leader wrote (rule S2).
package source

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"gantry.dev/pkg/etcdkv"
	ingressv1 "gantry.dev/proto/gen/gantry/ingress/v1"
	"gantry.dev/services/ingress-agent/internal/disk"
	"github.com/prometheus/client_golang/prometheus"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/protobuf/encoding/protojson"
)

// Key is where cluster-mgr writes a gateway's configuration.
func Key(gateway string) string { return "/gantry-gateways/" + gateway + "/config" }

// errStale says that a configuration is older than one that was seen.
var errStale = errors.New("an older configuration")

// retryPause follows a configuration that could not be taken for want of disk.
const retryPause = 2 * time.Second

// A Fence lets through only what is not older than what was seen, over
// restarts too; safe for concurrent use.
type Fence struct {
	stateDir string
	refused  prometheus.Counter

	mu   sync.Mutex
	seen seen
}

// Names of the files below the state directory.
const (
	epochFile  = "epoch.json"
	configFile = "config.json"
)

// OpenFence reads the largest epoch seen.
func OpenFence(stateDir string, refused prometheus.Counter) (*Fence, error) {
	f := &Fence{stateDir: stateDir, refused: refused}
	var s seen
	ok, err := load(filepath.Join(stateDir, epochFile), func(b []byte) error { return json.Unmarshal(b, &s) })
	if err != nil || !ok {
		return f, err
	}
	f.seen = s
	return f, nil
}

// seen is the newest configuration that was let through.
type seen struct {
	Epoch      int64 `json:"epoch"`
	Generation int64 `json:"generation"`
}

// Epoch is the largest leader epoch seen.
func (f *Fence) Epoch() int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.seen.Epoch
}

// Admit persists a newer epoch or generation and refuses an older one. The
// same again is let through.
func (f *Fence) Admit(c *ingressv1.GatewayConfig) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := seen{Epoch: c.GetEpoch(), Generation: c.GetGeneration()}
	if now.Epoch < f.seen.Epoch || now.Epoch == f.seen.Epoch && now.Generation < f.seen.Generation {
		f.refused.Inc()
		return fmt.Errorf("%w: generation %d of epoch %d after generation %d of epoch %d",
			errStale, now.Generation, now.Epoch, f.seen.Generation, f.seen.Epoch)
	}
	if now == f.seen {
		return nil
	}
	text, err := json.Marshal(now)
	if err != nil {
		return fmt.Errorf("encode the epoch: %w", err)
	}
	if err := disk.Replace(filepath.Join(f.stateDir, epochFile), text); err != nil {
		return err
	}
	f.seen = now
	return nil
}

// Save keeps the last good configuration.
func Save(stateDir string, c *ingressv1.GatewayConfig) error {
	text, err := protojson.MarshalOptions{Multiline: true}.Marshal(c)
	if err != nil {
		return fmt.Errorf("encode the configuration: %w", err)
	}
	return disk.Replace(filepath.Join(stateDir, configFile), text)
}

// Load gives the last good configuration; nil when there is none.
func Load(stateDir string) (*ingressv1.GatewayConfig, error) {
	c := &ingressv1.GatewayConfig{}
	options := protojson.UnmarshalOptions{DiscardUnknown: true}
	ok, err := load(filepath.Join(stateDir, configFile), func(b []byte) error { return options.Unmarshal(b, c) })
	if err != nil || !ok {
		return nil, err
	}
	return c, nil
}

func load(path string, decode func([]byte) error) (bool, error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("read %s: %w", path, err)
	}
	if err := decode(text); err != nil {
		return false, fmt.Errorf("decode %s: %w", path, err)
	}
	return true, nil
}

// Config is what Watch needs; all is required.
type Config struct {
	Client  *clientv3.Client
	Gateway string
	Fence   *Fence
	Logger  *slog.Logger
	// Take is called with each configuration to bring into effect; it must
	// not block.
	Take func(*ingressv1.GatewayConfig)
	// Problem is told why a configuration waits for the disk, and nil when it
	// does not any more.
	Problem func(error)
}

// Watch follows the gateway's key until ctx ends. A missing or deleted key
// changes nothing.
func Watch(ctx context.Context, c Config) error {
	key := Key(c.Gateway)
	create := func() *ingressv1.GatewayConfig { return &ingressv1.GatewayConfig{} }
	err := etcdkv.Watch(ctx, c.Client, key, create, 0, func(e etcdkv.Event[*ingressv1.GatewayConfig]) error {
		switch {
		case e.Synced || e.Key != key:
		case e.Deleted:
			c.Logger.Warn("the gateway's configuration was deleted; what was served stays", "key", key)
		default:
			c.take(ctx, e.Value)
		}
		return nil
	})
	if ctx.Err() != nil {
		return nil //nolint:nilerr // the end that was asked for
	}
	return fmt.Errorf("watch %s: %w", key, err)
}

// take lets a configuration through, when the disk is full as soon as it is not
// any more: what is served until then stays.
func (c Config) take(ctx context.Context, config *ingressv1.GatewayConfig) {
	if config.GetGateway() != c.Gateway {
		c.Logger.Error("the configuration is of another gateway; refused", "want", c.Gateway, "got", config.GetGateway())
		return
	}
	for {
		err := c.Fence.Admit(config)
		switch {
		case err == nil:
			c.Problem(nil)
			c.Take(config)
			return
		case errors.Is(err, errStale):
			c.Logger.Warn("a configuration was refused", "error", err.Error())
			return
		}
		c.Problem(err)
		c.Logger.Error("a configuration waits: it cannot be noted on disk", "generation", config.GetGeneration(), "error", err.Error())
		select {
		case <-ctx.Done():
			return
		case <-time.After(retryPause):
		}
	}
}
