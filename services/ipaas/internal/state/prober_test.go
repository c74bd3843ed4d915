package state

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

// cluster plays an API server whose answers can be changed.
type cluster struct {
	uid   atomic.Value
	ready atomic.Bool
}

func (c *cluster) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	switch r.URL.Path {
	case "/readyz":
		if !c.ready.Load() {
			http.Error(w, "[-]etcd failed", http.StatusInternalServerError)
		}
	case "/version":
		fmt.Fprint(w, `{"gitVersion":"v1.36.3"}`)
	case "/api/v1/namespaces/kube-system":
		fmt.Fprintf(w, `{"apiVersion":"v1","kind":"Namespace","metadata":{"name":"kube-system","uid":%q}}`, c.uid.Load())
	default:
		http.NotFound(w, r)
	}
}

func prober(t *testing.T) (*Prober, *cluster, *httptest.Server) {
	t.Helper()
	c := &cluster{}
	c.ready.Store(true)
	c.uid.Store("first")
	server := httptest.NewServer(c)
	t.Cleanup(server.Close)
	client, err := kubernetes.NewForConfig(&rest.Config{Host: server.URL})
	if err != nil {
		t.Fatal(err)
	}
	return NewProber(client, slog.New(slog.NewTextHandler(io.Discard, nil))), c, server
}

func TestProberKeepsTheLastKnown(t *testing.T) {
	p, c, server := prober(t)
	if h := p.Health(); h.Ready || h.Detail == "" || h.Identity != "" {
		t.Errorf("before the first probe: %+v", h)
	}
	probe := func() Health {
		if err := p.probe(context.Background()); err != nil {
			t.Fatal(err)
		}
		return p.Health()
	}
	well := probe()
	if !well.Ready || well.Detail != "" || well.Identity != "first" || well.Version != "v1.36.3" || well.Answered.IsZero() {
		t.Errorf("well: %+v", well)
	}
	c.ready.Store(false)
	ill := probe()
	if ill.Ready || ill.Detail == "" || ill.Identity != "first" || ill.Version != "v1.36.3" || !ill.Answered.Equal(well.Answered) {
		t.Errorf("ill: %+v", ill)
	}
	c.ready.Store(true)
	if h := probe(); !h.Ready || !h.Answered.After(well.Answered) {
		t.Errorf("well again: %+v", h)
	}
	server.Close()
	if h := probe(); h.Ready || h.Identity != "first" {
		t.Errorf("gone: %+v", h)
	}
}

// rule K2
func TestAnotherClusterEndsIpaas(t *testing.T) {
	p, c, _ := prober(t)
	if err := p.probe(context.Background()); err != nil {
		t.Fatal(err)
	}
	c.uid.Store("second")
	if err := p.probe(context.Background()); !errors.Is(err, ErrOtherCluster) {
		t.Errorf("%v, want ErrOtherCluster", err)
	}
}
