package render

import (
	"strconv"
	"strings"

	"gantry.dev/services/ingress-agent/internal/conftext"
)

// zoneSize is never changed: Nginx refuses another size at a reload. 1 MiB
// holds some 8,000 clients.
const zoneSize = "1m"

// zoneOf names the route's zone "shop.web.client"; the key is in the name
// because Nginx refuses another key under the same one at a reload.
func zoneOf(l Location) string {
	parts := strings.Split(l.Route, "/")
	return parts[1] + "." + parts[3] + "." + map[bool]string{true: "route", false: "client"}[l.Rules.Rate.WholeRoute]
}

// zones are the lines before a host's server block.
func zones(h Host) []conftext.Node {
	var lines []conftext.Node
	for _, l := range h.Locations {
		if l.Rules.Rate.PerSecond == 0 {
			continue
		}
		key := "$binary_remote_addr"
		if l.Rules.Rate.WholeRoute {
			key = routeVar
		}
		lines = append(lines, conftext.LineOf("limit_req_zone", conftext.Expr(key),
			conftext.Text("zone="+zoneOf(l)+":"+zoneSize), conftext.Text("rate="+strconv.Itoa(l.Rules.Rate.PerSecond)+"r/s")))
	}
	return lines
}

// locationLines are a location's directives; the last one answers.
func locationLines(l Location) []conftext.Node {
	lines := []conftext.Node{conftext.LineOf("set", conftext.Expr(routeVar), conftext.Text(l.Route))}
	if l.Upstream != "" {
		lines = append(lines, conftext.LineOf("set", conftext.Expr(upstreamVar), conftext.Text(l.Upstream)))
	}
	lines = append(lines, tlsLines(l.Rules.TLS)...)
	if l.Holds {
		lines = append(lines, conftext.Line("lua_check_client_abort", "on"))
	}
	for _, part := range [][]conftext.Node{
		rateLines(l), allowLines(l.Rules.Allow), limitLines(l.Rules.Limits), requestLines(l.Rules.Request), responseLines(l.Rules.Response),
		corsLines(l.Rules.CORS), stickyLines(l), phaseLines(l.Rules),
	} {
		lines = append(lines, part...)
	}
	if l.Rules.Gzip {
		lines = append(lines, conftext.Line("gzip", "on"))
	}
	if l.Rules.Redirect.Code != 0 {
		return append(lines, redirectLine(l.Rules.Redirect))
	}
	if l.Rules.GRPC {
		lines = append(asGRPC(lines), streamLines(l.Rules.Limits)...)
		return append(lines, conftext.Line("grpc_pass", "grpc://"+grpcUpstream))
	}
	return append(lines, conftext.Line("proxy_pass", "http://"+podsUpstream))
}

func rateLines(l Location) []conftext.Node {
	rate := l.Rules.Rate
	switch {
	case rate.PerSecond == 0:
		return nil
	case rate.Burst == 0:
		return []conftext.Node{conftext.Line("limit_req", "zone="+zoneOf(l))}
	}
	return []conftext.Node{conftext.Line("limit_req", "zone="+zoneOf(l), "burst="+strconv.Itoa(rate.Burst), "nodelay")}
}

func allowLines(cidrs []string) []conftext.Node {
	if cidrs == nil {
		return nil
	}
	var lines []conftext.Node
	for _, c := range cidrs {
		lines = append(lines, conftext.Line("allow", c))
	}
	return append(lines, conftext.Line("deny", "all"))
}

func limitLines(l Limits) []conftext.Node {
	var lines []conftext.Node
	if l.BodyBytes > 0 {
		lines = append(lines, conftext.Line("client_max_body_size", strconv.FormatInt(l.BodyBytes, 10)))
	}
	for _, t := range []struct {
		name    string
		seconds int
	}{{"proxy_connect_timeout", l.Connect}, {"proxy_read_timeout", l.Read}, {"proxy_send_timeout", l.Send}} {
		if t.seconds > 0 {
			lines = append(lines, conftext.Line(t.name, strconv.Itoa(t.seconds)+"s"))
		}
	}
	return lines
}

// requestLines repeat the headers of all hosts: one proxy_set_header in a
// location takes those of the level above away.
func requestLines(h Headers) []conftext.Node {
	if h.Set == nil && h.Remove == nil {
		return nil
	}
	own := map[string]bool{}
	var changes []conftext.Node
	change := func(name, value string) {
		own[strings.ToLower(name)] = true
		changes = append(changes, conftext.Line("proxy_set_header", name, value))
	}
	for _, s := range h.Set {
		change(s.Name, s.Value)
	}
	for _, name := range h.Remove {
		change(name, "")
	}
	var lines []conftext.Node
	for _, n := range forwarded() {
		if !own[strings.ToLower(n.Arg(0))] {
			lines = append(lines, n)
		}
	}
	return append(lines, changes...)
}

func responseLines(h Headers) []conftext.Node {
	var lines []conftext.Node
	for _, s := range h.Set {
		lines = append(lines, conftext.Line("proxy_hide_header", s.Name), conftext.Line("add_header", s.Name, s.Value, "always"))
	}
	for _, name := range h.Remove {
		lines = append(lines, conftext.Line("proxy_hide_header", name))
	}
	return lines
}

func redirectLine(r Redirect) conftext.Node {
	or := func(value, variable string) string {
		if value == "" {
			return variable
		}
		return value
	}
	target := or(r.Scheme, "$scheme") + "://" + or(r.Host, "$host") + or(r.Path, "$request_uri")
	// The grammar lets no "$" into the fields: those here are ours.
	return conftext.LineOf("return", conftext.Int(r.Code), conftext.Arg{Text: target, Expr: strings.Contains(target, "$")})
}
