package render_test

import (
	"strings"
	"testing"

	ingressv1 "gantry.dev/proto/gen/gantry/ingress/v1"
	gantryv1 "gantry.dev/proto/gen/gantry/v1"
	"gantry.dev/services/ingress-agent/internal/render"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// everyRule is all rules that go together, as one route has them.
func everyRule() *gantryv1.HttpRules {
	return &gantryv1.HttpRules{
		RequestHeaders: &gantryv1.HeaderRules{
			Set: []*gantryv1.HeaderValue{{Name: "X-Team", Value: `shop "a"; \b {}`}}, Remove: []string{"x-request-id", "Cookie"},
		},
		ResponseHeaders: &gantryv1.HeaderRules{
			Set: []*gantryv1.HeaderValue{{Name: "X-Frame-Options", Value: "DENY"}}, Remove: []string{"X-Powered-By"},
		},
		Limits:     &gantryv1.Limits{MaxBodyBytes: 1000, ConnectSeconds: 2, ReadSeconds: 30, SendSeconds: 40},
		RateLimit:  &gantryv1.RateLimit{RequestsPerSecond: 10, Burst: 5},
		AllowCidrs: []string{"10.0.0.0/8", "fd00::/8"},
		Gzip:       true,
		Cors:       &gantryv1.Cors{Origins: []string{"https://shop.example"}, Headers: []string{"X-Team"}, Credentials: true},
		Sticky:     &gantryv1.Sticky{MaxAgeSeconds: 3600},
	}
}

func rules() *rapid.Generator[*gantryv1.HttpRules] {
	values := rapid.StringMatching(`[ -#%-~]{0,20}`)
	headers := rapid.Custom(func(t *rapid.T) *gantryv1.HeaderRules {
		r := &gantryv1.HeaderRules{}
		for i, name := range rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"A", "Host", "x-real-ip", "Cookie", "X-B"}), 0, 4, rapid.ID).Draw(t, "names") {
			if i%2 == 0 {
				r.Set = append(r.Set, &gantryv1.HeaderValue{Name: name, Value: values.Draw(t, "value")})
			} else {
				r.Remove = append(r.Remove, name)
			}
		}
		return r
	})
	return rapid.Custom(func(t *rapid.T) *gantryv1.HttpRules {
		r := &gantryv1.HttpRules{
			RequestHeaders: headers.Draw(t, "request"), ResponseHeaders: headers.Draw(t, "response"), Gzip: rapid.Bool().Draw(t, "gzip"),
			Limits: &gantryv1.Limits{
				MaxBodyBytes: rapid.Int64Range(0, 1<<36).Draw(t, "body"), ConnectSeconds: rapid.Int32Range(0, 75).Draw(t, "connect"),
				ReadSeconds: rapid.Int32Range(0, 86400).Draw(t, "read"), SendSeconds: rapid.Int32Range(0, 86400).Draw(t, "send"),
			},
		}
		if rapid.Bool().Draw(t, "tls") {
			r.Tls = &gantryv1.Tls{RedirectHttp: rapid.Bool().Draw(t, "to https"), HstsSeconds: rapid.Int32Range(0, 63072000).Draw(t, "hsts")}
		}
		r.Protocol = gantryv1.BackendProtocol(rapid.IntRange(0, 2).Draw(t, "protocol"))
		if rapid.Bool().Draw(t, "redirects") {
			r.Redirect = &gantryv1.Redirect{
				Scheme: rapid.SampledFrom([]string{"", "http", "https"}).Draw(t, "scheme"), Host: rapid.SampledFrom([]string{"", "new.example"}).Draw(t, "host"),
				Path: rapid.SampledFrom([]string{"", "/", "/new/~x"}).Draw(t, "path"), Code: rapid.SampledFrom([]int32{0, 301, 308}).Draw(t, "code"),
			}
			return r
		}
		if rapid.Bool().Draw(t, "kept") {
			r.Sticky = &gantryv1.Sticky{Cookie: rapid.SampledFrom([]string{"", "a_b"}).Draw(t, "cookie"), MaxAgeSeconds: rapid.Int32Range(0, 31536000).Draw(t, "age")}
		}
		if rapid.Bool().Draw(t, "shared") {
			r.Cors = cors().Draw(t, "cors")
		}
		r.AllowCidrs = rapid.SliceOf(rapid.SampledFrom([]string{"10.1.2.3/8", "::/0", "2001:db8::1/64"})).Draw(t, "allow")
		if rapid.Bool().Draw(t, "limited") {
			r.RateLimit = &gantryv1.RateLimit{
				RequestsPerSecond: rapid.Int32Range(1, 1000000).Draw(t, "rate"), Burst: rapid.Int32Range(0, 1000000).Draw(t, "burst"),
				Key: gantryv1.RateLimit_Key(rapid.IntRange(0, 2).Draw(t, "key")),
			}
		}
		return r
	})
}

