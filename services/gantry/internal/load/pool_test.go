package load

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"
)

// hurried ends each connection after one more answer when it is told to.
type hurried struct {
	mu     sync.Mutex
	ending bool
	// open are the connections that were told nothing.
	open map[string]bool
}

func (h *hurried) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.ending {
		w.Header().Set("Connection", "close")
		delete(h.open, r.RemoteAddr)
	} else {
		h.open[r.RemoteAddr] = true
	}
	_, _ = io.WriteString(w, `{}`)
}

func (h *hurried) untold() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.open)
}

func TestEveryConnectionHearsThatItEnds(t *testing.T) {
	const connections = 8
	h := &hurried{open: map[string]bool{}}
	s := httptest.NewServer(h)
	defer s.Close()
	r := start(t, Config{Address: strings.TrimPrefix(s.URL, "http://"), Connections: connections, Rate: 50})
	wait := func(n int) {
		t.Helper()
		for end := time.Now().Add(20 * time.Second); h.untold() != n; time.Sleep(time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("%d connections are open, want %d", h.untold(), n)
			}
		}
	}
	wait(connections)
	h.mu.Lock()
	h.ending = true
	h.mu.Unlock()
	wait(0)
	if err := r.Stop(); err != nil {
		t.Fatal(err)
	}
	if _, failed := Count(r.Buckets()); failed != 0 {
		t.Errorf("%d failed: %v", failed, Classes(r.Buckets()))
	}
}
