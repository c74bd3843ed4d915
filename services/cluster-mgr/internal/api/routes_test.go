package api_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"gantry.dev/pkg/fault"
	gantryv1 "gantry.dev/proto/gen/gantry/v1"
	"gantry.dev/services/cluster-mgr/internal/certificate/certificatetest"
	"google.golang.org/protobuf/proto"
)

// routed is a platform with a gateway and an app.
func routed(t *testing.T) *harness {
	t.Helper()
	h := newHarness(t)
	h.platform()
	_, err := h.apply(web())
	h.ok(err)
	_, err = gantryv1.NewGatewayServiceClient(h.conn).CreateGateway(h.admin(), &gantryv1.CreateGatewayRequest{Gateway: &gantryv1.Gateway{
		Name: "gateways/main", Vip: "10.0.0.100", VirtualRouterId: 7,
		Nodes: []*gantryv1.GatewayNode{{Name: "lb-1", Address: "10.0.0.1", AgentAddress: "10.0.0.1:7300", Priority: 100}},
	}})
	h.ok(err)
	return h
}

// webRoute leads web.test to the app.
func webRoute(change ...func(*gantryv1.Route)) *gantryv1.Route {
	r := &gantryv1.Route{Name: "projects/pay/routes/web", Gateway: "gateways/main", Host: "web.test", App: "projects/pay/apps/web", Port: 8080, Rules: &gantryv1.HttpRules{}}
	for _, c := range change {
		c(r)
	}
	return r
}

func (h *harness) routes() gantryv1.RouteServiceClient { return gantryv1.NewRouteServiceClient(h.conn) }

func (h *harness) route(r *gantryv1.Route) (*gantryv1.Route, error) {
	return h.routes().UpdateRoute(h.as("ann"), &gantryv1.UpdateRouteRequest{Route: r, AllowMissing: true})
}

// certify stores a certificate for hosts in a secret of the project.
func (h *harness) certify(id string, data map[string][]byte) error {
	_, err := gantryv1.NewSecretServiceClient(h.conn).UpdateSecret(h.as("ann"), &gantryv1.UpdateSecretRequest{
		AllowMissing: true, Secret: &gantryv1.Secret{Name: "projects/pay/secrets/" + id, Data: data},
	})
	return err
}