func cors() *rapid.Generator[*gantryv1.Cors] {
	some := func(values ...string) *rapid.Generator[[]string] {
		return rapid.SliceOfNDistinct(rapid.SampledFrom(values), 0, len(values), rapid.ID)
	}
	return rapid.Custom(func(t *rapid.T) *gantryv1.Cors {
		c := &gantryv1.Cors{
			Origins: []string{"*"}, Methods: some("GET", "PUT", "OPTIONS").Draw(t, "methods"), Headers: some("X-A", "Authorization").Draw(t, "headers"),
			MaxAgeSeconds: rapid.Int32Range(0, 86400).Draw(t, "age"),
		}
		if origins := some("https://a.example", "http://b.example:8080").Draw(t, "origins"); len(origins) > 0 {
			c.Origins, c.Credentials = origins, rapid.Bool().Draw(t, "credentials")
		}
		return c
	})
}

// rule I2: the rules are read back as they were written.
func TestRulesAreReadBack(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		c := gateway()
		for _, route := range c.GetRoutes() {
			route.Rules = rules().Draw(r, "rules")
			route.HoldSeconds = rapid.Int32Range(0, 1).Draw(r, "hold")
			route.PathMatch = gantryv1.PathMatch(rapid.IntRange(0, 2).Draw(r, "match"))
		}
		m := render.FromConfig(c, "lb-1").Model
		got, err := render.Parse(files(t, m, env("/g")).Files)
		if err != nil || !render.Equal(m, got) {
			r.Fatalf("%v\n%s", err, cmp.Diff(m, got))
		}
	})
}

// An exact path and a prefix of the same path are two routes' own.
func TestExactBesidePrefix(t *testing.T) {
	c := gateway()
	exact := route("exact", "web.example", "/api")
	exact.PathMatch = gantryv1.PathMatch_PATH_MATCH_EXACT
	c.Routes = append(c.Routes, exact)
	b := render.FromConfig(c, "lb-1")
	if len(b.Rejected) > 0 {
		t.Fatal(b.Rejected)
	}
	got, err := render.Parse(files(t, b.Model, env("/g")).Files)
	if err != nil || !render.Equal(b.Model, got) {
		t.Fatalf("%v\n%s", err, cmp.Diff(b.Model, got))
	}
	c.Routes = append(c.Routes, route("slash", "web.example", "/api/"))
	if b := render.FromConfig(c, "lb-1"); len(b.Rejected) != 1 {
		t.Errorf("/api and /api/ are the same prefix: %v", b.Rejected)
	}
}

// rules I1, I4: a rule that is wrong, or that this node cannot serve, rejects
// its route alone and names the field.
func TestRulesAreRefused(t *testing.T) {
	for field, change := range map[string]func(*gantryv1.HttpRules){
		"tls.hsts_seconds": func(r *gantryv1.HttpRules) { r.Tls = &gantryv1.Tls{HstsSeconds: -1} },
		"protocol":         func(r *gantryv1.HttpRules) { r.Protocol = 3 },
		"protocol: with": func(r *gantryv1.HttpRules) {
			r.Protocol, r.ResponseHeaders.Remove[0] = gantryv1.BackendProtocol_BACKEND_PROTOCOL_GRPC, strings.Repeat("X", 47)
		},
		"cors.origins":             func(r *gantryv1.HttpRules) { r.Cors.Origins = nil },
		"cors.origins: ":           func(r *gantryv1.HttpRules) { r.Cors.Origins[0] = "https://a.example; set" },
		"cors.origins holds":       func(r *gantryv1.HttpRules) { r.Cors.Origins = []string{"*", "https://a.example"} },
		"cors.methods":             func(r *gantryv1.HttpRules) { r.Cors.Methods = []string{"get"} },
		"cors.headers":             func(r *gantryv1.HttpRules) { r.Cors.Headers = []string{"a b"} },
		"cors.credentials":         func(r *gantryv1.HttpRules) { r.Cors.Origins = []string{"*"} },
		"cors.max_age":             func(r *gantryv1.HttpRules) { r.Cors.MaxAgeSeconds = -1 },
		"cors and rules.response_": func(r *gantryv1.HttpRules) { r.ResponseHeaders.Remove[0] = "access-control-max-age" },
		"sticky.cookie":            func(r *gantryv1.HttpRules) { r.Sticky.Cookie = "a=b" },
		"sticky.max_age":           func(r *gantryv1.HttpRules) { r.Sticky.MaxAgeSeconds = -1 },
		"canaries[0]: give": func(r *gantryv1.HttpRules) {
			r.Canaries = []*gantryv1.Canary{canary(func(c *gantryv1.Canary) { c.Cookie = "a" })}
		},
		"canaries[0].app": func(r *gantryv1.HttpRules) {
			r.Canaries = []*gantryv1.Canary{canary(func(c *gantryv1.Canary) { c.App = "projects/other/apps/web" })}
		},
		"canaries[0].port": func(r *gantryv1.HttpRules) {
			r.Canaries = []*gantryv1.Canary{canary(func(c *gantryv1.Canary) { c.Port = 0 })}
		},
		"canaries[0].value": func(r *gantryv1.HttpRules) {
			r.Canaries = []*gantryv1.Canary{canary(func(c *gantryv1.Canary) { c.Value = "a b" })}
		},
		"canaries[1].weight": func(r *gantryv1.HttpRules) { r.Canaries = []*gantryv1.Canary{canary(nil), canary(nil)} },
		"redirect":           func(r *gantryv1.HttpRules) { r.Redirect = &gantryv1.Redirect{Host: "new.example"} },
		"redirect.host":      func(r *gantryv1.HttpRules) { r.Redirect = &gantryv1.Redirect{Host: "a;b"} },
		"redirect.path":      func(r *gantryv1.HttpRules) { r.Redirect = &gantryv1.Redirect{Path: "/$x"} },
		"redirect.scheme":    func(r *gantryv1.HttpRules) { r.Redirect = &gantryv1.Redirect{Scheme: "ftp"} },
		"redirect.code":      func(r *gantryv1.HttpRules) { r.Redirect = &gantryv1.Redirect{Path: "/x", Code: 200} },
		"request_headers":    func(r *gantryv1.HttpRules) { r.RequestHeaders.Set[0].Value = "a\r\nX: b" },
		"response_headers":   func(r *gantryv1.HttpRules) { r.ResponseHeaders.Set[0].Value = "$host" },
		"allow_cidrs":        func(r *gantryv1.HttpRules) { r.AllowCidrs[0] = "10.0.0.1; deny all" },
		"rate_limit.burst":   func(r *gantryv1.HttpRules) { r.RateLimit.Burst = -1 },
		"limits.max_body":    func(r *gantryv1.HttpRules) { r.Limits.MaxBodyBytes = -1 },
	} {
		c := gateway()
		c.Routes[0].Rules = everyRule()
		change(c.Routes[0].GetRules())
		b := render.FromConfig(c, "lb-1")
		if len(b.Rejected) != 1 || !strings.Contains(b.Rejected[0].Reason, "rules."+field) || len(b.Model.Routes()) != 2 {
			t.Errorf("%s: rejected %v", field, b.Rejected)
		}
	}
}

