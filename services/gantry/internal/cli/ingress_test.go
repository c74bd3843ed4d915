package cli

import (
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const ingressFile = `kind: Gateway
name: main
vip: 10.0.0.9
virtualRouterId: 51
nodes:
  - {name: lb-1, address: 10.0.0.1, priority: 100}
  - {name: lb-2, address: 10.0.0.2, priority: 90}
---
kind: Route
name: projects/shop/routes/web
gateway: main
host: shop.test
app: web
port: 8080
rules:
  limits: {readSeconds: 30}
`

// tree is the files below dir, but for the balancer's Lua.
func tree(t *testing.T, dir string) []string {
	t.Helper()
	var all []string
	err := fs.WalkDir(os.DirFS(dir), ".", func(name string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && !strings.HasPrefix(name, "lua/") {
			all = append(all, name)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestIngressRender(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "nginx")
	render := func(in string, args ...string) result {
		return offlineRun(t, in, append([]string{"ingress", "render", "-f", "-", "-o", dir}, args...)...)
	}
	if got := render(ingressFile); got.code != 0 || got.out+got.err != "" {
		t.Fatalf("%+v", got)
	}
	want := []string{".rendered", "hosts/shop.test.conf", "keepalived.conf", "nginx.conf"}
	if diff := cmp.Diff(want, tree(t, dir)); diff != "" {
		t.Error(diff)
	}
	text, err := os.ReadFile(filepath.Join(dir, "hosts/shop.test.conf"))
	if err != nil || !strings.Contains(string(text), "proxy_read_timeout 30s;") {
		t.Errorf("%s %v", text, err)
	}

	// What it wrote it replaces, by its own routes only.
	if got := render(strings.ReplaceAll(ingressFile[strings.Index(ingressFile, "---\n"):], "shop.test", "next.test")); got.code != 0 {
		t.Fatalf("%+v", got)
	}
	if diff := cmp.Diff([]string{".rendered", "hosts/next.test.conf", "nginx.conf"}, tree(t, dir)); diff != "" {
		t.Error(diff)
	}

	// What it did not write it leaves alone.
	if err := os.WriteFile(filepath.Join(dir, "hosts/mine.conf"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if got := render(ingressFile); got.code == 0 || !strings.Contains(got.err, "holds hosts/mine.conf, which gantry did not write") {
		t.Errorf("%+v", got)
	}
	if !slices.Contains(tree(t, dir), "hosts/next.test.conf") {
		t.Error("it was changed all the same")
	}
}

// The configuration that an agent keeps gives the same files as the manifests.
func TestIngressRenderOfAConfiguration(t *testing.T) {
	const config = `{"gateway": "main", "generation": "7", "vip": "10.0.0.9", "virtualRouterId": 51, "nodes": [
		{"name": "lb-1", "address": "10.0.0.1", "priority": 100}, {"name": "lb-2", "address": "10.0.0.2", "priority": 90}], "routes": [
		{"name": "projects/shop/routes/web", "host": "shop.test", "pathPrefix": "/", "app": "projects/shop/apps/web", "port": 8080,
		 "rules": {"limits": {"readSeconds": 30}}}]}`
	dir := t.TempDir()
	for name, in := range map[string]string{"manifests": ingressFile, "configuration": config} {
		t.Chdir(dir)
		if got := offlineRun(t, in, "ingress", "render", "-f", "-", "-o", "out", "--node", "lb-2"); got.code != 0 {
			t.Fatalf("%s: %+v", name, got)
		}
		if err := os.Rename("out", name); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range tree(t, filepath.Join(dir, "manifests")) {
		a, _ := os.ReadFile(filepath.Join(dir, "manifests", name))
		b, err := os.ReadFile(filepath.Join(dir, "configuration", name))
		if diff := cmp.Diff(string(a), string(b)); diff != "" || err != nil {
			t.Errorf("%s: %v %s", name, err, diff)
		}
	}
	if text, _ := os.ReadFile(filepath.Join(dir, "manifests/keepalived.conf")); !strings.Contains(string(text), "priority 90") {
		t.Errorf("not of lb-2: %s", text)
	}
}

const streamFile = `---
kind: StreamRoute
name: projects/shop/streamRoutes/db
gateway: main
listenPort: 5432
app: db
port: 5433
proxyProtocol: true
`

func TestIngressRenderOfStreams(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "nginx")
	if got := offlineRun(t, ingressFile+streamFile, "ingress", "render", "-f", "-", "-o", dir); got.code != 0 {
		t.Fatalf("%+v", got)
	}
	want := []string{".rendered", "hosts/shop.test.conf", "keepalived.conf", "nginx.conf", "stream/nginx.conf", "stream/streams/shop.db.conf"}
	if diff := cmp.Diff(want, tree(t, dir)); diff != "" {
		t.Error(diff)
	}
	text, err := os.ReadFile(filepath.Join(dir, "stream/streams/shop.db.conf"))
	if err != nil || !strings.Contains(string(text), "proxy_protocol on;") || !strings.Contains(string(text), "listen 5432") {
		t.Errorf("%s %v", text, err)
	}
	// Without stream routes their Nginx is gone again.
	if got := offlineRun(t, ingressFile, "ingress", "render", "-f", "-", "-o", dir); got.code != 0 {
		t.Fatalf("%+v", got)
	}
	if diff := cmp.Diff(want[:4], tree(t, dir)); diff != "" {
		t.Error(diff)
	}
}

func TestIngressRenderRefuses(t *testing.T) {
	change := func(old, next string) string { return strings.Replace(ingressFile, old, next, 1) }
	for name, tt := range map[string]struct {
		in   string
		args []string
		code int
		says string
	}{
		"field":             {change("readSeconds: 30", "readSeconds: 90000"), nil, 1, "-:16:12: projects/shop/routes/web: rules.limits.read_seconds 90000 is not from 0 to 86400"},
		"host":              {change("shop.test", "shop.test;"), nil, 1, `-:12:1: projects/shop/routes/web: host "shop.test;" is not a lower-case DNS name`},
		"unknown":           {change("port: 8080", "prot: 8080"), nil, 1, "did you mean"},
		"stream port":       {ingressFile + strings.Replace(streamFile, "5432", "443", 1), nil, 1, "-:21:1: projects/shop/streamRoutes/db: listen_port 443 is that of HTTPS"},
		"stream of another": {ingressFile + strings.Replace(streamFile, "main", "other", 1), nil, 1, "-:20:1: gateway: the file is of gateways/main already"},
		"gateways":          {change("gateway: main", "gateway: other"), nil, 1, "-:11:1: gateway: the file is of gateways/main already, not of gateways/other"},
		"node":              {ingressFile, []string{"--node", "lb-9"}, 1, "gateway main has no node lb-9"},
		"not a config":      {`{"gateway": "main", "rutes": []}`, nil, 1, `unknown field "rutes"`},
		"no directory":      {ingressFile, []string{"-o", ""}, 2, "name a directory with -o DIR"},
		"no file":           {ingressFile, []string{"-f", ""}, 2, "name a file with -f FILE"},
		"bad path":          {ingressFile, []string{"--state-dir", "a b"}, 1, `path "a b" must be absolute`},
	} {
		dir := filepath.Join(t.TempDir(), "out")
		got := offlineRun(t, tt.in, append([]string{"ingress", "render", "-f", "-", "-o", dir}, tt.args...)...)
		if got.code != tt.code || !strings.Contains(got.err, tt.says) {
			t.Errorf("%s: %+v", name, got)
		}
		if _, err := os.Stat(dir); err == nil {
			t.Errorf("%s: something was written", name)
		}
	}
}

// The example of every rule is one that a node serves.
func TestTheExampleOfRulesIsServed(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "nginx")
	if got := offlineRun(t, "", "ingress", "render", "-f", "../../../../examples/hello/rules.yaml", "-o", dir); got.code != 0 {
		t.Fatalf("%+v", got)
	}
	for _, file := range []string{"hosts/shop.demo.test.conf", "hosts/api.demo.test.conf", "hosts/old-shop.demo.test.conf", "stream/streams/demo.db.conf"} {
		if _, err := os.Stat(filepath.Join(dir, file)); err != nil {
			t.Error(err)
		}
	}
}
