package render

import (
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"

	gantryv1 "gantry.dev/proto/gen/gantry/v1"
)

// Rules are what a location does besides choosing a pod; zero: nothing.
type Rules struct {
	// Zero Code: none.
	Redirect          Redirect
	Request, Response Headers
	Limits            Limits
	// Zero PerSecond: none.
	Rate Rate
	// Canonical CIDRs; nil: all clients.
	Allow  []string
	Gzip   bool
	TLS    TLS
	CORS   CORS
	Sticky Sticky
	// The app speaks gRPC in clear text.
	GRPC bool
}

// A Redirect answers instead of the app; empty fields are as the request's.
type Redirect struct {
	Scheme, Host, Path string
	Code               int
}

// Headers are changes of headers; a name occurs once.
type Headers struct {
	Set    []Header
	Remove []string
}

// A Header is a name and a value, which is not empty.
type Header struct{ Name, Value string }

// Limits of a request; 0: those of all hosts.
type Limits struct {
	BodyBytes int64
	// Unit: seconds.
	Connect, Read, Send int
}

// A Rate bounds requests, of each client or of the whole route.
type Rate struct {
	PerSecond, Burst int
	WholeRoute       bool
}

// The grammar of the rules' fields, compiled once; a "$" would be a variable (rule I1).
var (
	headerName   = regexp.MustCompile(`^[A-Za-z][-A-Za-z0-9]{0,63}$`)
	headerValue  = regexp.MustCompile(`^[ -#%-~]{0,1000}$`)
	redirectPath = regexp.MustCompile(`^(/[-A-Za-z0-9_.~/]{0,200})?$`)
)

const (
	maxSeconds  = 86400
	maxConnect  = 75
	maxBody     = 100 << 30
	maxRequests = 1000000
	maxList     = 100
)

// rulesOf refuses what this node cannot do: a rule that is left out unsaid
// would open what it should close.
func rulesOf(r *gantryv1.HttpRules) (Rules, error) {
	if p := r.GetProtocol(); p < 0 || p > gantryv1.BackendProtocol_BACKEND_PROTOCOL_GRPC {
		return Rules{}, fmt.Errorf("rules.protocol cannot be served by this load balancer; remove it from the route")
	}
	rules := Rules{Gzip: r.GetGzip(), GRPC: grpcOf(r)}
	var err error
	for _, step := range []func() error{
		func() error { rules.TLS, err = tlsOf(r.GetTls(), r.GetResponseHeaders()); return err },
		func() error { rules.CORS, err = corsOf(r.GetCors(), r.GetResponseHeaders()); return err },
		func() error { rules.Sticky, err = stickyOf(r.GetSticky()); return err },
		func() error { rules.Redirect, err = redirectOf(r.GetRedirect()); return err },
		func() error { rules.Request, err = headersOf("request_headers", r.GetRequestHeaders()); return err },
		func() error { rules.Response, err = headersOf("response_headers", r.GetResponseHeaders()); return err },
		func() error { err = checkGRPC(rules); return err },
		func() error { rules.Limits, err = limitsOf(r.GetLimits()); return err },
		func() error { rules.Rate, err = rateOf(r.GetRateLimit()); return err },
		func() error { rules.Allow, err = allowOf(r.GetAllowCidrs()); return err },
	} {
		if step() != nil {
			return Rules{}, err
		}
	}
	return rules, checkRedirect(rules)
}

// checkRedirect refuses rules that a redirect would leave without effect.
func checkRedirect(r Rules) error {
	switch {
	case r.Redirect.Code == 0:
		return nil
	case r.Rate.PerSecond != 0 || r.Allow != nil:
		return fmt.Errorf("rules.redirect answers before rules.rate_limit and rules.allow_cidrs count; give only one of them")
	case r.CORS.Origins != nil:
		return fmt.Errorf("rules.redirect answers before rules.cors counts; give only one of them")
	case r.Sticky.Cookie != "":
		return fmt.Errorf("rules.redirect leads to no pod, so rules.sticky keeps nobody; give only one of them")
	}
	return nil
}

func redirectOf(r *gantryv1.Redirect) (Redirect, error) {
	if r == nil {
		return Redirect{}, nil
	}
	to := Redirect{Scheme: r.GetScheme(), Host: r.GetHost(), Path: r.GetPath(), Code: int(r.GetCode())}
	if to.Code == 0 {
		to.Code = 302
	}
	switch {
	case !slices.Contains([]string{"", "http", "https"}, to.Scheme):
		return Redirect{}, fmt.Errorf("rules.redirect.scheme %q is not \"http\" or \"https\"", to.Scheme)
	case to.Host != "" && (len(to.Host) > maxHost || !fields.host.MatchString(to.Host)):
		return Redirect{}, fmt.Errorf("rules.redirect.host %q is not a lower-case DNS name", to.Host)
	case !redirectPath.MatchString(to.Path):
		return Redirect{}, fmt.Errorf("rules.redirect.path %q must begin with \"/\" and hold only letters, digits and -_.~/", to.Path)
	case !slices.Contains([]int{301, 302, 307, 308}, to.Code):
		return Redirect{}, fmt.Errorf("rules.redirect.code %d is not 301, 302, 307 or 308", to.Code)
	case to.Scheme+to.Host+to.Path == "":
		return Redirect{}, fmt.Errorf("rules.redirect leads to where the request came from; give scheme, host or path")
	}
	return to, nil
}