func TestBadRoutesAreRefusedWithTheFieldNamed(t *testing.T) {
	h := routed(t)
	h.ok(h.certify("old", certificatetest.Secret(t, -time.Hour, "web.test")))
	h.ok(h.certify("other", certificatetest.Secret(t, time.Hour, "other.test")))
	h.ok(h.certify("plain", map[string][]byte{"password": []byte("x")}))
	rules := func(f func(*gantryv1.HttpRules)) func(*gantryv1.Route) {
		return func(r *gantryv1.Route) { f(r.GetRules()) }
	}
	host := func(s string) func(*gantryv1.Route) { return func(r *gantryv1.Route) { r.Host = s } }
	path := func(s string) func(*gantryv1.Route) { return func(r *gantryv1.Route) { r.PathPrefix = s } }
	setRequest := func(name, value string) func(*gantryv1.Route) {
		return rules(func(r *gantryv1.HttpRules) {
			r.RequestHeaders = &gantryv1.HeaderRules{Set: []*gantryv1.HeaderValue{{Name: name, Value: value}}}
		})
	}
	secret := func(name string) func(*gantryv1.Route) {
		return rules(func(r *gantryv1.HttpRules) { r.Tls = &gantryv1.Tls{Secret: name} })
	}
	canaries := func(c ...*gantryv1.Canary) func(*gantryv1.Route) {
		return rules(func(r *gantryv1.HttpRules) { r.Canaries = c })
	}
	half := &gantryv1.Canary{App: "projects/pay/apps/web", Port: 8080, WeightPercent: 60}
	redirect := func(to *gantryv1.Redirect) func(*gantryv1.Route) {
		return func(r *gantryv1.Route) { r.App, r.Port, r.Rules.Redirect = "", 0, to }
	}
	cidr := func(s ...string) func(*gantryv1.Route) {
		return rules(func(r *gantryv1.HttpRules) { r.AllowCidrs = s })
	}
	tests := []struct {
		name   string
		change func(*gantryv1.Route)
		field  string
	}{
		{"host with ;", host("web.test; location / {"), "host"},
		{"host with quotes", host(`"web.test"`), "host"},
		{"host with a newline", host("web.test\n"), "host"},
		{"host with $", host("$host"), "host"},
		{"wildcard", host("*.test"), "host"},
		{"upper case", host("Web.test"), "host"},
		{"path up", path("/a/../b"), "path_prefix"},
		{"path here", path("/a/./b"), "path_prefix"},
		{"path up at the end", path("/a/.."), "path_prefix"},
		{"empty part", path("/a//b"), "path_prefix"},
		{"two slashes", path("//"), "path_prefix"},
		{"encoded dot", path("/a/%2e%2e/b"), "path_prefix"},
		{"no slash", path("a"), "path_prefix"},
		{"header with CR", setRequest("X-A", "a\r\nX-B: b"), "request_headers.set[0].value"},
		{"Host", setRequest("Host", "a"), "request_headers.set[0].name"},
		{"Connection", setRequest("connection", "close"), "request_headers.set[0].name"},
		{"X-Forwarded-For", setRequest("X-Forwarded-For", "1.1.1.1"), "request_headers.set[0].name"},
		{"header name with a colon", setRequest("X:A", "a"), "request_headers.set[0].name"},
		{"removed length", rules(func(r *gantryv1.HttpRules) {
			r.ResponseHeaders = &gantryv1.HeaderRules{Remove: []string{"X-Powered-By", "Content-Length"}}
		}), "response_headers.remove[1]"},
		{"set and removed", rules(func(r *gantryv1.HttpRules) {
			r.ResponseHeaders = &gantryv1.HeaderRules{Set: []*gantryv1.HeaderValue{{Name: "X-A"}}, Remove: []string{"x-a"}}
		}), "response_headers.remove[0]"},
		{"long header with gRPC", rules(func(r *gantryv1.HttpRules) {
			r.Protocol, r.Tls = gantryv1.BackendProtocol_BACKEND_PROTOCOL_GRPC, &gantryv1.Tls{Secret: "projects/pay/secrets/web"}
			r.ResponseHeaders = &gantryv1.HeaderRules{Remove: []string{"X-A", strings.Repeat("X", 47)}}
		}), "rules.response_headers"},
		{"neither app nor redirect", func(r *gantryv1.Route) { r.App, r.Port = "", 0 }, "route.app"},
		{"app and redirect", rules(func(r *gantryv1.HttpRules) { r.Redirect = &gantryv1.Redirect{Scheme: "https"} }), "rules.redirect"},
		{"redirect to itself", redirect(&gantryv1.Redirect{Code: 301}), "rules.redirect"},
		{"redirect with CORS", func(r *gantryv1.Route) {
			r.App, r.Port, r.Rules.Redirect, r.Rules.Cors = "", 0, &gantryv1.Redirect{Scheme: "https"}, &gantryv1.Cors{Origins: []string{"*"}}
		}, "rules.cors"},
		{"redirect with ranges", func(r *gantryv1.Route) {
			r.App, r.Port, r.Rules.Redirect, r.Rules.AllowCidrs = "", 0, &gantryv1.Redirect{Scheme: "https"}, []string{"10.0.0.0/8"}
		}, "rules.allow_cidrs"},
		{"header with a variable", setRequest("X-A", "$host"), "request_headers.set[0].value"},
		{"redirect up", redirect(&gantryv1.Redirect{Host: "b.test", Path: "/../b"}), "rules.redirect.path"},
		{"another project's app", func(r *gantryv1.Route) { r.App = "projects/other/apps/web" }, "route.app"},
		{"no such app", func(r *gantryv1.Route) { r.App = "projects/pay/apps/none" }, "route.app"},
		{"no such port", func(r *gantryv1.Route) { r.Port = 81 }, "route.port"},
		{"canary of another project", canaries(&gantryv1.Canary{App: "projects/other/apps/web", Port: 8080, Header: "x"}), "rules.canaries[0].app"},
		{"canary without port", canaries(&gantryv1.Canary{App: "projects/pay/apps/web", Port: 81, Header: "x"}), "rules.canaries[0].port"},
		{"weights overflow", canaries(half, half), "rules.canaries[1].weight_percent"},
		{"weight of 0", canaries(&gantryv1.Canary{App: "projects/pay/apps/web", Port: 8080}), "rules.canaries[0]"},
		{"the same condition", canaries(&gantryv1.Canary{App: "projects/pay/apps/web", Port: 8080, Header: "x"}, &gantryv1.Canary{App: "projects/pay/apps/web", Port: 8080, Header: "X"}), "rules.canaries[1]"},
		{"CORS for all with cookies", rules(func(r *gantryv1.HttpRules) { r.Cors = &gantryv1.Cors{Origins: []string{"*"}, Credentials: true} }), "rules.cors.credentials"},
		{"CORS for all and one", rules(func(r *gantryv1.HttpRules) { r.Cors = &gantryv1.Cors{Origins: []string{"*", "https://a.test"}} }), "rules.cors.origins[0]"},
		{"CORS port", rules(func(r *gantryv1.HttpRules) { r.Cors = &gantryv1.Cors{Origins: []string{"https://a.test:70000"}} }), "rules.cors.origins[0]"},
		{"CIDR with host bits", cidr("10.0.0.0/8", "10.1.2.3/8"), "rules.allow_cidrs[1]"},
		{"CIDR twice", cidr("10.0.0.0/8", "10.0.0.0/8"), "rules.allow_cidrs[1]"},
		{"no CIDR", cidr("all"), "rules.allow_cidrs[0]"},
		{"gRPC without TLS", rules(func(r *gantryv1.HttpRules) { r.Protocol = gantryv1.BackendProtocol_BACKEND_PROTOCOL_GRPC }), "rules.protocol"},
		{"no such secret", secret("projects/pay/secrets/none"), "rules.tls.secret"},
		{"another project's secret", secret("projects/other/secrets/web"), "rules.tls.secret"},
		{"secret without certificate", secret("projects/pay/secrets/plain"), "rules.tls.secret"},
		{"expired", secret("projects/pay/secrets/old"), "rules.tls.secret"},
		{"certificate of another host", secret("projects/pay/secrets/other"), "rules.tls.secret"},
	}
	for _, tc := range tests {
		_, err := h.route(webRoute(tc.change))
		if err == nil {
			t.Errorf("%s: taken", tc.name)
			continue
		}
		if v := fault.From(err).Violations; len(v) == 0 || !strings.Contains(v[0].Field, tc.field) {
			t.Errorf("%s: got %v (%+v), want %s named", tc.name, err, v, tc.field)
		}
	}
}

