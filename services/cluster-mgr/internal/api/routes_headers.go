package api

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	gantryv1 "gantry.dev/proto/gen/gantry/v1"
)

// hopHeaders belong to one connection or frame a message: who changes them
// changes where it ends.
func hopHeaders() []string {
	return []string{"connection", "content-length", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade"}
}

// toldHeaders tell the app who asked for what; the load balancer sets them, so
// that an app may trust them.
func toldHeaders() []string {
	return []string{"expect", "forwarded", "host", "x-forwarded-for", "x-forwarded-host", "x-forwarded-port", "x-forwarded-proto", "x-real-ip"}
}

// longestGRPCHeader is the longest name of a header that Nginx takes for gRPC.
const longestGRPCHeader = 46

// checkHeaders refuses headers that belong to the load balancer, and those that
// it cannot carry.
func checkHeaders(rules *gantryv1.HttpRules) error {
	if rules.GetProtocol() == gantryv1.BackendProtocol_BACKEND_PROTOCOL_GRPC {
		err := cmp.Or(checkLength("route.rules.request_headers", rules.GetRequestHeaders()), checkLength("route.rules.response_headers", rules.GetResponseHeaders()))
		if err != nil {
			return err
		}
	}
	request := slices.Concat(hopHeaders(), toldHeaders())
	if err := checkHeaderRules("route.rules.request_headers", rules.GetRequestHeaders(), request); err != nil {
		return err
	}
	response := append(hopHeaders(), "content-encoding", "content-range", "content-type", "date", "server")
	if rules.GetTls().GetHstsSeconds() > 0 {
		response = append(response, "strict-transport-security")
	}
	if rules.GetCors() != nil {
		response = append(response, "access-control-allow-credentials", "access-control-allow-headers", "access-control-allow-methods",
			"access-control-allow-origin", "access-control-max-age")
	}
	return checkHeaderRules("route.rules.response_headers", rules.GetResponseHeaders(), response)
}

// checkLength refuses names of headers that Nginx does not take for gRPC.
func checkLength(field string, rules *gantryv1.HeaderRules) error {
	names := slices.Clone(rules.GetRemove())
	for _, h := range rules.GetSet() {
		names = append(names, h.GetName())
	}
	for _, name := range names {
		if len(name) > longestGRPCHeader {
			return invalid(field, "with gRPC the name of a header has at most %d letters, %s has %d", longestGRPCHeader, name, len(name))
		}
	}
	return nil
}

func checkHeaderRules(field string, rules *gantryv1.HeaderRules, owned []string) error {
	seen := map[string]bool{}
	check := func(field, name string) error {
		name = strings.ToLower(name)
		switch {
		case slices.Contains(owned, name) || strings.HasPrefix(name, "x-gantry-"):
			return invalid(field, "the load balancer owns the header %s; leave it out", name)
		case seen[name]:
			return invalid(field, "the header %s is named twice; set or remove it once", name)
		}
		seen[name] = true
		return nil
	}
	for i, h := range rules.GetSet() {
		if err := check(fmt.Sprintf("%s.set[%d].name", field, i), h.GetName()); err != nil {
			return err
		}
		if strings.ContainsFunc(h.GetValue(), func(r rune) bool { return r < ' ' || r > '~' || r == '$' }) {
			return invalid(fmt.Sprintf("%s.set[%d].value", field, i), "a header's value is printable ASCII without $")
		}
	}
	for i, name := range rules.GetRemove() {
		if err := check(fmt.Sprintf("%s.remove[%d]", field, i), name); err != nil {
			return err
		}
	}
	return nil
}

// checkCors refuses "*" beside anything that it would open to everybody.
func checkCors(cors *gantryv1.Cors) error {
	for i, origin := range cors.GetOrigins() {
		field := fmt.Sprintf("route.rules.cors.origins[%d]", i)
		switch {
		case origin == "*" && cors.GetCredentials():
			return invalid("route.rules.cors.credentials", `cookies are not for every origin; name the origins instead of "*"`)
		case origin == "*" && len(cors.GetOrigins()) > 1:
			return invalid(field, `"*" stands alone; leave the other origins out`)
		case origin != "*" && !isOrigin(origin):
			return invalid(field, "%q is not an origin such as https://shop.example.com", origin)
		case slices.Contains(cors.GetOrigins()[:i], origin):
			return invalid(field, "%s is given twice", origin)
		}
	}
	return nil
}

const (
	maxHostName = 253
	maxLabel    = 63
	maxPort     = 65535
)

func isOrigin(text string) bool {
	_, host, ok := strings.Cut(text, "://")
	host, port, ported := strings.Cut(host, ":")
	if n, err := strconv.Atoi(port); ported && (err != nil || n < 1 || n > maxPort) {
		return false
	}
	return ok && isHost(host)
}

// isHost tells whether a text is a lower-case DNS name without wildcard, or an
// address.
func isHost(text string) bool {
	if _, err := netip.ParseAddr(text); err == nil {
		return true
	}
	if text == "" || len(text) > maxHostName {
		return false
	}
	for label := range strings.SplitSeq(text, ".") {
		if label == "" || len(label) > maxLabel || strings.HasPrefix(label, "-") || strings.HasSuffix(label, "-") {
			return false
		}
		if strings.Trim(label, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" {
			return false
		}
	}
	return true
}
