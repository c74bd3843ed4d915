package nginximport

import (
	"cmp"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"

	gantryv1 "gantry.dev/proto/gen/gantry/v1"
	"github.com/tufanbarisyildirim/gonginx/config"
	"google.golang.org/protobuf/proto"
)

// server makes routes of a server's locations, one per host.
func (r *reader) server(d config.IDirective, s settings) {
	all := d.GetBlock().GetDirectives()
	if reason := cmp.Or(blocked(all), changed(all)); reason != "" {
		r.leaveAll(d, reason)
		return
	}
	s = r.inherit(all, s)
	hosts, tls := r.front(all)
	if len(hosts) == 0 {
		r.leaveAll(d, "the server has no server_name that a route could have")
		return
	}
	r.take(d)
	for _, l := range all {
		switch {
		case l.GetName() == "location" && l.GetBlock() != nil:
			r.location(l, hosts, tls, s)
		case l.GetName() == "return":
			r.redirect(l, place{path: "/"}, hosts, tls, s)
		}
	}
}

// front reads what a server listens on and for.
func (r *reader) front(all []config.IDirective) (hosts []string, tls *gantryv1.Tls) {
	for _, d := range all {
		switch d.GetName() {
		case "server_name":
			hosts = append(hosts, r.hosts(d)...)
		case "listen":
			if w := words(d); len(w) > 0 && slices.Contains([]string{"80", "443", "[::]:80", "[::]:443", "0.0.0.0:80", "0.0.0.0:443", "*:80", "*:443"}, w[0]) {
				r.take(d)
				continue
			}
			r.leave(d, "HTTP routes listen on ports 80 and 443; another port is a StreamRoute")
		case "ssl_certificate", "ssl_certificate_key":
			if r.options.Secret == "" {
				r.leave(d, "put certificate and key into a secret (gantry secret set NAME --from-file tls.crt=… --from-file tls.key=…) and import with --secret NAME")
				continue
			}
			r.take(d)
			tls = &gantryv1.Tls{Secret: "projects/" + r.options.Project + "/secrets/" + r.options.Secret}
		}
	}
	return hosts, tls
}

// hosts takes the names that a route can have.
func (r *reader) hosts(d config.IDirective) []string {
	var good, bad []string
	for _, w := range words(d) {
		if hostName().MatchString(w) {
			good = append(good, w)
		} else {
			bad = append(bad, w)
		}
	}
	switch {
	case len(good) == 0:
		r.leave(d, "a route's host is a lower-case DNS name without wildcard or expression")
	case len(bad) > 0:
		r.take(d)
		r.note(d, "without "+strings.Join(bad, " ")+": a route's host is a lower-case DNS name without wildcard or expression")
	default:
		r.take(d)
	}
	return good
}

func hostName() *regexp.Regexp {
	return regexp.MustCompile(`^([a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?\.)*[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$`)
}

func pathText() *regexp.Regexp { return regexp.MustCompile(`^/[-A-Za-z0-9_.~/]{0,200}$`) }

func appName() *regexp.Regexp { return regexp.MustCompile(`^[a-z]([-a-z0-9]{0,38}[a-z0-9])?$`) }

// place is a path with how it is compared.
type place struct {
	path  string
	exact bool
}

// placeOf reads what a location matches.
func placeOf(d config.IDirective) (place, string) {
	w := words(d)
	p := place{path: w[len(w)-1]}
	switch {
	case len(w) == 2 && w[0] == "=":
		p.exact = true
	case len(w) == 2 && w[0] != "^~":
		return p, "a route compares a path exactly or by its prefix, not by an expression"
	}
	if !pathText().MatchString(p.path) || path.Clean(p.path) != cmp.Or(strings.TrimSuffix(p.path, "/"), "/") {
		return p, "a route's path begins with / and holds letters, digits and -_.~/ only"
	}
	return p, ""
}

func (r *reader) location(d config.IDirective, hosts []string, tls *gantryv1.Tls, s settings) {
	all := d.GetBlock().GetDirectives()
	at, reason := placeOf(d)
	if reason = cmp.Or(reason, blocked(all), changed(all)); reason != "" {
		r.leaveAll(d, reason)
		return
	}
	s = r.inherit(all, s)
	converted := false
	for _, inner := range all {
		switch inner.GetName() {
		case "proxy_pass", "grpc_pass":
			converted = r.pass(inner, at, hosts, tls, s)
		case "return":
			converted = r.redirect(inner, at, hosts, tls, s)
		}
	}
	if !converted {
		r.leave(d, "nothing in it leads to an app")
		return
	}
	r.take(d)
	if !at.exact && !strings.HasSuffix(at.path, "/") {
		r.note(d, fmt.Sprintf("converted, but a route compares whole segments: %s has %s/x, not %sx", at.path, at.path, at.path))
	}
}

