package load

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gantry.dev/pkg/fault"
	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
)

const serveVariable = "GANTRY_TEST_LOAD_SERVE"

// TestMain lets the test binary be its own load generator.
func TestMain(m *testing.M) {
	if os.Getenv(serveVariable) != "" {
		if err := Serve(context.Background(), os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}

// moody is a server that treats every tenth request badly, in each way, and
// counts what it has done.
type moody struct {
	mu     sync.Mutex
	seen   int
	counts map[Class]int
	burns  map[string]int
	hosts  map[string]int
}

func (m *moody) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	switch m.next(r) {
	case ClassReset:
		c, _, err := w.(http.Hijacker).Hijack()
		if err == nil {
			_ = c.(*net.TCPConn).SetLinger(0)
			_ = c.Close()
		}
	case ClassServer:
		http.Error(w, "no", http.StatusBadGateway)
	case ClassTimeout:
		<-r.Context().Done()
	case ClassOther:
		http.NotFound(w, r)
	default:
		_, _ = io.WriteString(w, `{"pod":"p1","cluster":"site-a","version":"v1"}`)
	}
}

func (m *moody) next(r *http.Request) Class {
	m.mu.Lock()
	defer m.mu.Unlock()
	class := map[int]Class{2: ClassReset, 4: ClassServer, 6: ClassTimeout, 8: ClassOther}[m.seen%10]
	m.seen++
	m.counts[class]++
	m.burns[r.URL.Query().Get("burn")]++
	m.hosts[r.Host]++
	return class
}

func newMoody() *moody {
	return &moody{counts: map[Class]int{}, burns: map[string]int{}, hosts: map[string]int{}}
}

func serve(t *testing.T, h http.Handler) string {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return strings.TrimPrefix(s.URL, "http://")
}

func start(t *testing.T, cfg Config) *Run {
	t.Helper()
	r, err := Start(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestCountsAreExact(t *testing.T) {
	server := newMoody()
	r := start(t, Config{Address: serve(t, server), Host: "hello.demo.test", Connections: 4, Rate: 100, Timeout: time.Second, Phase: "one"})
	time.Sleep(1200 * time.Millisecond)
	if err := r.Stop(); err != nil {
		t.Fatal(err)
	}
	requests, failed := Count(r.Buckets())
	good := server.counts[""]
	if requests != server.seen || failed != server.seen-good || good == 0 {
		t.Errorf("counted %d requests, %d failed; the server saw %d, answered %d", requests, failed, server.seen, good)
	}
	delete(server.counts, "")
	if diff := cmp.Diff(server.counts, Classes(r.Buckets())); diff != "" {
		t.Errorf("classes (-server +counted):\n%s", diff)
	}
	if diff := cmp.Diff(map[string]int{"site-a": good}, Answered(r.Buckets())); diff != "" {
		t.Errorf("by cluster:\n%s", diff)
	}
	if diff := cmp.Diff(map[string]int{"hello.demo.test": server.seen}, server.hosts); diff != "" {
		t.Errorf("hosts:\n%s", diff)
	}
}

// net/http would send the GETs again and count nothing.
func TestLossOnAReusedConnectionIsNotHidden(t *testing.T) {
	var seen, broken atomic.Int64
	used := sync.Map{}
	address := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen.Add(1)
		if _, again := used.LoadOrStore(r.RemoteAddr, true); again {
			broken.Add(1)
			c, _, err := w.(http.Hijacker).Hijack()
			if err == nil {
				_ = c.Close()
			}
			return
		}
		_, _ = io.WriteString(w, `{}`)
	}))
	r := start(t, Config{Address: address, Connections: 2, Rate: 100})
	time.Sleep(500 * time.Millisecond)
	if err := r.Stop(); err != nil {
		t.Fatal(err)
	}
	requests, failed := Count(r.Buckets())
	if int64(requests) != seen.Load() || int64(failed) != broken.Load() || failed == 0 {
		t.Errorf("counted %d requests, %d failed; the server saw %d, broke %d", requests, failed, seen.Load(), broken.Load())
	}
	for _, b := range r.Buckets() {
		for _, f := range b.Failures {
			if f.Class != ClassReset || !f.Reused {
				t.Errorf("unexpected failure %+v", f)
			}
		}
	}
}

func TestAConnectionTheServerEndedIsNotUsed(t *testing.T) {
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `{}`)
	}))
	s.Config.IdleTimeout = 20 * time.Millisecond
	s.Start()
	defer s.Close()
	r := start(t, Config{Address: strings.TrimPrefix(s.URL, "http://"), Connections: 1, Rate: 5})
	time.Sleep(900 * time.Millisecond)
	if err := r.Stop(); err != nil {
		t.Fatal(err)
	}
	if requests, failed := Count(r.Buckets()); failed != 0 || requests < 3 {
		t.Errorf("%d requests, %d failed: %v", requests, failed, Classes(r.Buckets()))
	}
}

