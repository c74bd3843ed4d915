package endpoints

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"time"

	ipaasv1 "gantry.dev/proto/gen/gantry/ipaas/v1"
	"google.golang.org/grpc"
)

// A Cluster is whom to ask for its endpoints.
type Cluster struct {
	Name string
	// host:port of its ipaas.
	Address string
	// UID of its kube-system namespace; answers of another are ignored.
	// Empty: any.
	Identity string
}

// Config is what NewWatcher needs; all is required.
type Config struct {
	Store *Store
	// Dial opens a connection to a cluster's ipaas, checking its name.
	Dial   func(Cluster) (*grpc.ClientConn, error)
	Logger *slog.Logger
}

const (
	// silence ends a stream that has sent nothing, not even a bookmark
	// (every 10 s).
	silence    = 25 * time.Second
	backoffMin = 100 * time.Millisecond
	backoffMax = 2 * time.Second
)

// Watcher follows the clusters of a configuration.
type Watcher struct {
	config  Config
	running map[string]*follower
	wg      sync.WaitGroup
}

// NewWatcher prepares a Watcher; Update starts it.
func NewWatcher(c Config) *Watcher {
	return &Watcher{config: c, running: map[string]*follower{}}
}

// Update follows exactly these clusters for these apps until ctx ends.
// Streams that need no change go on. It must not run at the same time as
// itself.
func (w *Watcher) Update(ctx context.Context, clusters []Cluster, apps []string) {
	keep := map[string]bool{}
	for _, c := range clusters {
		keep[c.Name] = true
		old := w.running[c.Name]
		if old != nil && old.cluster == c && slices.Equal(old.apps, apps) {
			continue
		}
		if old != nil {
			old.stop()
		}
		w.running[c.Name] = w.start(ctx, c, apps)
	}
	for name, f := range w.running {
		if !keep[name] {
			f.stop()
			delete(w.running, name)
		}
	}
	w.config.Store.forget(keep)
}

// Wait returns when all streams have ended, after the context given to Update.
func (w *Watcher) Wait() { w.wg.Wait() }

func (w *Watcher) start(ctx context.Context, c Cluster, apps []string) *follower {
	ctx, cancel := context.WithCancel(ctx)
	f := &follower{config: w.config, cluster: c, apps: slices.Clone(apps), cancel: cancel, done: make(chan struct{})}
	w.wg.Go(func() {
		defer close(f.done)
		f.run(ctx)
	})
	return f
}

// A follower keeps one stream to one cluster.
type follower struct {
	config  Config
	cluster Cluster
	apps    []string
	cancel  context.CancelFunc
	done    chan struct{}
}

func (f *follower) stop() {
	f.cancel()
	<-f.done
}

// run opens the stream again and again; what was known stays meanwhile.
func (f *follower) run(ctx context.Context) {
	log := f.config.Logger.With("cluster", f.cluster.Name, "ipaas", f.cluster.Address)
	backoff, quiet := backoffMin, false
	for ctx.Err() == nil {
		whole, err := f.follow(ctx)
		f.config.Store.setConnected(f.cluster.Name, false)
		if ctx.Err() != nil {
			return
		}
		if whole {
			backoff, quiet = backoffMin, false
		}
		if !quiet {
			log.Warn("the endpoints stream broke; the last known endpoints stay", "error", err.Error())
			quiet = true
		}
		select {
		case <-ctx.Done():
		case <-time.After(backoff):
		}
		backoff = min(2*backoff, backoffMax)
	}
}

// follow reads one stream until it breaks; whole tells whether it got as far
// as the bookmark.
func (f *follower) follow(ctx context.Context) (whole bool, err error) {
	conn, err := f.config.Dial(f.cluster)
	if err != nil {
		return false, err
	}
	defer conn.Close()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	watchdog := time.AfterFunc(silence, func() { cancel(errors.New("the stream is silent")) })
	defer watchdog.Stop()
	stream, err := ipaasv1.NewIpaasServiceClient(conn).WatchEndpoints(ctx, &ipaasv1.WatchEndpointsRequest{Apps: f.apps})
	if err != nil {
		return false, fmt.Errorf("open the stream: %w", err)
	}
	// The list so far; nil after the bookmark.
	list := map[string][]string{}
	for {
		m, err := stream.Recv()
		if err != nil {
			return list == nil, errors.Join(err, context.Cause(ctx))
		}
		watchdog.Reset(silence)
		if list, err = f.take(m, list); err != nil {
			return list == nil, err
		}
	}
}

// take handles one message and gives the list so far.
func (f *follower) take(m *ipaasv1.WatchEndpointsResponse, list map[string][]string) (map[string][]string, error) {
	if f.cluster.Identity != "" && m.GetIdentity() != f.cluster.Identity {
		return list, fmt.Errorf("%s answers for another cluster: identity %q, want %q", f.cluster.Address, m.GetIdentity(), f.cluster.Identity)
	}
	if e := m.GetEndpoints(); e != nil && slices.Contains(f.apps, e.GetApp()) {
		addresses := valid(e.GetAddresses())
		if list == nil {
			f.config.Store.set(f.cluster.Name, e.GetApp(), addresses)
		} else {
			list[e.GetApp()] = addresses
		}
	}
	if !m.GetBookmark() || list == nil {
		return list, nil
	}
	f.config.Store.replace(f.cluster.Name, f.complete(list))
	f.config.Store.setConnected(f.cluster.Name, true)
	f.config.Logger.Info("endpoints are followed", "cluster", f.cluster.Name, "apps", len(list))
	return nil, nil
}

// complete keeps the last known endpoints of an app that a whole list does not
// mention: not mentioned is not empty.
func (f *follower) complete(list map[string][]string) map[string][]string {
	known := f.config.Store.Snapshot()[f.cluster.Name]
	for _, app := range f.apps {
		if _, ok := list[app]; !ok && known[app] != nil {
			list[app] = known[app]
		}
	}
	return list
}

// valid keeps what is an IPv4 address, in order, each once; nothing else
// reaches the balancer.
func valid(addresses []string) []string {
	out := make([]string, 0, len(addresses))
	for _, a := range addresses {
		ip, err := netip.ParseAddr(a)
		if err == nil && ip.Is4() && !ip.IsUnspecified() && ip.String() == a {
			out = append(out, a)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}
