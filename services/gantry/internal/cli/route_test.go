package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const shopRoutes = `kind: Route
name: web
gateway: main
host: shop.test
app: web
port: 8080
rules:
  tls: {secret: shop, redirectHttp: true}
  gzip: true
  limits: {readSeconds: READ}
  canaries:
    - {app: next, port: 8080, weightPercent: 5}
---
kind: Route
name: old
gateway: main
host: old.test
pathPrefix: /a
pathMatch: EXACT
rules:
  redirect: {scheme: https, host: shop.test, code: 301}
---
kind: StreamRoute
name: db
gateway: main
protocol: UDP
listenPort: 5432
app: db
port: 5432
`

func TestRoutes(t *testing.T) {
	p, config := startPlatform(t)
	first := strings.ReplaceAll(shopRoutes, "READ", "30")
	second := strings.ReplaceAll(shopRoutes, "READ", "90")
	applied := gantry(t, config, first, "apply", "-f", "-")
	if applied.code != 0 || applied.out != "route/web created\nroute/old created\nstreamRoute/db created\n" {
		t.Fatalf("%+v", applied)
	}
	if tls := p.routes["projects/hello/routes/web"].GetRules(); tls.GetTls().GetSecret() != "projects/hello/secrets/shop" || tls.GetCanaries()[0].GetApp() != "projects/hello/apps/next" {
		t.Errorf("short names in %v", tls)
	}
	diff := gantry(t, config, second, "route", "diff", "-f", "-")
	if diff.code != 0 || !strings.Contains(diff.out, "-    readSeconds: 30\n+    readSeconds: 90\n") || !strings.Contains(diff.out, "\nroute/old unchanged\n--- hosts/shop.test.conf\n") {
		t.Errorf("%+v", diff)
	}
	if got := p.routes["projects/hello/routes/web"].GetRules().GetLimits().GetReadSeconds(); got != 30 {
		t.Errorf("diff has changed it to %d", got)
	}
	gantry(t, config, second, "apply", "-f", "-")
	for _, tt := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{"route", "rollback", "web", "--to", "1"}, 0, "route/web rolled back to revision 1; it is revision 3 now\n"},
		{[]string{"route", "rollback", "web"}, 2, "say which revision with --to"},
		{[]string{"route", "rollback", "web", "--to", "9"}, 3, "has no revision 9"},
		{[]string{"route", "get", "none"}, 3, "there is no route"},
		{[]string{"route", "diff"}, 2, "name a file with -f"},
	} {
		if got := gantry(t, config, "", tt.args...); got.code != tt.code || !strings.Contains(got.out+got.err, tt.says) {
			t.Errorf("%v: %+v", tt.args, got)
		}
	}
	for args, want := range map[string]string{
		"get routes": "routes", "get streamroutes": "stream-routes", "route get web": "route-get",
		"route history web": "route-history", "get route web -o yaml": "route-yaml",
	} {
		got := gantry(t, config, "", strings.Fields(args)...)
		if got.code != 0 {
			t.Errorf("%s: %+v", args, got)
		}
		golden(t, want, got.out)
	}
	if got := gantry(t, config, first, "delete", "-f", "-"); got.code != 0 || len(p.routes)+len(p.streams) != 0 {
		t.Errorf("%+v", got)
	}
}

