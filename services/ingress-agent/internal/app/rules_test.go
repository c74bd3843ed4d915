package app

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	ingressv1 "gantry.dev/proto/gen/gantry/ingress/v1"
	gantryv1 "gantry.dev/proto/gen/gantry/v1"
)

// ask asks for a path of a host and follows nothing.
func (n *testNode) ask(host, path, body string, header http.Header) *http.Response {
	n.t.Helper()
	request, err := http.NewRequestWithContext(n.t.Context(), http.MethodPost, n.url()+path, strings.NewReader(body))
	if err != nil {
		n.t.Fatal(err)
	}
	request.Host = host
	for name := range header {
		request.Header.Set(name, header.Get(name))
	}
	response, err := (&http.Transport{DisableKeepAlives: true, DisableCompression: true}).RoundTrip(request)
	if err != nil {
		n.t.Fatal(err)
	}
	n.t.Cleanup(func() { _ = response.Body.Close() })
	return response
}

// The rules of a route on real Nginx, each on a host of its own.
func TestRules(t *testing.T) {
	pods := addresses(46, 1)
	n, _, _ := twoSites(t, pods, nil)
	startHandler(t, n.podPort, pods[0], func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Powered-By", "secret")
		w.Header().Set("X-Team-Seen", r.Header.Get("X-Team")+"|"+r.Header.Get("Cookie")+"|"+r.Header.Get("X-Real-IP"))
		_, _ = io.WriteString(w, strings.Repeat("text ", 1000))
	})
	n.publish(func(c *ingressv1.GatewayConfig) {
		add := func(name, path string, match gantryv1.PathMatch, rules *gantryv1.HttpRules) {
			r := n.route(name, name+".example")
			r.PathPrefix, r.PathMatch, r.Rules = path, match, rules
			c.Routes = append(c.Routes, r)
		}
		add("exact", "/a", gantryv1.PathMatch_PATH_MATCH_EXACT, nil)
		add("prefix", "/a", gantryv1.PathMatch_PATH_MATCH_PREFIX, nil)
		add("to", "/", 0, &gantryv1.HttpRules{Redirect: &gantryv1.Redirect{Scheme: "https", Host: "new.example", Code: 308}})
		add("headers", "/", 0, &gantryv1.HttpRules{
			RequestHeaders:  &gantryv1.HeaderRules{Set: []*gantryv1.HeaderValue{{Name: "X-Team", Value: `a "b"; \c`}}, Remove: []string{"Cookie"}},
			ResponseHeaders: &gantryv1.HeaderRules{Set: []*gantryv1.HeaderValue{{Name: "X-Frame-Options", Value: "DENY"}}, Remove: []string{"X-Powered-By"}},
		})
		add("small", "/", 0, &gantryv1.HttpRules{Limits: &gantryv1.Limits{MaxBodyBytes: 10}})
		add("rate", "/", 0, &gantryv1.HttpRules{RateLimit: &gantryv1.RateLimit{RequestsPerSecond: 1}})
		add("closed", "/", 0, &gantryv1.HttpRules{AllowCidrs: []string{"10.0.0.0/8"}})
		add("open", "/", 0, &gantryv1.HttpRules{AllowCidrs: []string{"127.0.0.0/8"}})
		add("gzip", "/", 0, &gantryv1.HttpRules{Gzip: true})
		add("tls", "/", 0, &gantryv1.HttpRules{Tls: &gantryv1.Tls{Secret: "projects/shop/secrets/tls"}})
	})
	n.serving(2)
	n.answers()
	for _, x := range []struct {
		host, path, body string
		want             int
	}{
		{"exact", "/a", "", 200},
		{"exact", "/a/b", "", 404},
		{"prefix", "/a", "", 200},
		{"prefix", "/a/b?c=d", "", 200},
		{"prefix", "/ab", "", 404},
		{"to", "/x?y=z", "", 308},
		{"small", "/", "0123456789", 200},
		{"small", "/", "0123456789a", 413},
		{"rate", "/", "", 200},
		{"rate", "/", "", 429},
		{"closed", "/", "", 403},
		{"open", "/", "", 200},
		{"tls", "/", "", 404},
	} {
		if got := n.ask(x.host+".example", x.path, x.body, nil).StatusCode; got != x.want {
			t.Errorf("%s%s: %d, want %d", x.host, x.path, got, x.want)
		}
	}
	if to := n.ask("to.example", "/x?y=z", "", nil).Header.Get("Location"); to != "https://new.example/x?y=z" {
		t.Errorf("led to %q", to)
	}
	h := n.ask("headers.example", "/", "", http.Header{"Cookie": {"a=b"}}).Header
	if h.Get("X-Team-Seen") != `a "b"; \c||127.0.0.1` || h.Get("X-Frame-Options") != "DENY" || h.Get("X-Powered-By") != "" {
		t.Errorf("headers %v", h)
	}
	if h := n.ask("gzip.example", "/", "", http.Header{"Accept-Encoding": {"gzip"}}).Header; h.Get("Content-Encoding") != "gzip" {
		t.Errorf("not compressed: %v", h)
	}
	eventually(t, 5*time.Second, func() bool { // rule I4: said, and alone
		q := n.agent.Status(t.Context()).GetQuarantined()
		return len(q) == 1 && strings.Contains(q[0].GetReason(), "no port for HTTPS")
	}, n.log)
}
