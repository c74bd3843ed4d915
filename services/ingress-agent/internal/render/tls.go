package render

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	gantryv1 "gantry.dev/proto/gen/gantry/v1"
	"gantry.dev/services/ingress-agent/internal/conftext"
)

// TLS makes a location's host answer HTTPS with HTTP/2. The certificate is not
// in the files: Nginx gets it from the agent, so that a renewal needs no reload
// and `nginx -t` no key.
type TLS struct {
	On bool
	// Plain HTTP is answered with 308 to HTTPS.
	Redirect bool
	// Seconds of Strict-Transport-Security; 0: not sent.
	HSTS int
}

const (
	hstsVar    = "$gantry_hsts"
	hstsHeader = "Strict-Transport-Security"
	maxHSTS    = 63072000

	// What a redirect to HTTPS asks first.
	toHTTPS = "($gantry_to_https)"

	defaultHTTPS = 443
)

func tlsOf(t *gantryv1.Tls, response *gantryv1.HeaderRules) (TLS, error) {
	if t == nil {
		return TLS{}, nil
	}
	if n := t.GetHstsSeconds(); n < 0 || n > maxHSTS {
		return TLS{}, fmt.Errorf("rules.tls.hsts_seconds %d is not from 0 to %d", n, maxHSTS)
	}
	if t.GetHstsSeconds() > 0 && names(response, hstsHeader) {
		return TLS{}, fmt.Errorf("rules.tls.hsts_seconds and rules.response_headers both decide on %s; give only one of them", hstsHeader)
	}
	return TLS{On: true, Redirect: t.GetRedirectHttp(), HSTS: int(t.GetHstsSeconds())}, nil
}

func names(r *gantryv1.HeaderRules, header string) bool {
	return slices.ContainsFunc(r.GetSet(), func(v *gantryv1.HeaderValue) bool { return strings.EqualFold(v.GetName(), header) }) ||
		slices.ContainsFunc(r.GetRemove(), func(name string) bool { return strings.EqualFold(name, header) })
}

// TLS tells whether the host answers HTTPS.
func (h Host) TLS() bool {
	return slices.ContainsFunc(h.Locations, func(l Location) bool { return l.Rules.TLS.On })
}

// TLSHosts are the hosts that need a certificate, in order.
func (m Model) TLSHosts() []string {
	var all []string
	for _, h := range m.Hosts {
		if h.TLS() {
			all = append(all, h.Name)
		}
	}
	return all
}

// tlsSide is what hosts with TLS share; nothing when there is none.
func tlsSide(m Model, env Env) []conftext.Node {
	if len(m.TLSHosts()) == 0 {
		return nil
	}
	return append(tlsMaps(env), tlsSettings()...)
}

// tlsMaps are what the locations ask about the connection.
func tlsMaps(env Env) []conftext.Node {
	https := conftext.Expr("$https")
	elsewhere := conftext.Expr("https://$host:" + strconv.Itoa(env.HTTPSPort) + "$request_uri")
	switch env.HTTPSPort {
	case 0: // nothing of this node answers there
		elsewhere = conftext.Text("")
	case defaultHTTPS:
		elsewhere = conftext.Expr("https://$host$request_uri")
	}
	return []conftext.Node{
		conftext.BlockOf("map", []conftext.Arg{https, conftext.Expr("$gantry_to_https")},
			conftext.LineOf("default", elsewhere), conftext.Line("on", "")),
		// It means nothing over plain HTTP.
		conftext.BlockOf("map", []conftext.Arg{https, conftext.Expr("$gantry_hsts_header")},
			conftext.Line("default", ""), conftext.LineOf("on", conftext.Expr("max-age="+hstsVar))),
	}
}

func tlsSettings() []conftext.Node {
	return []conftext.Node{
		conftext.Line("ssl_protocols", "TLSv1.2", "TLSv1.3"),
		conftext.Line("ssl_ciphers", "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:"+
			"ECDHE-RSA-AES256-GCM-SHA384:ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305"),
		// In shared memory, which outlives a reload; the keys of tickets would
		// change with each one, and otherwise never.
		conftext.Line("ssl_session_cache", "shared:gantry_tls:16m"),
		conftext.Line("ssl_session_timeout", "1h"),
		conftext.Line("ssl_session_tickets", "off"),
		// Never read: the Lua of each host gives the certificate.
		conftext.BlockOf("map", []conftext.Arg{conftext.Expr("$ssl_server_name"), conftext.Expr("$gantry_certificate")},
			conftext.Line("default", "")),
	}
}

// refusingServer ends handshakes for hosts without TLS; nothing where no host
// has it.
func refusingServer(m Model, env Env) []conftext.Node {
	if env.HTTPSPort == 0 || len(m.TLSHosts()) == 0 {
		return nil
	}
	return []conftext.Node{conftext.BlockOf("server", nil,
		conftext.LineOf("listen", conftext.Int(env.HTTPSPort), conftext.Text("ssl"), conftext.Text("http2"), conftext.Text("default_server")),
		conftext.Line("server_name", "_"),
		conftext.Line("ssl_reject_handshake", "on"),
	)}
}

// addressLines are the ports and the name of a host.
func addressLines(h Host, env Env) []conftext.Node {
	plain, name := conftext.LineOf("listen", conftext.Int(env.HTTPPort)), conftext.Line("server_name", h.Name)
	if env.HTTPSPort == 0 || !h.TLS() {
		return []conftext.Node{plain, name}
	}
	return []conftext.Node{
		plain,
		conftext.LineOf("listen", conftext.Int(env.HTTPSPort), conftext.Text("ssl"), conftext.Text("http2")),
		name,
		conftext.LineOf("ssl_certificate", conftext.Expr("data:$gantry_certificate")),
		conftext.LineOf("ssl_certificate_key", conftext.Expr("data:$gantry_certificate")),
		conftext.LuaOf("ssl_certificate_by_lua_block", `require("gantry.certificates").serve()`),
	}
}

// tlsLines are a location's part; the first is there in each with TLS.
func tlsLines(t TLS) []conftext.Node {
	if !t.On {
		return nil
	}
	lines := []conftext.Node{conftext.LineOf("set", conftext.Expr(hstsVar), conftext.Int(t.HSTS))}
	if t.Redirect {
		lines = append(lines, conftext.BlockOf("if", []conftext.Arg{conftext.Expr(toHTTPS)},
			conftext.LineOf("return", conftext.Int(308), conftext.Expr("$gantry_to_https"))))
	}
	if t.HSTS > 0 {
		lines = append(lines, conftext.Line("proxy_hide_header", hstsHeader),
			conftext.LineOf("add_header", conftext.Text(hstsHeader), conftext.Expr("$gantry_hsts_header"), conftext.Text("always")))
	}
	return lines
}

// readTLS takes the lines of tlsLines out of a location.
func readTLS(location conftext.Node) (TLS, []conftext.Node, error) {
	seconds := variable(location, hstsVar)
	if seconds == "" {
		return TLS{}, location.Children, nil
	}
	hsts, err := intOf(seconds, 0, maxHSTS)
	t := TLS{On: true, HSTS: hsts}
	rest := slices.DeleteFunc(slices.Clone(location.Children), func(n conftext.Node) bool {
		redirects := n.Name == "if" && n.Arg(0) == toHTTPS
		t.Redirect = t.Redirect || redirects
		return redirects || hsts > 0 && n.Arg(0) == hstsHeader
	})
	return t, rest, err
}