func TestRouteRulesAreStoredAsGiven(t *testing.T) {
	h := routed(t)
	h.ok(h.certify("web", certificatetest.Secret(t, time.Hour, "web.test")))
	want := &gantryv1.HttpRules{
		Tls: &gantryv1.Tls{Secret: "projects/pay/secrets/web", RedirectHttp: true}, Protocol: gantryv1.BackendProtocol_BACKEND_PROTOCOL_GRPC,
		Canaries: []*gantryv1.Canary{{App: "projects/pay/apps/web", Port: 8080, WeightPercent: 100}},
	}
	given := webRoute(func(r *gantryv1.Route) { r.Rules = want })
	_, err := h.route(given)
	h.ok(err)
	got, err := h.routes().GetRoute(h.as("vic"), &gantryv1.GetRouteRequest{Name: given.GetName()})
	h.ok(err)
	if !proto.Equal(got.GetRules(), want) || got.GetRevision() != 1 || got.GetPathMatch() != gantryv1.PathMatch_PATH_MATCH_PREFIX {
		t.Errorf("got %v", got)
	}
	if got.GetStatus().GetServed() || len(got.GetStatus().GetProblems()) != 1 {
		t.Errorf("status %v", got.GetStatus())
	}
	again, err := h.route(got)
	h.ok(err)
	if again.GetEtag() != got.GetEtag() {
		t.Error("sending back what was read is a change")
	}
	// The app's port is used by a canary too, and a renewed certificate must fit.
	_, err = h.apply(web(func(s *gantryv1.AppSpec) { s.Ports[0].Port = 9090 }))
	h.refused(err, "PORT_IN_USE")
	err = h.certify("web", certificatetest.Secret(t, time.Hour, "other.test"))
	h.refused(err, "INVALID_FIELDS")
	h.ok(h.certify("web", certificatetest.Secret(t, 2*time.Hour, "web.test")))
}

