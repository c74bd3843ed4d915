package output

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"
	"time"

	gantryv1 "gantry.dev/proto/gen/gantry/v1"
)

func routeColumns() []column {
	type route = *gantryv1.Route
	return []column{
		of("NAME", func(r route, _ time.Time) string { return Last(r.GetName()) }),
		of("GATEWAY", func(r route, _ time.Time) string { return Last(r.GetGateway()) }),
		of("HOST", func(r route, _ time.Time) string { return r.GetHost() }),
		of("PATH", func(r route, _ time.Time) string { return routePath(r) }),
		of("APP", func(r route, _ time.Time) string { return routeApp(r) }),
		of("PORT", func(r route, _ time.Time) string { return numberOrDash(r.GetPort()) }),
		of("TLS", func(r route, _ time.Time) string { return cmp.Or(Last(r.GetRules().GetTls().GetSecret()), "-") }),
		of("RULES", func(r route, _ time.Time) string { return ruleWords(r.GetRules()) }),
		of("SERVED", func(r route, _ time.Time) string { return yesNo(r.GetStatus().GetServed()) }),
		of("AGE", func(r route, now time.Time) string { return age(r.GetCreateTime(), now) }),
		wideOf("REVISION", func(r route, _ time.Time) string { return strconv.Itoa(int(r.GetRevision())) }),
		wideOf("PROBLEMS", func(r route, _ time.Time) string { return strings.Join(r.GetStatus().GetProblems(), "; ") }),
	}
}

func routePath(r *gantryv1.Route) string {
	path := cmp.Or(r.GetPathPrefix(), "/")
	if r.GetPathMatch() == gantryv1.PathMatch_PATH_MATCH_EXACT {
		return "=" + path
	}
	return path
}

func routeApp(r *gantryv1.Route) string {
	to := r.GetRules().GetRedirect()
	if to == nil {
		return Last(r.GetApp())
	}
	scheme := to.GetScheme()
	if scheme != "" {
		scheme += "://"
	}
	return "→ " + scheme + cmp.Or(to.GetHost(), r.GetHost()) + to.GetPath()
}

// numberOrDash leaves 0 out.
func numberOrDash(n int32) string {
	if n == 0 {
		return "-"
	}
	return strconv.Itoa(int(n))
}

// ruleWords names the rules that a route has, in the order of the API: what
// they say in detail is shown by -o yaml.
func ruleWords(r *gantryv1.HttpRules) string {
	var words []string
	add := func(has bool, word string) {
		if has {
			words = append(words, word)
		}
	}
	add(r.GetProtocol() == gantryv1.BackendProtocol_BACKEND_PROTOCOL_GRPC, "grpc")
	add(r.GetRequestHeaders() != nil || r.GetResponseHeaders() != nil, "headers")
	add(r.GetLimits() != nil, "limits")
	add(r.GetRateLimit() != nil, fmt.Sprintf("%d/s", r.GetRateLimit().GetRequestsPerSecond()))
	add(len(r.GetAllowCidrs()) > 0, "allow")
	add(r.GetCors() != nil, "cors")
	add(r.GetGzip(), "gzip")
	add(r.GetSticky() != nil, "sticky")
	add(len(r.GetCanaries()) > 0, "canary")
	return cmp.Or(strings.Join(words, ","), "-")
}

func streamRouteColumns() []column {
	type route = *gantryv1.StreamRoute
	return []column{
		of("NAME", func(r route, _ time.Time) string { return Last(r.GetName()) }),
		of("GATEWAY", func(r route, _ time.Time) string { return Last(r.GetGateway()) }),
		of("LISTEN", func(r route, _ time.Time) string {
			return fmt.Sprintf("%s/%d", strings.ToLower(enumWord(r.GetProtocol().String(), "STREAM_PROTOCOL_")), r.GetListenPort())
		}),
		of("APP", func(r route, _ time.Time) string { return Last(r.GetApp()) }),
		of("PORT", func(r route, _ time.Time) string { return numberOrDash(r.GetPort()) }),
		of("SERVED", func(r route, _ time.Time) string { return yesNo(r.GetStatus().GetServed()) }),
		of("AGE", func(r route, now time.Time) string { return age(r.GetCreateTime(), now) }),
		wideOf("PROBLEMS", func(r route, _ time.Time) string { return strings.Join(r.GetStatus().GetProblems(), "; ") }),
	}
}

func revisionColumns() []column {
	type revision = *gantryv1.RouteRevision
	return []column{
		of("REVISION", func(r revision, _ time.Time) string { return strconv.Itoa(int(r.GetNumber())) }),
		of("PLACE", func(r revision, _ time.Time) string { return r.GetRoute().GetHost() + " " + routePath(r.GetRoute()) }),
		of("LEADS TO", func(r revision, _ time.Time) string { return routeApp(r.GetRoute()) }),
		of("RULES", func(r revision, _ time.Time) string { return ruleWords(r.GetRoute().GetRules()) }),
		of("BY", func(r revision, _ time.Time) string { return r.GetCreatedBy() }),
		of("REPEATS", func(r revision, _ time.Time) string { return numberOrDash(r.GetRollbackOf()) }),
		of("AGE", func(r revision, now time.Time) string { return age(r.GetCreateTime(), now) }),
	}
}
