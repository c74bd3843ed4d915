package main

import (
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

var who = identity{Pod: "hello-1", Cluster: "site-a", Release: "3", Version: "v1"}

func TestAnswers(t *testing.T) {
	for _, test := range []struct {
		name, method, path, body string
		status                   int
		want                     string
	}{
		{"get", "GET", "/", "", 200, `{"pod":"hello-1","cluster":"site-a","release":"3","version":"v1"}`},
		{"post counts", "POST", "/", "12345", 200, `{"pod":"hello-1","cluster":"site-a","release":"3","version":"v1","length":5}`},
		{"health", "GET", "/healthz", "", 200, "ok"},
		{"burn too long", "GET", "/?burn=2s", "", 400, "burn must be a duration from 0s to 1s, such as 1500us"},
		{"burn no duration", "GET", "/?burn=much", "", 400, "burn must be a duration from 0s to 1s, such as 1500us"},
		{"negative sleep", "GET", "/?sleep=-1s", "", 400, "sleep must be a duration from 0s to 30s, such as 1500us"},
		{"body too large", "POST", "/", strings.Repeat("x", maxBody+1), 413, "the body is larger than 1 MiB or broke off"},
		{"unknown path", "GET", "/other", "", 404, "404 page not found"},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := httptest.NewRecorder()
			handler(who).ServeHTTP(w, httptest.NewRequest(test.method, test.path, strings.NewReader(test.body)))
			if got := strings.TrimSpace(w.Body.String()); w.Code != test.status || got != test.want {
				t.Errorf("got %d %s, want %d %s", w.Code, got, test.status, test.want)
			}
		})
	}
}

func TestIdentifyReadsTheEnvironment(t *testing.T) {
	t.Setenv("GANTRY_POD", "hello-1")
	t.Setenv("GANTRY_CLUSTER", "site-a")
	t.Setenv("GANTRY_RELEASE", "3")
	if got := identify("v1"); got != who {
		t.Errorf("got %+v, want %+v", got, who)
	}
}

// Small burns must not become a whole tick of the kernel.
func TestBurnUsesAsMuchCPUTimeAsAsked(t *testing.T) {
	const times, each = 100, 500 * time.Microsecond
	before := processTime(t)
	for range times {
		if err := burn(each); err != nil {
			t.Fatal(err)
		}
	}
	if used := processTime(t) - before; used < times*each*9/10 || used > times*each*3 {
		t.Errorf("used %s of CPU for %d times %s", used, times, each)
	}
}

func TestEndsWithoutLosingTheRequestInFlight(t *testing.T) {
	address := freeAddress(t)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- run(ctx, address, who) }()
	await(t, "http://"+address+"/healthz")

	answered := make(chan error, 1)
	go func() {
		resp, err := http.Get("http://" + address + "/?sleep=500ms")
		if err == nil {
			var got answer
			err = json.NewDecoder(resp.Body).Decode(&got)
			_ = resp.Body.Close()
		}
		answered <- err
	}()
	time.Sleep(100 * time.Millisecond) // the request is in flight now
	stop()
	if err := <-answered; err != nil {
		t.Errorf("the request in flight was lost: %v", err)
	}
	if err := <-ended; err != nil {
		t.Errorf("run: %v", err)
	}
}

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}

func await(t *testing.T, url string) {
	t.Helper()
	for deadline := time.Now().Add(5 * time.Second); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		resp, err := http.Get(url)
		if err == nil {
			_, _ = io.Copy(io.Discard, resp.Body)
			_ = resp.Body.Close()
			return
		}
	}
	t.Fatalf("%s does not answer", url)
}
