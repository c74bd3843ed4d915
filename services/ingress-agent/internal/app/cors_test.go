package app

import (
	"net/http"
	"testing"

	ingressv1 "gantry.dev/proto/gen/gantry/ingress/v1"
	gantryv1 "gantry.dev/proto/gen/gantry/v1"
	"github.com/google/go-cmp/cmp"
)

// cross asks as a browser does for a page of an origin, and gives the status
// and what the browser decides by.
func (n *testNode) cross(host, method, origin string) (int, http.Header) {
	n.t.Helper()
	request, err := http.NewRequestWithContext(n.t.Context(), method, n.url()+"/", nil)
	if err != nil {
		n.t.Fatal(err)
	}
	request.Host = host
	request.Header.Set("Origin", origin)
	if method == http.MethodOptions {
		request.Header.Set("Access-Control-Request-Method", "PUT")
	}
	response, err := (&http.Transport{DisableKeepAlives: true, DisableCompression: true}).RoundTrip(request)
	if err != nil {
		n.t.Fatal(err)
	}
	_ = response.Body.Close()
	decides := http.Header{}
	for name, values := range response.Header {
		if name == "Vary" || len(name) > 14 && name[:14] == "Access-Control" {
			decides[name] = values
		}
	}
	return response.StatusCode, decides
}

// The load balancer answers browsers' questions itself, and what the app says
// of other origins does not get through.
func TestCORS(t *testing.T) {
	const friend, stranger = "https://friend.example", "https://stranger.example"
	pods := addresses(47, 1)
	n, _, _ := twoSites(t, pods, nil)
	startHandler(t, n.podPort, pods[0], func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Access-Control-Allow-Origin", "*")
		w.Header().Set("Vary", "Accept")
	})
	n.publish(func(c *ingressv1.GatewayConfig) {
		for name, cors := range map[string]*gantryv1.Cors{
			"named": {Origins: []string{friend, "http://b.example:8080"}, Methods: []string{"PUT"}, Headers: []string{"X-Team"}, Credentials: true},
			"open":  {Origins: []string{"*"}, MaxAgeSeconds: 60},
		} {
			r := n.route(name, name+".example")
			r.Rules = &gantryv1.HttpRules{Cors: cors}
			c.Routes = append(c.Routes, r)
		}
	})
	n.serving(2)
	n.answers()
	for _, x := range []struct {
		host, method, origin string
		code                 int
		want                 http.Header
	}{
		{"named.example", "OPTIONS", friend, 204, http.Header{
			"Access-Control-Allow-Origin": {friend}, "Access-Control-Allow-Credentials": {"true"}, "Access-Control-Allow-Methods": {"PUT"},
			"Access-Control-Allow-Headers": {"X-Team"}, "Access-Control-Max-Age": {"600"}, "Vary": {"Origin"},
		}},
		{"named.example", "PUT", friend, 200, http.Header{
			"Access-Control-Allow-Origin": {friend}, "Access-Control-Allow-Credentials": {"true"}, "Vary": {"Accept", "Origin"},
		}},
		{"named.example", "OPTIONS", stranger, 403, http.Header{"Vary": {"Origin"}}},
		{"named.example", "PUT", stranger, 200, http.Header{"Vary": {"Accept", "Origin"}}},
		{"named.example", "PUT", friend + " http://b.example:8080", 200, http.Header{"Vary": {"Accept", "Origin"}}},
		{"open.example", "OPTIONS", stranger, 204, http.Header{
			"Access-Control-Allow-Origin": {"*"}, "Access-Control-Allow-Methods": {"GET, POST, PUT, PATCH, DELETE, OPTIONS"}, "Access-Control-Max-Age": {"60"},
		}},
		{"open.example", "GET", stranger, 200, http.Header{"Access-Control-Allow-Origin": {"*"}, "Vary": {"Accept"}}},
		{webHost, "GET", stranger, 200, http.Header{"Access-Control-Allow-Origin": {"*"}, "Vary": {"Accept"}}}, // the app's own
	} {
		code, got := n.cross(x.host, x.method, x.origin)
		if diff := cmp.Diff(x.want, got); code != x.code || diff != "" {
			t.Errorf("%s %s from %s: %d, want %d\n%s", x.method, x.host, x.origin, code, x.code, diff)
		}
	}
}
