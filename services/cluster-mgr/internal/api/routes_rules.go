package api

import (
	"fmt"
	"net/netip"
	"path"
	"strings"

	gantryv1 "gantry.dev/proto/gen/gantry/v1"
)

// checkForm refuses what no proto rule can say: fields that contradict each
// other, and texts that mean something else than they seem to. The error names
// the field.
func checkForm(r *gantryv1.Route) error {
	if err := checkPath("route.path_prefix", r.GetPathPrefix()); err != nil {
		return err
	}
	rules := r.GetRules()
	if err := checkTarget(r); err != nil {
		return err
	}
	if rules.GetProtocol() == gantryv1.BackendProtocol_BACKEND_PROTOCOL_GRPC && rules.GetTls() == nil {
		return invalid("route.rules.protocol", "gRPC needs rules.tls: clients speak HTTP/2 with it only")
	}
	if err := checkCIDRs("route.rules.allow_cidrs", rules.GetAllowCidrs()); err != nil {
		return err
	}
	if err := checkCors(rules.GetCors()); err != nil {
		return err
	}
	return checkHeaders(rules)
}

// checkPath refuses what a path may be folded to another one by.
func checkPath(field, p string) error {
	if p == "" || p == "/" {
		return nil
	}
	if clean := path.Clean(p); strings.Contains(p, "//") || clean != strings.TrimSuffix(p, "/") {
		return invalid(field, "%q holds an empty, \".\" or \"..\" part, which no request matches; write %q", p, clean)
	}
	return nil
}

// checkTarget demands an app or a redirect, not both.
func checkTarget(r *gantryv1.Route) error {
	rules, redirect := r.GetRules(), r.GetRules().GetRedirect()
	switch {
	case redirect == nil && r.GetApp() == "":
		return invalid("route.app", "a route leads to an app or has rules.redirect; give one of them")
	case redirect == nil && r.GetPort() == 0:
		return invalid("route.port", "give one of the ports of %s", r.GetApp())
	case redirect == nil:
		return checkCanaries(rules.GetCanaries())
	case r.GetApp() != "" || r.GetPort() != 0:
		return invalid("route.rules.redirect", "a route that redirects leads to no app; leave app and port out, or the redirect")
	case len(rules.GetCanaries()) > 0:
		return invalid("route.rules.canaries", "a route that redirects leads to no app; leave the canaries out")
	case rules.GetSticky() != nil:
		return invalid("route.rules.sticky", "a route that redirects leads to no app; leave sticky out")
	case rules.GetCors() != nil:
		return invalid("route.rules.cors", "a redirect is answered before origins are asked; leave cors out")
	case rules.GetRateLimit() != nil:
		return invalid("route.rules.rate_limit", "a redirect is answered before anything is counted; leave the rate limit out")
	case len(rules.GetAllowCidrs()) > 0:
		return invalid("route.rules.allow_cidrs", "a redirect is answered to everybody; leave the ranges out")
	case rules.GetProtocol() == gantryv1.BackendProtocol_BACKEND_PROTOCOL_GRPC:
		return invalid("route.rules.protocol", "a route that redirects speaks with no app; leave the protocol out")
	case redirectsToItself(r):
		return invalid("route.rules.redirect", "it leads back to this route; change the scheme, the host or the path")
	}
	return checkPath("route.rules.redirect.path", redirect.GetPath())
}

// redirectsToItself is true when a client that follows comes back for sure.
func redirectsToItself(r *gantryv1.Route) bool {
	to := r.GetRules().GetRedirect()
	if to.GetScheme() != "" || to.GetHost() != "" && to.GetHost() != r.GetHost() {
		return false
	}
	from := strings.TrimSuffix(r.GetPathPrefix(), "/")
	switch {
	case to.GetPath() == "" || to.GetPath() == r.GetPathPrefix():
		return true
	case r.GetPathMatch() == gantryv1.PathMatch_PATH_MATCH_EXACT:
		return false
	}
	// A longer route may take what is below, but not the whole host.
	return from != "" && strings.HasPrefix(to.GetPath(), from+"/")
}

const wholePercent = 100

// checkCanaries refuses weights beyond the whole, and a condition given twice,
// of which the second would never match.
func checkCanaries(canaries []*gantryv1.Canary) error {
	sum, seen := int32(0), map[string]int{}
	for i, c := range canaries {
		field := fmt.Sprintf("route.rules.canaries[%d]", i)
		if sum += c.GetWeightPercent(); sum > wholePercent {
			return invalid(field+".weight_percent", "the weights of the canaries are %d %% together; they may be %d", sum, wholePercent)
		}
		if c.GetWeightPercent() > 0 {
			if c.GetValue() != "" {
				return invalid(field+".value", "a canary by weight compares no value; leave it out")
			}
			continue
		}
		condition := strings.ToLower(c.GetHeader()) + "\n" + c.GetCookie() + "\n" + c.GetValue()
		if first, twice := seen[condition]; twice {
			return invalid(field, "it matches what canary %d matches, and would get no request", first)
		}
		seen[condition] = i
	}
	return nil
}

// checkCIDRs demands ranges in their canonical form, so that what is written is
// what is allowed.
func checkCIDRs(field string, cidrs []string) error {
	seen := map[string]bool{}
	for i, text := range cidrs {
		at := fmt.Sprintf("%s[%d]", field, i)
		prefix, err := netip.ParsePrefix(text)
		switch {
		case err != nil:
			return invalid(at, "%q is not an address range such as 10.0.0.0/8", text)
		case prefix.Addr().Is4In6():
			return invalid(at, "%q is an IPv4 range written as IPv6; write it as IPv4", text)
		case prefix.Masked().String() != text:
			return invalid(at, "%q is not in canonical form; write %s", text, prefix.Masked())
		case seen[text]:
			return invalid(at, "%s is given twice", text)
		}
		seen[text] = true
	}
	return nil
}