// rule I7
func TestAPlaceBelongsToOneRoute(t *testing.T) {
	h := routed(t)
	for _, id := range []string{"a", "b"} {
		h.ok(h.certify(id, certificatetest.Secret(t, time.Hour, "web.test")))
	}
	put := func(id, path string, match gantryv1.PathMatch, secret string) error {
		_, err := h.route(webRoute(func(r *gantryv1.Route) {
			r.Name, r.PathPrefix, r.PathMatch = "projects/pay/routes/"+id, path, match
			if secret != "" {
				r.Rules.Tls = &gantryv1.Tls{Secret: "projects/pay/secrets/" + secret}
			}
		}))
		return err
	}
	const exact, prefix = gantryv1.PathMatch_PATH_MATCH_EXACT, gantryv1.PathMatch_PATH_MATCH_PREFIX
	h.ok(put("one", "/api", prefix, ""))
	h.ok(put("two", "/api", exact, "a"))
	h.refused(put("three", "/api", gantryv1.PathMatch_PATH_MATCH_UNSPECIFIED, ""), "PATH_TAKEN")
	h.refused(put("three", "/api", exact, ""), "PATH_TAKEN")
	h.refused(put("three", "/api/", prefix, ""), "PATH_TAKEN")
	h.refused(put("three", "/", prefix, "b"), "INVALID_FIELDS")
	h.ok(put("two", "/two", exact, "b"))
	h.ok(put("three", "/api", exact, "b"))
	_, err := h.routes().DeleteRoute(h.as("ann"), &gantryv1.DeleteRouteRequest{Name: "projects/pay/routes/one"})
	h.ok(err)
	h.ok(put("four", "/api", prefix, ""))
}

