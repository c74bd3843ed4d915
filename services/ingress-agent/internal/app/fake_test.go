package app

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gantry.dev/pkg/mtls/mtlstest"
	ipaasv1 "gantry.dev/proto/gen/gantry/ipaas/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
)

// fakeIpaas behaves as the endpoints watch of an ipaas.
type fakeIpaas struct {
	ipaasv1.UnimplementedIpaasServiceServer

	name, address, identity string
	ca                      *mtlstest.CA
	server                  *grpc.Server

	mu      sync.Mutex
	apps    map[string][]string
	changed chan struct{}
	// Streams send this identity and, if held, no bookmark.
	lie  string
	held bool
}

func newIpaas(t *testing.T, ca *mtlstest.CA, name string) *fakeIpaas {
	t.Helper()
	f := &fakeIpaas{name: name, identity: "uid-" + name, ca: ca, apps: map[string][]string{}, changed: make(chan struct{})}
	tlsConfig, err := ca.Issue("ipaas." + name).Server()
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f.address = l.Addr().String()
	f.server = grpc.NewServer(grpc.Creds(credentials.NewTLS(tlsConfig)))
	ipaasv1.RegisterIpaasServiceServer(f.server, f)
	done := make(chan struct{})
	go func() { defer close(done); _ = f.server.Serve(l) }()
	t.Cleanup(func() { f.server.Stop(); <-done })
	return f
}

// set changes the ready endpoints of the web app.
func (f *fakeIpaas) set(addresses ...string) { f.setApp(webApp, addresses...) }

func (f *fakeIpaas) setApp(app string, addresses ...string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.apps[app] = slices.Clone(addresses)
	f.wake()
}

func (f *fakeIpaas) wake() {
	close(f.changed)
	f.changed = make(chan struct{})
}

func (f *fakeIpaas) state() (apps map[string][]string, changed chan struct{}, identity string, held bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	identity = f.identity
	if f.lie != "" {
		identity = f.lie
	}
	return maps.Clone(f.apps), f.changed, identity, f.held
}

func (f *fakeIpaas) WatchEndpoints(_ *ipaasv1.WatchEndpointsRequest, s grpc.ServerStreamingServer[ipaasv1.WatchEndpointsResponse]) error {
	for {
		apps, changed, identity, held := f.state()
		var err error
		for app, addresses := range apps {
			e := &ipaasv1.WatchEndpointsResponse_AppEndpoints{App: app, Addresses: addresses}
			err = cmp.Or(err, s.Send(&ipaasv1.WatchEndpointsResponse{Endpoints: e, Identity: identity}))
		}
		if err == nil && !held {
			err = s.Send(&ipaasv1.WatchEndpointsResponse{Bookmark: true, Identity: identity})
		}
		if err != nil {
			return err
		}
		select {
		case <-changed:
		case <-s.Context().Done():
			return s.Context().Err()
		}
	}
}

// A fakePod is a small web server on a loopback address of its own.
type fakePod struct {
	server *http.Server
	served atomic.Int64
	done   chan struct{}
}

// startPods runs one pod per address until the test ends or it is killed.
func startPods(t *testing.T, port int, addresses ...string) map[string]*fakePod {
	t.Helper()
	pods := map[string]*fakePod{}
	for _, ip := range addresses {
		p := &fakePod{}
		p.serve(t, port, ip, func(w http.ResponseWriter, r *http.Request) {
			p.served.Add(1)
			_, _ = io.Copy(io.Discard, r.Body)
			time.Sleep(time.Millisecond)
			fmt.Fprint(w, ip)
		})
		pods[ip] = p
	}
	return pods
}

// startHandler runs a pod that behaves as the handler does.
func startHandler(t *testing.T, port int, ip string, handler http.HandlerFunc) {
	t.Helper()
	(&fakePod{}).serve(t, port, ip, handler)
}

func (p *fakePod) serve(t *testing.T, port int, ip string, handler http.HandlerFunc) {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", fmt.Sprintf("%s:%d", ip, port))
	if err != nil {
		t.Fatal(err)
	}
	p.done = make(chan struct{})
	p.server = &http.Server{ReadHeaderTimeout: time.Minute, Handler: handler}
	go func() { defer close(p.done); _ = p.server.Serve(l) }()
	t.Cleanup(p.kill)
}

// kill closes the listener and all connections at once.
func (p *fakePod) kill() {
	_ = p.server.Close()
	<-p.done
}

// load sends requests over keep-alive connections, half GET, half POST.
type load struct {
	t      *testing.T
	cancel context.CancelFunc
	wg     sync.WaitGroup
	total  atomic.Int64

	mu       sync.Mutex
	failures []string
	answers  map[string]int
	slowest  time.Duration
}

func startLoad(t *testing.T, url string, clients int) *load {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	l := &load{t: t, cancel: cancel, answers: map[string]int{}}
	for i := range clients {
		l.wg.Go(func() { l.client(ctx, url, i) })
	}
	t.Cleanup(func() { cancel(); l.wg.Wait() })
	return l
}

func (l *load) client(ctx context.Context, url string, i int) {
	transport := &http.Transport{MaxIdleConnsPerHost: 1, DisableCompression: true}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport, Timeout: 20 * time.Second}
	for n := i; ctx.Err() == nil; n++ {
		start := time.Now()
		body, err := do(client, url, n%2 == 0)
		l.note(body, err, time.Since(start))
	}
}

func do(client *http.Client, url string, get bool) (string, error) {
	method, body := http.MethodGet, io.Reader(nil)
	if !get {
		// A body that cannot be rewound: the client itself never repeats it.
		method, body = http.MethodPost, io.MultiReader(io.LimitReader(zeros{}, 100))
	}
	request, err := http.NewRequestWithContext(context.Background(), method, url, body)
	if err != nil {
		return "", err
	}
	request.Host = webHost
	response, err := client.Do(request)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = errors.New(method + " " + response.Status + ": " + string(text))
	}
	return string(text), err
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func (l *load) note(body string, err error, took time.Duration) {
	l.total.Add(1)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.slowest = max(l.slowest, took)
	if err != nil {
		l.failures = append(l.failures, err.Error())
		return
	}
	l.answers[body]++
}

// end stops the load and gives what it saw.
func (l *load) end() (total int64, failures []string) {
	l.cancel()
	l.wg.Wait()
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.total.Load(), l.failures
}

// none fails the test when a request was lost.
func (l *load) none() {
	l.t.Helper()
	total, failures := l.end()
	if len(failures) > 0 {
		l.t.Errorf("%d of %d requests failed, the first: %v", len(failures), total, failures[:min(3, len(failures))])
	}
	l.t.Logf("%d requests, %d failed, slowest %s", total, len(failures), l.slowest)
}
