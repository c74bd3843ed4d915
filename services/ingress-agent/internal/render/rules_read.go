package render

import (
	"fmt"
	"strconv"
	"strings"

	"gantry.dev/services/ingress-agent/internal/conftext"
)

// readRules reads a location's rules back; rates holds the zones of its file.
func readRules(location conftext.Node, rates map[string]Rate) (Rules, error) {
	var r Rules
	_, r.GRPC = location.Find("grpc_pass")
	var err error
	if r.TLS, location.Children, err = readTLS(location); err != nil {
		return Rules{}, err
	}
	if r.CORS, location.Children, err = readCORS(location); err != nil {
		return Rules{}, err
	}
	if r.Sticky, err = readSticky(location); err != nil {
		return Rules{}, err
	}
	for _, n := range fromGRPC(location.Children) {
		if err := readRule(&r, n, rates); err != nil {
			return Rules{}, fmt.Errorf("%s: %w", n.Name, err)
		}
	}
	return r, nil
}

func readRule(r *Rules, n conftext.Node, rates map[string]Rate) (err error) {
	switch n.Name {
	case "allow":
		r.Allow = append(r.Allow, n.Arg(0))
	case "gzip":
		r.Gzip = true
	case "return":
		r.Redirect, err = readRedirect(n)
	case "limit_req":
		r.Rate, err = readRate(n, rates)
	case "client_max_body_size":
		r.Limits.BodyBytes, err = strconv.ParseInt(n.Arg(0), 10, 64)
	case "proxy_connect_timeout":
		r.Limits.Connect, err = readSeconds(n)
	case "proxy_read_timeout":
		r.Limits.Read, err = readSeconds(n)
	case "proxy_send_timeout":
		r.Limits.Send, err = readSeconds(n)
	case "proxy_set_header", "proxy_hide_header", "add_header":
		readHeader(r, n)
	}
	return err
}

func readSeconds(n conftext.Node) (int, error) {
	return intOf(strings.TrimSuffix(n.Arg(0), "s"), 1, maxSeconds)
}

// readHeader relies on the writer's order: add_header follows the line that
// hides the app's own.
func readHeader(r *Rules, n conftext.Node) {
	name, value := n.Arg(0), n.Arg(1)
	switch {
	case n.Name == "proxy_hide_header":
		r.Response.Remove = append(r.Response.Remove, name)
	case n.Name == "add_header":
		r.Response.Remove = r.Response.Remove[:max(0, len(r.Response.Remove)-1)]
		if len(r.Response.Remove) == 0 {
			r.Response.Remove = nil
		}
		r.Response.Set = append(r.Response.Set, Header{name, value})
	case len(n.Args) > 1 && n.Args[1].Expr: // one of all hosts
	case value == "":
		r.Request.Remove = append(r.Request.Remove, name)
	default:
		r.Request.Set = append(r.Request.Set, Header{name, value})
	}
}

func readRedirect(n conftext.Node) (Redirect, error) {
	code, err := intOf(n.Arg(0), 301, 308)
	scheme, rest, ok := strings.Cut(n.Arg(1), "://")
	if err != nil || !ok {
		return Redirect{}, fmt.Errorf("%q is not a redirect", n.Arg(1))
	}
	r := Redirect{Scheme: strings.TrimPrefix(scheme, "$scheme"), Code: code}
	rest, same := strings.CutPrefix(rest, "$host")
	if !same {
		end := max(0, strings.IndexAny(rest, "/$"))
		r.Host, rest = rest[:end], rest[end:]
	}
	r.Path = strings.TrimPrefix(rest, "$request_uri")
	return r, nil
}

func readRate(n conftext.Node, rates map[string]Rate) (Rate, error) {
	rate, ok := rates[strings.TrimPrefix(n.Arg(0), "zone=")]
	if !ok {
		return Rate{}, fmt.Errorf("%q is no zone of this file", n.Arg(0))
	}
	var err error
	if n.Arg(1) != "" {
		rate.Burst, err = intOf(strings.TrimPrefix(n.Arg(1), "burst="), 1, maxRequests)
	}
	return rate, err
}

// readZones gives the rates by zone.
func readZones(nodes []conftext.Node) (map[string]Rate, error) {
	rates := map[string]Rate{}
	for _, n := range nodes {
		if n.Name != "limit_req_zone" {
			continue
		}
		perSecond, err := intOf(strings.TrimSuffix(strings.TrimPrefix(n.Arg(2), "rate="), "r/s"), 1, maxRequests)
		if err != nil {
			return nil, err
		}
		name := strings.TrimSuffix(strings.TrimPrefix(n.Arg(1), "zone="), ":"+zoneSize)
		rates[name] = Rate{PerSecond: perSecond, WholeRoute: n.Arg(0) == routeVar}
	}
	return rates, nil
}