// pass makes routes to an app.
func (r *reader) pass(d config.IDirective, at place, hosts []string, tls *gantryv1.Tls, s settings) bool {
	w := words(d)
	scheme, rest, _ := strings.Cut(strings.Join(w, " "), "://")
	target, uri, rewrites := strings.Cut(rest, "/")
	if rewrites && "/"+uri != at.path {
		r.leave(d, "a route leaves the path as it is; let the app take "+at.path)
		return false
	}
	name, port, _ := strings.Cut(target, ":")
	app, appPort, _ := strings.Cut(cmp.Or(r.options.Apps[target], r.options.Apps[name], name+":"+cmp.Or(port, r.ports[name], "80")), ":")
	number, err := strconv.ParseInt(appPort, 10, 32)
	switch {
	case scheme != "http" && scheme != "grpc":
		r.leave(d, "the platform speaks HTTP or gRPC in clear text with apps")
		return false
	case !appName().MatchString(app) || err != nil || number < 1 || number > 65535:
		r.leave(d, fmt.Sprintf("%s is no app; say which it is with --app %s=APP:PORT", target, target))
		return false
	}
	rules := proto.CloneOf(s.rules())
	if scheme == "grpc" {
		rules.Protocol = gantryv1.BackendProtocol_BACKEND_PROTOCOL_GRPC
	}
	if scheme == "grpc" && tls == nil {
		r.leave(d, "a route for gRPC needs TLS; import with --secret NAME")
		return false
	}
	r.take(d)
	r.routes(&gantryv1.Route{App: "projects/" + r.options.Project + "/apps/" + app, Port: int32(number), Rules: rules}, at, hosts, tls)
	return true
}

// redirect makes routes of "return 301 https://$host$request_uri".
func (r *reader) redirect(d config.IDirective, at place, hosts []string, tls *gantryv1.Tls, s settings) bool {
	w := words(d)
	to := &gantryv1.Redirect{}
	code := int64(0)
	if len(w) == 2 {
		code, _ = strconv.ParseInt(w[0], 10, 32) // 0, which is no code
	}
	parts := regexp.MustCompile(`^(https?|\$scheme)://(\$host|\$server_name|[a-z0-9.-]+)(\$request_uri|/[-A-Za-z0-9_.~/]*)?$`).FindStringSubmatch(strings.Join(w[min(1, len(w)):], " "))
	if len(s.allow) > 0 {
		r.leave(d, "a redirect is answered to everybody, and this one only to some")
		return false
	}
	if !slices.Contains([]int64{301, 302, 307, 308}, code) || parts == nil {
		r.leave(d, "a route redirects with 301, 302, 307 or 308 to scheme://host/path, scheme://host$request_uri or scheme://$host$request_uri")
		return false
	}
	if !strings.HasPrefix(parts[1], "$") {
		to.Scheme = parts[1]
	}
	if !strings.HasPrefix(parts[2], "$") {
		to.Host = parts[2]
	}
	if parts[3] != "$request_uri" {
		to.Path = cmp.Or(parts[3], "/")
	}
	to.Code = int32(code)
	r.take(d)
	rules := proto.CloneOf(s.rules())
	rules.Redirect = to
	r.routes(&gantryv1.Route{Rules: rules}, at, hosts, tls)
	return true
}

// routes adds a route per host.
func (r *reader) routes(form *gantryv1.Route, at place, hosts []string, tls *gantryv1.Tls) {
	for _, host := range hosts {
		route := proto.CloneOf(form)
		route.Name = "projects/" + r.options.Project + "/routes/" + r.name(host, at.path)
		route.Gateway, route.Host, route.PathPrefix = "gateways/"+r.options.Gateway, host, at.path
		if at.exact {
			route.PathMatch = gantryv1.PathMatch_PATH_MATCH_EXACT
		}
		if tls != nil {
			route.Rules.Tls = proto.CloneOf(tls)
		}
		if proto.Size(route.GetRules()) == 0 {
			route.Rules = nil
		}
		r.result.Routes = append(r.result.Routes, route)
	}
}

const maxName = 40

// name makes a name that no other route of the file has.
func (r *reader) name(host, at string) string {
	text := regexp.MustCompile(`[^a-z0-9]+`).ReplaceAllString(strings.ToLower(host+at), "-")
	if text[0] < 'a' || text[0] > 'z' {
		text = "r-" + text
	}
	text = strings.Trim(text[:min(len(text), maxName-4)], "-")
	name := text
	for i := 2; r.names[name]; i++ {
		name = fmt.Sprintf("%s-%d", text, i)
	}
	r.names[name] = true
	return name
}
