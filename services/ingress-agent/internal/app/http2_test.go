package app

import (
	"context"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	ingressv1 "gantry.dev/proto/gen/gantry/ingress/v1"
	gantryv1 "gantry.dev/proto/gen/gantry/v1"
)

// h2Load asks shop.example over HTTP/2, half GET, half POST, until ctx ends;
// the bodies can be sent again, as those of most clients.
func (s *secureNode) h2Load(ctx context.Context, asked *atomic.Int64, failed func(string)) {
	transport := s.transport()
	transport.DisableKeepAlives = false
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport, Timeout: 20 * time.Second}
	for n := 0; ctx.Err() == nil; n++ {
		method := []string{http.MethodGet, http.MethodPost}[n%2]
		request, err := http.NewRequestWithContext(context.WithoutCancel(ctx), method, "https://shop.example/", strings.NewReader("text"))
		if err != nil {
			failed(err.Error())
			return
		}
		response, err := client.Do(request)
		asked.Add(1)
		if err != nil {
			failed(err.Error())
			continue
		}
		_ = response.Body.Close()
		if response.StatusCode != http.StatusOK || response.ProtoMajor != 2 {
			failed(response.Proto + " " + response.Status)
		}
	}
}

// Renewals and needed reloads lose no request over HTTP/2.
func TestHTTP2LosesNothing(t *testing.T) {
	pods := addresses(58, 2)
	s, _ := startSecure(t, pods)
	startPods(t, s.podPort, pods...)
	s.publish(func(g *ingressv1.GatewayConfig) {
		g.Routes, g.Certificates = append(g.Routes, s.secureRoute("shop", &gantryv1.Tls{})), append(g.Certificates, s.certificate("shop.example"))
	})
	s.serving(2)
	s.shows("shop.example", s.gateway.GetCertificates()[0])
	renewed := []*ingressv1.Certificate{s.certificate("shop.example"), s.certificate("shop.example"), s.certificate("shop.example")}
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	var asked atomic.Int64
	failures := make(chan string, 1000)
	for range 8 {
		wg.Go(func() { s.h2Load(ctx, &asked, func(why string) { failures <- why }) })
	}
	t.Cleanup(func() { cancel(); wg.Wait() })
	for i, c := range renewed {
		s.publish(func(g *ingressv1.GatewayConfig) {
			name := []string{"one", "two", "three"}[i]
			g.Certificates[0], g.Routes = c, append(g.Routes, s.route(name, name+".example"))
		})
		s.serving(s.gateway.GetGeneration())
		s.shows("shop.example", c)
		at := asked.Load()
		eventually(t, 20*time.Second, func() bool { return asked.Load() > at+200 }, s.log)
	}
	cancel()
	wg.Wait()
	close(failures)
	n := 0
	for why := range failures {
		if n++; n <= 3 {
			t.Error(why)
		}
	}
	t.Logf("%d of %d requests failed over three reloads with renewals", n, asked.Load())
}
