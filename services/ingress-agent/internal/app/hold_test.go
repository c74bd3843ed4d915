package app

import (
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	ingressv1 "gantry.dev/proto/gen/gantry/ingress/v1"
)

// held is what the node says of the app's requests.
func (n *testNode) held() *ingressv1.AppTraffic {
	n.t.Helper()
	for _, a := range n.agent.Status(n.t.Context()).GetApps() {
		if a.GetApp() == webApp {
			return a
		}
	}
	return nil
}

// A request for an app without a pod waits for the first, with its body, and
// none is lost.
func TestRequestsWaitForTheFirstPod(t *testing.T) {
	pods := addresses(41, 1)
	n, site, _ := twoSites(t, nil, nil)
	startPods(t, n.podPort, pods...)
	n.publish(func(c *ingressv1.GatewayConfig) { c.Routes[0].HoldSeconds = 30 })
	n.serving(2)
	var clients sync.WaitGroup
	codes := make([]int, 20)
	for i := range codes {
		clients.Go(func() { codes[i] = n.post("a body that must arrive") })
	}
	eventually(t, 10*time.Second, func() bool { h := n.held(); return h.GetHeld() == 20 && h.GetOpen() == 20 && h.GetRequests() == 20 }, n.log)
	site.set(pods...)
	clients.Wait()
	for i, code := range codes {
		if code != http.StatusOK {
			t.Errorf("request %d: %d", i, code)
		}
	}
	eventually(t, 10*time.Second, func() bool { h := n.held(); return h.GetHeld() == 0 && h.GetOpen() == 0 && h.GetRequests() == 20 }, n.log)
}

func TestARequestIsNotHeldForEver(t *testing.T) {
	n, _, _ := twoSites(t, nil, nil)
	n.publish(func(c *ingressv1.GatewayConfig) { c.Routes[0].HoldSeconds = 1 })
	n.serving(2)
	start := time.Now()
	code, body, reason := n.get()
	if code != http.StatusServiceUnavailable || reason != "NO_ENDPOINTS" || !strings.Contains(body, "no ready pod") {
		t.Errorf("%d %s: %s", code, reason, body)
	}
	if took := time.Since(start); took < time.Second {
		t.Errorf("it was refused after %v", took)
	}
	n.publish(func(c *ingressv1.GatewayConfig) { c.Routes[0].HoldSeconds = 0 })
	n.serving(3)
	if code, _, _ := n.get(); code != http.StatusServiceUnavailable || n.held().GetHeld() != 0 {
		t.Errorf("%d, %v", code, n.held())
	}
}

// post gives the status of a POST; 0: no answer.
func (n *testNode) post(body string) int {
	request, err := http.NewRequestWithContext(n.t.Context(), http.MethodPost, n.url(), strings.NewReader(body))
	if err != nil {
		n.t.Error(err)
		return 0
	}
	request.Host = webHost
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 40 * time.Second}
	response, err := client.Do(request)
	if err != nil {
		n.t.Log(err)
		return 0
	}
	defer response.Body.Close()
	return response.StatusCode
}

// A client that goes away is not held any longer, whether it had sent a body
// or not; else it would keep the app awake and the places taken.
func TestAClientThatHasGoneIsNotHeld(t *testing.T) {
	n, _, _ := twoSites(t, nil, nil)
	n.publish(func(c *ingressv1.GatewayConfig) { c.Routes[0].HoldSeconds = 30 })
	n.serving(2)
	for _, body := range []string{"", "a body that nobody has read yet"} {
		request := fmt.Sprintf("POST / HTTP/1.1\r\nHost: %s\r\nContent-Length: %d\r\n\r\n%s", webHost, len(body), body)
		var clients []net.Conn
		for range 5 {
			c, err := net.Dial("tcp", strings.TrimPrefix(n.url(), "http://"))
			if err != nil {
				t.Fatal(err)
			}
			clients = append(clients, c)
			if _, err := c.Write([]byte(request)); err != nil {
				t.Fatal(err)
			}
		}
		eventually(t, 10*time.Second, func() bool { return n.held().GetHeld() == 5 }, n.log)
		for _, c := range clients {
			if err := c.Close(); err != nil {
				t.Error(err)
			}
		}
		eventually(t, 10*time.Second, func() bool { h := n.held(); return h.GetHeld() == 0 && h.GetOpen() == 0 }, n.log)
	}
}