// A diff shows the fields and what Nginx makes of them, of a new route all.
func TestRouteDiff(t *testing.T) {
	_, config := startPlatform(t)
	route := func(name, rules string) string {
		return "kind: Route\nname: " + name + "\ngateway: main\nhost: " + name + ".test\napp: web\nport: 8080\nrules: " + rules + "\n"
	}
	if got := gantry(t, config, route("web", "{limits: {readSeconds: 30}}"), "apply", "-f", "-"); got.code != 0 {
		t.Fatalf("%+v", got)
	}
	next := route("web", "{limits: {readSeconds: 90}, gzip: true}") + "---\n" + route("new", "{}") + "---\n" + route("bad", "{limits: {readSeconds: 90000}}")
	got := gantry(t, config, next, "route", "diff", "-f", "-")
	for _, want := range []string{
		"route/web configured\n--- route/web\n+++ route/web\n@@", "\n-    readSeconds: 30\n+    readSeconds: 90\n",
		"\n--- hosts/web.test.conf\n+++ hosts/web.test.conf\n@@", "\n-        proxy_read_timeout 30s;\n", "\n+        proxy_read_timeout 90s;\n", "\n+        gzip on;\n",
		"\nroute/new created\n--- /dev/null\n+++ route/new\n@@", "\n--- /dev/null\n+++ hosts/new.test.conf\n@@", "\n+    server_name new.test;\n",
		"\n+# route/bad is not served: rules.limits.read_seconds 90000 is not from 0 to 86400\n",
	} {
		if !strings.Contains(got.out, want) {
			t.Errorf("no %q in %s", want, got.out)
		}
	}
	if got.code != 0 || strings.Contains(got.out, "-    server_name") {
		t.Errorf("%+v", got)
	}
}

// The file of a host is shown as the gateway has it: with the routes that the
// diffed file does not name, and once for all that it does; a route that moves
// changes two.
func TestRouteDiffOfSharedHosts(t *testing.T) {
	_, config := startPlatform(t)
	route := func(name, host, path, more string) string {
		return "kind: Route\nname: " + name + "\ngateway: main\nhost: " + host + "\npathPrefix: " + path + "\napp: web\nport: 8080\n" + more + "---\n"
	}
	all := route("root", "a.test", "/", "") + route("shop", "a.test", "/shop", "") + route("pay", "a.test", "/pay", "")
	if got := gantry(t, config, all, "apply", "-f", "-"); got.code != 0 {
		t.Fatalf("%+v", got)
	}
	next := route("shop", "a.test", "/shop", "rules: {gzip: true}\n") + route("pay", "b.test", "/pay", "")
	got := gantry(t, config, next, "route", "diff", "-f", "-")
	for want, times := range map[string]int{
		"--- hosts/a.test.conf\n+++ hosts/a.test.conf\n": 1, "--- /dev/null\n+++ hosts/b.test.conf\n": 1,
		"\n+        gzip on;\n": 2, "\n-    location /pay/ {\n": 1, "\n+    location /pay/ {\n": 1,
		"\n     location = /shop {\n": 1, "-    location /shop/": 0, "-    server_name": 0,
	} {
		if n := strings.Count(got.out, want); n != times {
			t.Errorf("%d times %q in %s", n, want, got.out)
		}
	}
	if got.code != 0 {
		t.Errorf("%+v", got)
	}
}

// What is imported can be applied.
func TestRouteImport(t *testing.T) {
	p, config := startPlatform(t)
	dir := t.TempDir()
	in, out := filepath.Join(dir, "nginx.conf"), filepath.Join(dir, "routes.yaml")
	text := "server {\n  server_name a.test;\n  location / {\n    proxy_pass http://back;\n    limit_req zone=x;\n  }\n}\n"
	if err := os.WriteFile(in, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	got := gantry(t, config, "", "route", "import", in, "-o", out, "--app", "back=web:8080")
	if got.code != 0 || !strings.Contains(got.err, in+":5: limit_req zone=x: ") || !strings.Contains(got.err, "1 routes; 4 of 5 directives converted\n") {
		t.Fatalf("%+v", got)
	}
	if applied := gantry(t, config, "", "apply", "-f", out); applied.code != 0 || p.routes["projects/hello/routes/a-test"].GetApp() != "projects/hello/apps/web" {
		t.Errorf("%+v, %v", applied, p.routes)
	}
	if got := gantry(t, config, "server {", "route", "import", "-"); got.code != 2 || !strings.Contains(got.err, "inside a block") {
		t.Errorf("%+v", got)
	}
}