func TestDialFailuresAndSaturation(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	_ = l.Close()
	r := start(t, Config{Address: address, Rate: 50})
	time.Sleep(200 * time.Millisecond)
	if err := r.Stop(); err != nil {
		t.Fatal(err)
	}
	requests, failed := Count(r.Buckets())
	if failed == 0 || failed != requests || Classes(r.Buckets())[ClassDial] != failed {
		t.Errorf("%d requests, %d failed: %v", requests, failed, Classes(r.Buckets()))
	}

	slow := serve(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // only then does the server notice that the client left
		<-r.Context().Done()
	}))
	r = start(t, Config{Address: slow, Rate: 100, MaxInFlight: 3, Timeout: 500 * time.Millisecond})
	time.Sleep(300 * time.Millisecond)
	if err := r.Stop(); err != nil {
		t.Fatal(err)
	}
	classes := Classes(r.Buckets())
	if classes[ClassSaturated] == 0 || classes[ClassTimeout] != 3 {
		t.Errorf("classes %v, want 3 timeouts and the rest saturated", classes)
	}
}

func TestPhaseBurnAndSettle(t *testing.T) {
	for _, way := range []struct {
		name    string
		command []string
	}{{"in this process", nil}, {"in a process of its own", []string{"/usr/bin/env", serveVariable + "=1", os.Args[0]}}} {
		t.Run(way.name, func(t *testing.T) {
			server := newMoody()
			server.counts[""] = 0
			address := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				server.next(r)
				time.Sleep(20 * time.Millisecond)
				_, _ = io.WriteString(w, `{"pod":"p1","cluster":"site-a","version":"v1"}`)
			}))
			r := start(t, Config{Address: address, Rate: 50, Phase: "one", Command: way.command})
			time.Sleep(300 * time.Millisecond)
			if err := r.Set(Control{Phase: "two", Burn: "1500us", Rate: 100}); err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			if err := r.Settle(ctx, "one"); err != nil {
				t.Fatal(err)
			}
			one, failed := Count(byPhase(r.Buckets(), "one"))
			if err := r.Stop(); err != nil {
				t.Fatal(err)
			}
			two, _ := Count(byPhase(r.Buckets(), "two"))
			if one != server.burns[""] || two != server.burns["1500us"] || one == 0 || two == 0 || failed != 0 {
				t.Errorf("counted %d in phase one, %d in phase two; the server saw %v", one, two, server.burns)
			}
		})
	}
}

func byPhase(buckets []Bucket, phase string) (of []Bucket) {
	for _, b := range buckets {
		if b.Phase == phase {
			of = append(of, b)
		}
	}
	return of
}

func TestRefusesWhatMakesNoSense(t *testing.T) {
	for reason, cfg := range map[string]Config{
		"LOAD_ADDRESS_MISSING": {},
		"LOAD_RATE_INVALID":    {Address: "127.0.0.1:1", Rate: -1},
		"LOAD_BURN_INVALID":    {Address: "127.0.0.1:1", Burn: "much"},
		"LOAD_COMMAND_MISSING": {Address: "127.0.0.1:1", Namespace: "client"},
		"LOAD_LIMITS_INVALID":  {Address: "127.0.0.1:1", Connections: -1},
	} {
		if _, err := Start(t.Context(), cfg); !fault.HasReason(err, reason) {
			t.Errorf("%+v: got %v, want %s", cfg, err, reason)
		}
	}
}

func TestServeRefusesBadLines(t *testing.T) {
	for reason, in := range map[string]string{
		"LOAD_CONFIG_INVALID":  "not json\n",
		"LOAD_CONTROL_INVALID": `{"address":"127.0.0.1:1"}` + "\nnot json\n",
		"LOAD_RATE_INVALID":    `{"address":"127.0.0.1:1"}` + "\n" + `{"rate":-3}` + "\n",
	} {
		if err := Serve(t.Context(), strings.NewReader(in), io.Discard); !fault.HasReason(err, reason) {
			t.Errorf("%s: got %v, want %s", in, err, reason)
		}
	}
}

func TestAGeneratorThatDiesIsAnError(t *testing.T) {
	r := start(t, Config{Address: "127.0.0.1:1", Command: []string{"/bin/sh", "-c", "read config; echo no namespace >&2; exit 3"}})
	<-r.Done()
	if err := r.Err(); !fault.HasReason(err, "LOAD_LOST") || !strings.Contains(err.Error(), "no namespace") {
		t.Errorf("got %v", err)
	}
}
