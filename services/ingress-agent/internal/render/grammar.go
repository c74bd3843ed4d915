package render

import (
	"fmt"
	"net/netip"
	"regexp"
	"strings"

	ingressv1 "gantry.dev/proto/gen/gantry/ingress/v1"
)

// The grammar of each field (rule I1). They repeat the proto's rules on
// purpose: what reaches a node may have been written past the API.
const (
	label     = `[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?`
	identName = `[a-z]([-a-z0-9]{0,38}[a-z0-9])?`
)

type grammar struct {
	name, route, app, host, path *regexp.Regexp
}

func grammars() grammar {
	return grammar{
		name:  regexp.MustCompile(`^` + identName + `$`),
		route: regexp.MustCompile(`^projects/` + identName + `/routes/` + identName + `$`),
		app:   regexp.MustCompile(`^projects/` + identName + `/apps/` + identName + `$`),
		host:  regexp.MustCompile(`^(` + label + `\.)*` + label + `$`),
		path:  regexp.MustCompile(`^/[-A-Za-z0-9_.~/]{0,200}$`),
	}
}

const (
	maxHost = 253
	maxPort = 65535
)

func checkRoute(r *ingressv1.Route) error {
	g := fields
	path := r.GetPathPrefix()
	switch {
	case !g.route.MatchString(r.GetName()):
		return fmt.Errorf("name %q is not \"projects/{project}/routes/{route}\"", r.GetName())
	case len(r.GetHost()) > maxHost || !g.host.MatchString(r.GetHost()):
		return fmt.Errorf("host %q is not a lower-case DNS name without wildcards", r.GetHost())
	case path != "" && !g.path.MatchString(path):
		return fmt.Errorf("path_prefix %q must begin with \"/\" and hold only letters, digits and -_.~/", path)
	case strings.Contains(path, "//") || strings.Contains(path+"/", "/../") || strings.Contains(path+"/", "/./"):
		return fmt.Errorf("path_prefix %q holds an empty, \".\" or \"..\" part, which no request matches", path)
	case r.GetApp() == "" && r.GetPort() == 0 && r.GetRules().GetRedirect() != nil:
		return nil
	case !g.app.MatchString(r.GetApp()):
		return fmt.Errorf("app %q is not \"projects/{project}/apps/{app}\"", r.GetApp())
	case projectOf(r.GetApp()) != projectOf(r.GetName()):
		return fmt.Errorf("app %q is of another project than the route", r.GetApp())
	case r.GetPort() < 1 || r.GetPort() > maxPort:
		return fmt.Errorf("port %d is not between 1 and %d", r.GetPort(), maxPort)
	}
	return nil
}

// fields is compiled once and never written again.
var fields = grammars() //nolint:gochecknoglobals // constant in all but name

func projectOf(name string) string { return strings.Split(name+"//", "/")[1] }

func appOf(name string) (project, app string, err error) {
	if !fields.app.MatchString(name) {
		return "", "", fmt.Errorf("app %q is not \"projects/{project}/apps/{app}\"", name)
	}
	parts := strings.Split(name, "/")
	return parts[1], parts[3], nil
}

// AppOf is the inverse of Upstream: the app's full name and the port.
func AppOf(upstream string) (app string, port int, err error) {
	var project, short string
	at := strings.LastIndexByte(upstream, ':')
	if slash := strings.IndexByte(upstream, '/'); slash > 0 && at > slash {
		project, short = upstream[:slash], upstream[slash+1:at]
	}
	app = "projects/" + project + "/apps/" + short
	if !fields.app.MatchString(app) {
		return "", 0, fmt.Errorf("%q is not \"{project}/{app}:{port}\"", upstream)
	}
	port, err = intOf(upstream[at+1:], 1, maxPort)
	return app, port, err
}

func isIPv4(s string) bool {
	a, err := netip.ParseAddr(s)
	return err == nil && a.Is4() && !a.IsUnspecified() && !a.IsMulticast() && a.String() == s
}
