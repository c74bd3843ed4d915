package registry_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"gantry.dev/pkg/fault"
	"gantry.dev/services/cluster-mgr/internal/registry"
	"golang.org/x/sync/errgroup"
)

const (
	first  = "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"
	second = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
)

// shelf is a registry with one image that may be pushed anew.
type shelf struct {
	mu     sync.Mutex
	digest string
	broken bool
	slow   time.Duration
	asked  []string
}

func (s *shelf) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	s.asked = append(s.asked, r.Method+" "+r.URL.Path)
	digest, broken, slow := s.digest, s.broken, s.slow
	s.mu.Unlock()
	time.Sleep(slow)
	switch {
	case broken:
		w.WriteHeader(http.StatusInternalServerError)
	case r.URL.Path == "/v2/":
	case strings.HasSuffix(r.URL.Path, "/manifests/v1"):
		w.Header().Set("Content-Type", "application/vnd.oci.image.manifest.v1+json")
		w.Header().Set("Docker-Content-Digest", digest)
		w.Header().Set("Content-Length", "2")
	default:
		w.WriteHeader(http.StatusNotFound)
	}
}

func (s *shelf) set(change func(*shelf)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(s)
}

func open(t *testing.T) (*registry.Registries, *shelf, string) {
	t.Helper()
	s := &shelf{digest: first}
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	r, err := registry.New()
	if err != nil {
		t.Fatal(err)
	}
	return r, s, strings.TrimPrefix(server.URL, "http://")
}

func TestResolve(t *testing.T) {
	r, s, address := open(t)
	resolve := func(image, want, reason string) {
		t.Helper()
		got, err := r.Resolve(t.Context(), address, image)
		if got != want || reason != "" && !fault.HasReason(err, reason) || reason == "" && err != nil {
			t.Errorf("%s: %q, %v; want %q %s", image, got, err, want, reason)
		}
	}
	resolve("hello:v1", first, "")
	resolve("hello:v2", "", "IMAGE_NOT_FOUND")
	resolve("HELLO", "", "IMAGE_INVALID")
	s.set(func(s *shelf) { s.broken = true })
	resolve("hello:v1", "", "REGISTRY_UNREACHABLE")
	// Pushed anew: nothing of before is believed.
	s.set(func(s *shelf) { s.broken, s.digest = false, second })
	resolve("hello:v1", second, "")
}

func TestManyAskOnce(t *testing.T) {
	r, s, address := open(t)
	s.set(func(s *shelf) { s.slow = 20 * time.Millisecond })
	var group errgroup.Group
	for range 100 {
		group.Go(func() error {
			_, err := r.Resolve(t.Context(), address, "hello:v1")
			return err
		})
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
	// How to speak to it, and at most a few answers that began in time.
	if len(s.asked) > 10 {
		t.Errorf("%d requests: %q", len(s.asked), s.asked)
	}
}