// canary takes 60 % of the requests, or what change makes of it.
func canary(change func(*gantryv1.Canary)) *gantryv1.Canary {
	c := &gantryv1.Canary{App: "projects/shop/apps/next", Port: 8080, WeightPercent: 60}
	if change != nil {
		change(c)
	}
	return c
}

// A canary is in no file, so that its weight changes without a reload.
func TestCanariesAreNotInTheFiles(t *testing.T) {
	plain, split := gateway(), gateway()
	split.Routes[0].Rules = &gantryv1.HttpRules{Canaries: []*gantryv1.Canary{
		canary(nil), canary(func(c *gantryv1.Canary) { c.WeightPercent, c.Header, c.Value = 0, "X-Use-Canary", "" }),
	}}
	if !render.Equal(render.FromConfig(plain, "lb-1").Model, render.FromConfig(split, "lb-1").Model) {
		t.Error("the files would differ")
	}
	got, err := render.CanariesOf(split.GetRoutes()[0])
	want := []render.Canary{
		{Upstream: "shop/next:8080", Percent: 60}, {Upstream: "shop/next:8080", Variable: "http_x_use_canary", Value: "always"},
	}
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Error(err, diff)
	}
}

func FuzzRules(f *testing.F) {
	f.Add("X-A", `a"; }`, "10.0.0.0/8", "new.example", "/a", int32(3600), int32(2))
	f.Fuzz(func(t *testing.T, name, value, cidr, host, path string, hsts, protocol int32) {
		c := gateway()
		set := &gantryv1.HeaderRules{Set: []*gantryv1.HeaderValue{{Name: name, Value: value}}}
		c.Routes[0].Rules = &gantryv1.HttpRules{RequestHeaders: set, ResponseHeaders: set, AllowCidrs: []string{cidr}, Sticky: &gantryv1.Sticky{Cookie: name, MaxAgeSeconds: hsts}}
		c.Routes[2].Rules = &gantryv1.HttpRules{
			RequestHeaders: set, Protocol: gantryv1.BackendProtocol(protocol), Tls: &gantryv1.Tls{Secret: value, HstsSeconds: hsts, RedirectHttp: hsts%2 == 0},
			Cors: &gantryv1.Cors{Origins: []string{"https://" + host, "http://" + host + ":80"}, Headers: []string{name}, Methods: []string{"GET", strings.ToUpper(host)}, MaxAgeSeconds: hsts},
		}
		c.Routes[1].Rules = &gantryv1.HttpRules{Redirect: &gantryv1.Redirect{Host: host, Path: path}}
		m := render.FromConfig(c, "lb-1").Model
		g, err := render.Files(m, env("/g"), nil)
		if err != nil {
			t.Fatalf("the grammar let through what cannot be written: %v", err)
		}
		if got, err := render.Parse(g.Files); err != nil || !render.Equal(got, m) {
			t.Fatalf("%v\n%s", err, cmp.Diff(m, got))
		}
	})
}

// redirecting is a route without an app.
func redirecting() *ingressv1.Route {
	r := route("old", "old.example", "/")
	r.App, r.Port = "", 0
	r.Rules = &gantryv1.HttpRules{Redirect: &gantryv1.Redirect{Scheme: "https", Host: "web.example", Code: 308}}
	return r
}
