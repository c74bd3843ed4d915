package nginximport_test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	gantryv1 "gantry.dev/proto/gen/gantry/v1"
	"gantry.dev/services/gantry/internal/nginximport"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/testing/protocmp"
	"pgregory.net/rapid"
)

func options() nginximport.Options {
	return nginximport.Options{Project: "pay", Gateway: "main", Secret: "web", Apps: map[string]string{"10.0.0.7": "old:81"}}
}

func TestRead(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("testdata/shop.conf")
	if err != nil {
		t.Fatal(err)
	}
	got, err := nginximport.Read("shop.conf", text, options())
	if err != nil {
		t.Fatal(err)
	}
	tls := &gantryv1.Tls{Secret: "projects/pay/secrets/web"}
	limits := &gantryv1.Limits{MaxBodyBytes: 20 << 20, ReadSeconds: 300}
	response := &gantryv1.HeaderRules{Set: []*gantryv1.HeaderValue{{Name: "X-Frame-Options", Value: "DENY"}}}
	want := []*gantryv1.Route{
		{Name: "projects/pay/routes/shop-test", Gateway: "gateways/main", Host: "shop.test", PathPrefix: "/", Rules: &gantryv1.HttpRules{
			Limits: &gantryv1.Limits{MaxBodyBytes: 20 << 20}, Redirect: &gantryv1.Redirect{Scheme: "https", Code: 301},
		}},
		{Name: "projects/pay/routes/shop-test-2", Gateway: "gateways/main", Host: "shop.test", PathPrefix: "/", App: "projects/pay/apps/web", Port: 8080,
			Rules: &gantryv1.HttpRules{Tls: tls, Limits: limits, ResponseHeaders: response, Gzip: true}},
		{Name: "projects/pay/routes/shop-test-health", Gateway: "gateways/main", Host: "shop.test", PathPrefix: "/health", PathMatch: gantryv1.PathMatch_PATH_MATCH_EXACT,
			App: "projects/pay/apps/old", Port: 81, Rules: &gantryv1.HttpRules{Tls: tls, Limits: limits, ResponseHeaders: response, Gzip: true, AllowCidrs: []string{"10.0.0.0/8", "192.168.1.1/32"}}},
	}
	if diff := cmp.Diff(want, got.Routes, protocmp.Transform()); diff != "" {
		t.Errorf("routes (-want +got):\n%s", diff)
	}
	var lines []string
	for _, l := range got.Left {
		lines = append(lines, l.String())
	}
	wantLines, err := os.ReadFile("testdata/shop.left")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(strings.Split(strings.TrimSpace(string(wantLines)), "\n"), lines); diff != "" {
		t.Errorf("left (-want +got):\n%s", diff)
	}
}

// Who is kept out by the file is not let in by a route.
func TestGuardsAreNotDropped(t *testing.T) {
	t.Parallel()
	for _, guard := range []string{"auth_basic x;", "deny all;", "deny 10.0.0.0/8;", "allow unix:; deny all;", "deny all; allow 10.0.0.0/8;", "satisfy any;", "internal;", "limit_except GET { deny all; }", "ssl_verify_client on;"} {
		for _, at := range []string{"http { %s server { server_name a.b; location / { proxy_pass http://web; } } }", "server { %s server_name a.b; location / { proxy_pass http://web; } }", "server { server_name a.b; location / { %s proxy_pass http://web; } }"} {
			got, err := nginximport.Read("f", fmt.Appendf(nil, at, guard), options())
			if err != nil || len(got.Routes) > 0 || len(got.Left) == 0 {
				t.Errorf("%s in %s: %v, routes %v", guard, at, err, got.Routes)
			}
		}
	}
}

// Nothing is dropped silently: whatever stands in a file between what can be
// converted, is listed with its line, and each directive is counted once.
func TestNothingIsDroppedSilently(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		known := []string{"gzip on;", "client_max_body_size 1m;", "add_header X-A b;", "proxy_set_header Host $host;", "proxy_read_timeout 5s;"}
		foreign := []string{"proxy_buffering off;", "add_header X-A $foo;", "limit_req zone=a;", "my_own_thing x y;", "client_max_body_size 0;", "location ~ x { proxy_pass http://web; }"}
		foreignAt := map[int]bool{}
		line := 0
		var b strings.Builder
		write := func(s string) { line++; b.WriteString(s + "\n") }
		some := func(where string) {
			for _, i := range rapid.SliceOfN(rapid.IntRange(0, len(known)+len(foreign)-1), 0, 4).Draw(t, where) {
				if i < len(known) {
					write(known[i])
					continue
				}
				write(foreign[i-len(known)])
				foreignAt[line] = true
			}
		}
		write("http {")
		some("http")
		write("server {")
		write("server_name a.test;")
		some("server")
		write("location / {")
		some("location")
		write("proxy_pass http://web:80;")
		write("}")
		write("}")
		write("}")
		got, err := nginximport.Read("f", []byte(b.String()), options())
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range got.Left {
			delete(foreignAt, l.Line)
		}
		if len(foreignAt) > 0 {
			t.Fatalf("lines %v of\n%s are not listed: %v", foreignAt, b.String(), got.Left)
		}
		if got.Converted+len(got.Left) < got.Directives {
			t.Fatalf("%d converted and %d listed of %d", got.Converted, len(got.Left), got.Directives)
		}
		if len(got.Routes) != 1 {
			t.Fatalf("routes %v of\n%s", got.Routes, b.String())
		}
	})
}

func FuzzRead(f *testing.F) {
	f.Add("server { server_name a; location / { proxy_pass http://web; } }")
	f.Fuzz(func(t *testing.T, text string) {
		got, err := nginximport.Read("f", []byte(text), options())
		if err == nil && got.Converted > got.Directives {
			t.Errorf("%d of %d converted", got.Converted, got.Directives)
		}
	})
}

func TestABrokenFileIsRefused(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"server { } } server { server_name a; }", "server {", "server { listen 80 }", "\x00{"} {
		if got, err := nginximport.Read("f", []byte(text), options()); err == nil && len(got.Left) == 0 {
			t.Errorf("%q: %+v", text, got)
		}
	}
}