// Headers that Nginx itself answers for: of a connection, or sent once only.
func ownHeader(field, name string) bool {
	own := []string{"connection", "upgrade", "content-length", "transfer-encoding"}
	if field == "response_headers" {
		own = append(own, "server", "date", "content-type", "content-encoding")
	}
	return slices.Contains(own, strings.ToLower(name))
}

// headersOf takes a header that is set to nothing as removed.
func headersOf(field string, r *gantryv1.HeaderRules) (Headers, error) {
	var h Headers
	seen := map[string]bool{}
	for _, v := range r.GetSet() {
		if err := checkHeader(field, v.GetName(), seen); err != nil {
			return h, err
		}
		value := v.GetValue()
		if !headerValue.MatchString(value) {
			return h, fmt.Errorf("rules.%s: the value of %s must be printable ASCII without \"$\"", field, v.GetName())
		}
		if value == "" {
			h.Remove = append(h.Remove, v.GetName())
			continue
		}
		h.Set = append(h.Set, Header{v.GetName(), value})
	}
	for _, name := range r.GetRemove() {
		if err := checkHeader(field, name, seen); err != nil {
			return h, err
		}
		h.Remove = append(h.Remove, name)
	}
	return h, nil
}

func checkHeader(field, name string, seen map[string]bool) error {
	switch {
	case !headerName.MatchString(name):
		return fmt.Errorf("rules.%s: %q is not the name of a header", field, name)
	case ownHeader(field, name):
		return fmt.Errorf("rules.%s: %s belongs to the load balancer; leave it out", field, name)
	case seen[strings.ToLower(name)]:
		return fmt.Errorf("rules.%s: %s is named twice", field, name)
	}
	seen[strings.ToLower(name)] = true
	return nil
}

func limitsOf(l *gantryv1.Limits) (Limits, error) {
	if n := l.GetMaxBodyBytes(); n < 0 || n > maxBody {
		return Limits{}, fmt.Errorf("rules.limits.max_body_bytes %d is not from 0 to %d", n, int64(maxBody))
	}
	for _, s := range []struct {
		field   string
		n, most int32
	}{
		{"connect_seconds", l.GetConnectSeconds(), maxConnect},
		{"read_seconds", l.GetReadSeconds(), maxSeconds},
		{"send_seconds", l.GetSendSeconds(), maxSeconds},
	} {
		if s.n < 0 || s.n > s.most {
			return Limits{}, fmt.Errorf("rules.limits.%s %d is not from 0 to %d", s.field, s.n, s.most)
		}
	}
	return Limits{l.GetMaxBodyBytes(), int(l.GetConnectSeconds()), int(l.GetReadSeconds()), int(l.GetSendSeconds())}, nil
}

func rateOf(r *gantryv1.RateLimit) (Rate, error) {
	if r == nil {
		return Rate{}, nil
	}
	rate := Rate{int(r.GetRequestsPerSecond()), int(r.GetBurst()), r.GetKey() == gantryv1.RateLimit_KEY_ROUTE}
	switch {
	case rate.PerSecond < 1 || rate.PerSecond > maxRequests:
		return Rate{}, fmt.Errorf("rules.rate_limit.requests_per_second %d is not from 1 to %d", rate.PerSecond, maxRequests)
	case rate.Burst < 0 || rate.Burst > maxRequests:
		return Rate{}, fmt.Errorf("rules.rate_limit.burst %d is not from 0 to %d", rate.Burst, maxRequests)
	case r.GetKey() < 0 || r.GetKey() > gantryv1.RateLimit_KEY_ROUTE:
		return Rate{}, fmt.Errorf("rules.rate_limit.key %d is unknown", r.GetKey())
	}
	return rate, nil
}

func allowOf(cidrs []string) ([]string, error) {
	if len(cidrs) > maxList {
		return nil, fmt.Errorf("rules.allow_cidrs has more than %d entries", maxList)
	}
	var all []string
	for _, text := range cidrs {
		p, err := netip.ParsePrefix(text)
		if err != nil {
			return nil, fmt.Errorf("rules.allow_cidrs: %q is not a CIDR", text)
		}
		all = append(all, p.Masked().String())
	}
	return all, nil
}