func TestRevisionsAndRollback(t *testing.T) {
	h := routed(t)
	port := func(seconds int32) *gantryv1.Route {
		return webRoute(func(r *gantryv1.Route) { r.Rules.Limits = &gantryv1.Limits{ReadSeconds: seconds} })
	}
	for i := range int32(52) {
		_, err := h.route(port(i + 1))
		h.ok(err)
	}
	list := func() []*gantryv1.RouteRevision {
		r, err := h.routes().ListRouteRevisions(h.as("vic"), &gantryv1.ListRouteRevisionsRequest{Parent: "projects/pay/routes/web"})
		h.ok(err)
		return r.GetRevisions()
	}
	got := list()
	if len(got) != 50 || got[0].GetNumber() != 52 || got[49].GetNumber() != 3 || got[0].GetCreatedBy() != "ann" || got[0].GetName() != "projects/pay/routes/web/revisions/52" {
		t.Fatalf("%d revisions, the first %v", len(got), got[0])
	}
	back := func(to int32, id string) (*gantryv1.Route, error) {
		return h.routes().RollbackRoute(h.as("ann"), &gantryv1.RollbackRouteRequest{Name: "projects/pay/routes/web", Revision: to, RequestId: id})
	}
	_, err := back(2, "")
	h.refused(err, "ROUTE_REVISION_NOT_FOUND")
	for range 2 { // rule S5
		route, err := back(40, "once")
		h.ok(err)
		if route.GetRevision() != 53 || route.GetRules().GetLimits().GetReadSeconds() != 40 {
			t.Errorf("got %v", route)
		}
	}
	if newest := list()[0]; newest.GetRollbackOf() != 40 || newest.GetNumber() != 53 {
		t.Errorf("got %v", newest)
	}
	_, err = h.routes().RollbackRoute(h.as("vic"), &gantryv1.RollbackRouteRequest{Name: "projects/pay/routes/web", Revision: 40})
	h.refused(err, "PERMISSION_DENIED")
	_, err = h.routes().DeleteRoute(h.as("ann"), &gantryv1.DeleteRouteRequest{Name: "projects/pay/routes/web"})
	h.ok(err)
	made, err := h.route(webRoute())
	h.ok(err)
	if made.GetRevision() != 1 || len(list()) != 1 {
		t.Errorf("a new route of that name has revision %d and %d forms", made.GetRevision(), len(list()))
	}
}

// A rollback to a form whose app has lost the port is refused as a new route
// would be, and the route stays as it is.
func TestRollbackChecksAnew(t *testing.T) {
	h := routed(t)
	both := func(s *gantryv1.AppSpec) { s.Ports = append(s.Ports, &gantryv1.Port{Name: "new", Port: 9090}) }
	_, err := h.apply(web(both))
	h.ok(err)
	_, err = h.route(webRoute())
	h.ok(err)
	_, err = h.route(webRoute(func(r *gantryv1.Route) { r.Port = 9090 }))
	h.ok(err)
	_, err = h.apply(web(both, func(s *gantryv1.AppSpec) { s.Ports = s.Ports[1:] }))
	h.ok(err)
	_, err = h.routes().RollbackRoute(h.as("ann"), &gantryv1.RollbackRouteRequest{Name: "projects/pay/routes/web", Revision: 1})
	h.refused(err, "INVALID_FIELDS")
}

