package render_test

import (
	"strings"
	"testing"

	ingressv1 "gantry.dev/proto/gen/gantry/ingress/v1"
	gantryv1 "gantry.dev/proto/gen/gantry/v1"
	"gantry.dev/services/ingress-agent/internal/render"
	"github.com/google/go-cmp/cmp"
)

// secure is a route with TLS on a host of its own.
func secure(name string) *ingressv1.Route {
	r := route(name, name+".example", "/")
	r.Rules = &gantryv1.HttpRules{Tls: &gantryv1.Tls{Secret: "projects/shop/secrets/tls", RedirectHttp: true, HstsSeconds: 31536000}}
	return r
}

// A node that nobody needs HTTPS of opens no port for it, and one that is told
// not to neither.
func TestListenerOnlyWhereNeeded(t *testing.T) {
	listens := func(c *ingressv1.GatewayConfig, port int) int {
		e := env("/g")
		e.HTTPSPort = port
		n := 0
		for _, text := range files(t, render.FromConfig(c, "lb-1").Model, e).Files {
			n += strings.Count(string(text), " ssl http2")
		}
		return n
	}
	with := gateway()
	with.Routes = append(with.Routes, secure("shop"))
	if got := []int{listens(gateway(), 443), listens(with, 443), listens(with, 0)}; !cmp.Equal(got, []int{0, 2, 0}) {
		t.Errorf("%v listeners", got)
	}
}

// A host answers HTTPS for all its routes when one of them says so.
func TestTLSHosts(t *testing.T) {
	c := gateway()
	c.Routes[1].Rules = &gantryv1.HttpRules{Tls: &gantryv1.Tls{}}
	m := render.FromConfig(c, "lb-1").Model
	if diff := cmp.Diff([]string{"web.example"}, m.TLSHosts()); diff != "" {
		t.Error(diff)
	}
	without := m.Only(func(name string) bool { return name != c.GetRoutes()[1].GetName() })
	if len(without.TLSHosts()) > 0 || len(without.Hosts) != 2 {
		t.Errorf("without that route %v", without.TLSHosts())
	}
}

func TestHSTSIsSaidOnce(t *testing.T) {
	c := gateway()
	c.Routes = append(c.Routes, secure("shop"))
	c.Routes[3].Rules.ResponseHeaders = &gantryv1.HeaderRules{Remove: []string{"strict-transport-security"}}
	if b := render.FromConfig(c, "lb-1"); len(b.Rejected) != 1 || !strings.Contains(b.Rejected[0].Reason, "rules.tls.hsts_seconds") {
		t.Errorf("rejected %v", b.Rejected)
	}
}
