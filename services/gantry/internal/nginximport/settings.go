package nginximport

import (
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"

	gantryv1 "gantry.dev/proto/gen/gantry/v1"
	"github.com/tufanbarisyildirim/gonginx/config"
)

// settings are what a level gives to those inside it. As with Nginx, a level
// that sets a list of its own does not have the outer one's.
type settings struct {
	limits   *gantryv1.Limits
	request  *gantryv1.HeaderRules
	response *gantryv1.HeaderRules
	allow    []string
	gzip     bool
}

func (s settings) rules() *gantryv1.HttpRules {
	return &gantryv1.HttpRules{Limits: s.limits, RequestHeaders: s.request, ResponseHeaders: s.response, AllowCidrs: s.allow, Gzip: s.gzip}
}

// blocked is why nothing of a level may be converted: a route without these
// would let in whom the file keeps out. Empty: it may.
func blocked(all []config.IDirective) string {
	guards := []string{"auth_basic", "auth_request", "auth_jwt", "satisfy", "internal", "limit_except", "ssl_verify_client", "ssl_client_certificate", "secure_link"}
	allowed, denied := false, false
	for _, d := range all {
		text := strings.Join(words(d), " ")
		switch name := d.GetName(); {
		case slices.Contains(guards, name) && text != "off":
			return "a route cannot keep out whom " + name + " keeps out"
		case name == "deny" && text != "all":
			return "a route says who may ask, not who may not (deny)"
		case name == "deny":
			denied = true
		case name == "allow" && !denied:
			allowed = allowed || rangeOf(text) != ""
		}
	}
	if denied && !allowed {
		return "it lets in nobody that a route could name (deny all)"
	}
	return ""
}

// changed is why nothing of a server or location may be converted: a route
// without these would do something else. Empty: it may.
func changed(all []config.IDirective) string {
	names := []string{"if", "rewrite", "try_files", "set", "error_page", "proxy_redirect", "sub_filter", "proxy_method", "proxy_set_body"}
	for _, d := range all {
		switch {
		case d.GetName() == "include":
			return "put the text of the included file in the place of include first"
		case slices.Contains(names, d.GetName()):
			return "a route cannot do what " + d.GetName() + " does"
		}
	}
	return ""
}

// rangeOf is an address range in canonical form; empty: it is none.
func rangeOf(text string) string {
	if prefix, err := netip.ParsePrefix(text); err == nil {
		return prefix.Masked().String()
	}
	if addr, err := netip.ParseAddr(text); err == nil {
		return netip.PrefixFrom(addr, addr.BitLen()).String()
	}
	return ""
}

// inherit adds what a level sets. Everything else is left to others.
func (r *reader) inherit(all []config.IDirective, outer settings) settings {
	s := outer
	s.limits = cloneLimits(outer.limits)
	own := map[string]bool{}
	denies := slices.ContainsFunc(all, func(d config.IDirective) bool { return d.GetName() == "deny" })
	for _, d := range all {
		w := words(d)
		switch d.GetName() {
		case "client_max_body_size", "proxy_connect_timeout", "proxy_read_timeout", "proxy_send_timeout", "grpc_read_timeout", "grpc_send_timeout":
			r.limit(d, &s)
		case "proxy_set_header", "grpc_set_header":
			if !own["request"] {
				s.request, own["request"] = nil, true
			}
			r.requestHeader(d, &s)
		case "add_header":
			if !own["response"] {
				s.response, own["response"] = nil, true
			}
			r.responseHeader(d, &s)
		case "allow":
			if !own["allow"] {
				s.allow, own["allow"] = nil, true
			}
			r.allow(d, denies, &s)
		case "deny":
			r.take(d)
		case "gzip":
			s.gzip = slices.Equal(w, []string{"on"})
			r.take(d)
		case "http2", "proxy_http_version", "server_tokens", "underscores_in_headers":
			if isDefault(d.GetName(), w) {
				r.take(d)
			}
		}
	}
	return s
}

// isDefault tells whether the load balancer does that by itself.
func isDefault(name string, w []string) bool {
	switch strings.Join(append([]string{name}, w...), " ") {
	case "http2 on", "proxy_http_version 1.1", "server_tokens off":
		return true
	}
	return false
}

func cloneLimits(l *gantryv1.Limits) *gantryv1.Limits {
	return &gantryv1.Limits{MaxBodyBytes: l.GetMaxBodyBytes(), ConnectSeconds: l.GetConnectSeconds(), ReadSeconds: l.GetReadSeconds(), SendSeconds: l.GetSendSeconds()}
}