func TestStreamRoutes(t *testing.T) {
	h := routed(t)
	_, err := gantryv1.NewProjectServiceClient(h.conn).CreateProject(h.admin(), &gantryv1.CreateProjectRequest{Project: &gantryv1.Project{
		Name: "projects/other", Members: []*gantryv1.Member{{Subject: "user:bob", Role: gantryv1.Member_ROLE_DEVELOPER}},
	}})
	h.ok(err)
	app := web()
	app.Name = "projects/other/apps/web"
	_, err = gantryv1.NewAppServiceClient(h.conn).UpdateApp(h.admin(), &gantryv1.UpdateAppRequest{App: app, AllowMissing: true})
	h.ok(err)
	streams := gantryv1.NewStreamRouteServiceClient(h.conn)
	put := func(ctx context.Context, project, id string, change ...func(*gantryv1.StreamRoute)) error {
		r := &gantryv1.StreamRoute{Name: "projects/" + project + "/streamRoutes/" + id, Gateway: "gateways/main", ListenPort: 5432, App: "projects/" + project + "/apps/web", Port: 8080}
		for _, c := range change {
			c(r)
		}
		_, err := streams.UpdateStreamRoute(ctx, &gantryv1.UpdateStreamRouteRequest{StreamRoute: r, AllowMissing: true})
		return err
	}
	listen := func(port int32) func(*gantryv1.StreamRoute) {
		return func(r *gantryv1.StreamRoute) { r.ListenPort = port }
	}
	udp := func(r *gantryv1.StreamRoute) { r.Protocol = gantryv1.StreamProtocol_STREAM_PROTOCOL_UDP }
	ann, bob := h.as("ann"), h.as("bob")
	h.ok(put(ann, "pay", "db"))
	h.ok(put(ann, "pay", "db"))
	h.refused(put(bob, "other", "db"), "PORT_TAKEN")
	h.says(put(bob, "other", "db"), "another project")
	h.refused(put(ann, "pay", "db2"), "PORT_TAKEN")
	h.ok(put(bob, "other", "db", udp))
	for _, port := range []int32{22, 80, 443, 7300} {
		h.says(put(ann, "pay", "own", listen(port)), "listen_port")
	}
	h.says(put(ann, "pay", "db", udp, func(r *gantryv1.StreamRoute) { r.ProxyProtocol = true }), "proxy_protocol")
	h.says(put(ann, "pay", "db", func(r *gantryv1.StreamRoute) { r.AllowCidrs = []string{"10.0.0.1/8"} }), "allow_cidrs[0]")
	h.says(put(ann, "pay", "db", func(r *gantryv1.StreamRoute) { r.Port = 81 }), "stream_route.port")
	h.refused(put(h.as("vic"), "pay", "no"), "PERMISSION_DENIED")
	h.refused(put(bob, "pay", "no"), "PROJECT_NOT_FOUND")

	_, err = gantryv1.NewAppServiceClient(h.conn).DeleteApp(ann, &gantryv1.DeleteAppRequest{Name: "projects/pay/apps/web"})
	h.refused(err, "APP_IN_USE")
	h.ok(put(ann, "pay", "db", listen(5433)))
	h.ok(put(bob, "other", "db2"))
	_, err = streams.DeleteStreamRoute(ann, &gantryv1.DeleteStreamRouteRequest{Name: "projects/pay/streamRoutes/db"})
	h.ok(err)
	h.ok(put(bob, "other", "db3", listen(5433)))
	list, err := streams.ListStreamRoutes(h.admin(), &gantryv1.ListStreamRoutesRequest{Parent: "projects/-"})
	h.ok(err)
	if len(list.GetStreamRoutes()) != 3 {
		t.Errorf("got %v", list.GetStreamRoutes())
	}
}

// Two projects that ask for a port at once: one gets it.
func TestAPortIsClaimedAtomically(t *testing.T) {
	h := routed(t)
	streams := gantryv1.NewStreamRouteServiceClient(h.conn)
	put := func(id string) error {
		_, err := streams.CreateStreamRoute(h.admin(), &gantryv1.CreateStreamRouteRequest{Parent: "projects/pay", StreamRoute: &gantryv1.StreamRoute{
			Name: "projects/pay/streamRoutes/" + id, Gateway: "gateways/main", ListenPort: 5432, App: "projects/pay/apps/web", Port: 8080,
		}})
		return err
	}
	h.meanwhile(func() { h.ok(put("first")) })
	h.refused(put("second"), "PORT_TAKEN")
}

// Many routes of one project, made by several callers at once.
func TestManyRoutes(t *testing.T) {
	h := routed(t)
	const callers, each = 4, 25
	done := make(chan error, callers)
	start := time.Now()
	for c := range callers {
		go func() {
			for i := range each {
				id := fmt.Sprintf("r-%d-%d", c, i)
				_, err := h.route(webRoute(func(r *gantryv1.Route) { r.Name, r.Host = "projects/pay/routes/"+id, id+".test" }))
				if err != nil {
					done <- err
					return
				}
			}
			done <- nil
		}()
	}
	for range callers {
		h.ok(<-done)
	}
	t.Logf("%d routes in %v", callers*each, time.Since(start))
	list, err := h.routes().ListRoutes(h.as("vic"), &gantryv1.ListRoutesRequest{Parent: "projects/pay", PageSize: 1000})
	h.ok(err)
	if len(list.GetRoutes()) != callers*each {
		t.Errorf("%d routes", len(list.GetRoutes()))
	}
}
