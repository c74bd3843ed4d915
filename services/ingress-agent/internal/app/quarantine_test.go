package app

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	ingressv1 "gantry.dev/proto/gen/gantry/ingress/v1"
	gantryv1 "gantry.dev/proto/gen/gantry/v1"
	"gantry.dev/services/ingress-agent/internal/generation"
	"gantry.dev/services/ingress-agent/internal/nginx"
)

// A spoiler stands for a form that the grammar lets through and Nginx does
// not: hosts whose route has gzip get a line that Nginx refuses. What it says
// then is Nginx's own.
type spoiler struct {
	*nginx.Nginx
	// The refused line by host.
	lines map[string]string
}

func (s spoiler) Test(ctx context.Context, dir string) error {
	for host, line := range s.lines {
		file := filepath.Join(dir, "hosts", host+".conf")
		text, err := os.ReadFile(file)
		if err != nil || !strings.Contains(string(text), "gzip on;") {
			continue
		}
		text = []byte(strings.Replace(string(text), "gzip on;", line, 1))
		if err := os.Remove(file); err != nil { // it may be linked into another generation
			return err
		}
		if err := os.WriteFile(file, text, 0o600); err != nil {
			return err
		}
	}
	return s.Nginx.Test(ctx, dir)
}

// rule I4: of 500 routes that change at once, one breaks the grammar, one is
// refused by Nginx with its file, and one without: these three stay as they
// were, the others go out, and the status says so.
func TestThreeBrokenRoutesAmong500(t *testing.T) {
	const routes = 500
	a := addresses(70, 1)
	n, _, _ := startSites(t, a, nil, func(n *testNode) {
		n.config.Drain, n.config.ReloadPause = 0, 0 // as in production: they are part of the time
		n.between = func(real *nginx.Nginx) generation.Web {
			return spoiler{real, map[string]string{
				"h200.example": "client_max_body_size -1;",
				"h300.example": "limit_req zone=nowhere;",
			}}
		}
		for i := range routes {
			n.gateway.Routes = append(n.gateway.Routes, n.route(fmt.Sprintf("h%d", i), fmt.Sprintf("h%d.example", i)))
		}
	})
	startPods(t, n.podPort, a...)
	n.answers()
	start := time.Now()
	n.publish(func(c *ingressv1.GatewayConfig) {
		for _, r := range c.Routes {
			r.Rules = &gantryv1.HttpRules{Gzip: true}
		}
		c.Routes[1+100].PathPrefix = "/;} location /etc { root /; }"
	})
	eventually(t, 2*time.Minute, func() bool { s, err := n.agent.nginx.Client().Status(t.Context()); return err == nil && s.Config == 2 }, n.log)
	t.Logf("%d routes changed, three of them broken: in effect after %s", routes, time.Since(start))
	want := map[string]string{"h100": "path_prefix", "h200": `"client_max_body_size"`, "h300": `shared memory zone "nowhere"`}
	status := n.agent.Status(t.Context())
	for _, q := range status.GetQuarantined() {
		name := strings.TrimPrefix(q.GetRoute(), "projects/shop/routes/")
		if want[name] == "" || !strings.Contains(q.GetReason(), want[name]) {
			t.Errorf("quarantined: %v", q)
		}
		delete(want, name)
	}
	if len(want) > 0 {
		t.Errorf("not quarantined: %v", want)
	}
	n.haveGzip(routes+1, "h100", "h200", "h300")
	for _, host := range []string{"h100.example", "h200.example", "h300.example", "h400.example"} {
		if r := n.ask(host, "/", "", nil); r.StatusCode != http.StatusOK {
			t.Errorf("%s answers %s", host, r.Status)
		}
	}
}

// haveGzip checks that so many hosts are served, all but some in the new form.
func (n *testNode) haveGzip(hosts int, but ...string) {
	n.t.Helper()
	model, _ := n.agent.manager.Served()
	if len(model.Hosts) != hosts {
		n.t.Errorf("%d hosts are served", len(model.Hosts))
	}
	old := strings.Join(but, ".example ") + ".example"
	for _, h := range model.Hosts {
		if h.Locations[0].Rules.Gzip == strings.Contains(old, h.Name) {
			n.t.Errorf("%s is served as %+v", h.Name, h.Locations[0])
		}
	}
}

// The longest header name that rules may set is one that Nginx takes.
func TestALongHeaderNameIsServed(t *testing.T) {
	a := addresses(71, 1)
	n, _, _ := twoSites(t, a, nil)
	name := "X-" + strings.Repeat("A", 62)
	startHandler(t, n.podPort, a[0], func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.Header.Get(name)) })
	n.publish(func(c *ingressv1.GatewayConfig) {
		c.Routes[0].Rules = &gantryv1.HttpRules{RequestHeaders: &gantryv1.HeaderRules{Set: []*gantryv1.HeaderValue{{Name: name, Value: "here"}}}}
	})
	n.serving(2)
	eventually(t, 10*time.Second, func() bool { code, body, _ := n.get(); return code == http.StatusOK && body == "here" }, n.log)
}