// limit reads a size or a time.
func (r *reader) limit(d config.IDirective, s *settings) {
	text := strings.Join(words(d), " ")
	bytes, seconds := sizeOf(text), secondsOf(text)
	switch name := d.GetName(); {
	case name == "client_max_body_size" && bytes > 0 && bytes <= 100<<30:
		s.limits.MaxBodyBytes = bytes
	case name == "proxy_connect_timeout" && seconds > 0 && seconds <= 75:
		s.limits.ConnectSeconds = seconds
	case strings.HasSuffix(name, "_read_timeout") && seconds > 0:
		s.limits.ReadSeconds = seconds
	case strings.HasSuffix(name, "_send_timeout") && seconds > 0:
		s.limits.SendSeconds = seconds
	default:
		r.leave(d, "a route's limits are whole seconds up to a day (75 for connecting) and up to 100 GiB, and none is without limit")
		return
	}
	r.take(d)
}

// sizeOf reads "10m"; 0: it is no size.
func sizeOf(text string) int64 {
	parts := regexp.MustCompile(`^([0-9]{1,9})([kKmMgG]?)$`).FindStringSubmatch(text)
	if parts == nil {
		return 0
	}
	n, _ := strconv.ParseInt(parts[1], 10, 64) // nine digits
	return n << (10 * strings.Index(" kmg", strings.ToLower(parts[2] + " ")[:1]))
}

// secondsOf reads "30", "30s", "5m" or "1h"; 0: it is no such time.
func secondsOf(text string) int32 {
	parts := regexp.MustCompile(`^([0-9]{1,5})([smh]?)$`).FindStringSubmatch(text)
	if parts == nil {
		return 0
	}
	n, _ := strconv.ParseInt(parts[1], 10, 32) // five digits
	n *= map[string]int64{"": 1, "s": 1, "m": 60, "h": 3600}[parts[2]]
	if n > 86400 {
		return 0
	}
	return int32(n)
}

// requestHeader sets or removes a header; those that the load balancer sets
// alike are dropped.
func (r *reader) requestHeader(d config.IDirective, s *settings) {
	w := words(d)
	if len(w) == 2 && setsAlike(strings.ToLower(w[0]), w[1]) {
		r.take(d)
		return
	}
	if len(w) != 2 || !isHeader(w[0], w[1]) || owned(w[0]) {
		r.leave(d, "a route sets headers of its own to fixed values; Host, X-Forwarded-*, X-Real-IP and those of the connection are the load balancer's")
		return
	}
	r.take(d)
	if s.request == nil {
		s.request = &gantryv1.HeaderRules{}
	}
	if w[1] == "" {
		s.request.Remove = append(s.request.Remove, w[0])
		return
	}
	s.request.Set = append(s.request.Set, &gantryv1.HeaderValue{Name: w[0], Value: w[1]})
}

// setsAlike tells whether the load balancer sets a header so by itself.
func setsAlike(name, value string) bool {
	alike := map[string][]string{
		"host": {"$host", "$http_host"}, "x-real-ip": {"$remote_addr"}, "x-forwarded-for": {"$proxy_add_x_forwarded_for", "$remote_addr"},
		"x-forwarded-proto": {"$scheme"}, "x-forwarded-host": {"$host"}, "upgrade": {"$http_upgrade"}, "connection": {"", "upgrade", "Upgrade", "$connection_upgrade"},
	}
	return slices.Contains(alike[name], value)
}

func owned(name string) bool {
	name = strings.ToLower(name)
	return strings.HasPrefix(name, "x-forwarded-") || strings.HasPrefix(name, "x-gantry-") || slices.Contains([]string{
		"host", "connection", "content-length", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade", "expect", "forwarded", "x-real-ip",
	}, name)
}

func isHeader(name, value string) bool {
	return regexp.MustCompile(`^[A-Za-z][-A-Za-z0-9]{0,63}$`).MatchString(name) && regexp.MustCompile(`^[ -#%-~]{0,1000}$`).MatchString(value)
}

func (r *reader) responseHeader(d config.IDirective, s *settings) {
	w := words(d)
	if len(w) == 3 && w[2] == "always" {
		w = w[:2]
	}
	if len(w) != 2 || !isHeader(w[0], w[1]) || owned(w[0]) || slices.Contains([]string{"content-encoding", "content-range", "content-type", "date", "server"}, strings.ToLower(w[0])) {
		r.leave(d, "a route sets headers of its own to fixed values")
		return
	}
	r.take(d)
	if s.response == nil {
		s.response = &gantryv1.HeaderRules{}
	}
	s.response.Set = append(s.response.Set, &gantryv1.HeaderValue{Name: w[0], Value: w[1]})
}

// allow adds a range to those that may ask. Without a deny it says nothing.
func (r *reader) allow(d config.IDirective, denies bool, s *settings) {
	text := strings.Join(words(d), " ")
	if !denies {
		r.leave(d, "without deny all it keeps nobody out")
		return
	}
	canonical := rangeOf(text)
	if canonical == "" {
		r.leave(d, "a route allows address ranges")
		return
	}
	r.take(d)
	s.allow = append(s.allow, canonical)
}
