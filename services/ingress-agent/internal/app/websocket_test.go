package app

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	ingressv1 "gantry.dev/proto/gen/gantry/ingress/v1"
	gantryv1 "gantry.dev/proto/gen/gantry/v1"
)

// upgrade is the handler of a pod that sends back each line of a WebSocket.
// What is in the frames is nothing to a proxy: here there are none.
func upgrade(w http.ResponseWriter, r *http.Request) {
	if !strings.EqualFold(r.Header.Get("Upgrade"), "websocket") || !strings.EqualFold(r.Header.Get("Connection"), "upgrade") {
		http.Error(w, "not an upgrade", http.StatusBadRequest)
		return
	}
	conn, buffer, err := w.(http.Hijacker).Hijack()
	if err != nil {
		return
	}
	defer conn.Close()
	_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n")
	_, _ = io.Copy(conn, buffer)
}

// A webSocket is an upgraded connection.
type webSocket struct {
	conn   net.Conn
	reader *bufio.Reader
	rounds atomic.Int64
}

// open upgrades a connection to shop.example, over TLS or not.
func (s *secureNode) open(secure bool) *webSocket {
	s.t.Helper()
	port := s.config.HTTPPort
	if secure {
		port = s.config.HTTPSPort
	}
	conn, err := (&net.Dialer{}).DialContext(s.t.Context(), "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	if err != nil {
		s.t.Fatal(err)
	}
	if secure {
		conn = tls.Client(conn, &tls.Config{RootCAs: s.roots, ServerName: "shop.example"})
	}
	s.t.Cleanup(func() { _ = conn.Close() })
	w := &webSocket{conn: conn, reader: bufio.NewReader(conn)}
	fmt.Fprint(conn, "GET /chat HTTP/1.1\r\nHost: shop.example\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
	response, err := http.ReadResponse(w.reader, nil)
	if err != nil || response.StatusCode != http.StatusSwitchingProtocols {
		s.t.Fatalf("%v %v\n%s", response, err, s.log())
	}
	return w
}

// talk sends lines and waits for each to come back, until ctx ends.
func (w *webSocket) talk(ctx context.Context) error {
	for n := 0; ctx.Err() == nil; n++ {
		want := fmt.Sprintf("line %d\n", n)
		if err := w.conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
			return err
		}
		if _, err := io.WriteString(w.conn, want); err != nil {
			return fmt.Errorf("after %d rounds: %w", n, err)
		}
		if got, err := w.reader.ReadString('\n'); err != nil || got != want {
			return fmt.Errorf("after %d rounds: %q %w", n, got, err)
		}
		w.rounds.Add(1)
		pause(ctx, 5*time.Millisecond)
	}
	return nil
}

// rule I5: a WebSocket stays where it is while its pod leaves the table and
// while Nginx reloads; half of these are over TLS.
func TestWebSocketsStay(t *testing.T) {
	pods := addresses(57, 6)
	s, siteA := startSecure(t, pods[:3])
	for _, ip := range pods {
		startHandler(t, s.podPort, ip, upgrade)
	}
	c := s.certificate("shop.example")
	s.publish(func(g *ingressv1.GatewayConfig) {
		g.Routes, g.Certificates = append(g.Routes, s.secureRoute("shop", &gantryv1.Tls{})), append(g.Certificates, c)
	})
	s.serving(2)
	s.shows("shop.example", c)
	eventually(t, 10*time.Second, func() bool { return s.agent.Status(t.Context()).GetClusters()[0].GetPodsAnswering() == 3 }, s.log)
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	failures := make(chan error, 20)
	var all []*webSocket
	for i := range 20 {
		w := s.open(i%2 == 0)
		all = append(all, w)
		wg.Go(func() {
			if err := w.talk(ctx); err != nil {
				failures <- err
			}
		})
	}
	t.Cleanup(func() { cancel(); wg.Wait() })
	for i := range 20 {
		last := s.tableGeneration()
		from := (i + 1) % 4
		siteA.set(pods[from : from+3]...)
		eventually(t, 10*time.Second, func() bool { return s.tableGeneration() > last }, s.log)
	}
	epoch := s.epoch()
	s.publish(func(g *ingressv1.GatewayConfig) { g.Routes = append(g.Routes, s.route("new", "new.example")) })
	s.serving(3)
	eventually(t, 10*time.Second, func() bool { return s.epoch() > epoch }, s.log) // an old worker may have answered last
	for _, w := range all {                                                        // each still talks after the reload
		at := w.rounds.Load()
		eventually(t, 20*time.Second, func() bool { return w.rounds.Load() > at+5 || len(failures) > 0 }, s.log)
	}
	cancel()
	wg.Wait()
	close(failures)
	for err := range failures {
		t.Error(err)
	}
}
