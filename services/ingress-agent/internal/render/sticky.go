package render

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"

	gantryv1 "gantry.dev/proto/gen/gantry/v1"
	"gantry.dev/services/ingress-agent/internal/conftext"
)

// Sticky keeps a client at one pod by a cookie; empty Cookie: it does not.
type Sticky struct {
	Cookie string
	// Unit: seconds; 0: until the browser closes.
	MaxAge int
}

const (
	stickyVar           = "$gantry_sticky"
	stickyAttributesVar = "$gantry_sticky_attributes"

	defaultCookie = "gantry-pod"
	maxCookieAge  = 31536000
)

// The grammar of a cookie's name.
var cookieName = regexp.MustCompile(`^[A-Za-z][-A-Za-z0-9_]{0,63}$`)

func stickyOf(s *gantryv1.Sticky) (Sticky, error) {
	if s == nil {
		return Sticky{}, nil
	}
	sticky := Sticky{Cookie: s.GetCookie(), MaxAge: int(s.GetMaxAgeSeconds())}
	if sticky.Cookie == "" {
		sticky.Cookie = defaultCookie
	}
	switch {
	case !cookieName.MatchString(sticky.Cookie):
		return Sticky{}, fmt.Errorf("rules.sticky.cookie %q is not the name of a cookie", sticky.Cookie)
	case sticky.MaxAge < 0 || sticky.MaxAge > maxCookieAge:
		return Sticky{}, fmt.Errorf("rules.sticky.max_age_seconds %d is not from 0 to %d", sticky.MaxAge, maxCookieAge)
	}
	return sticky, nil
}

// stickyLines are what gantry.sticky reads. The path keeps the cookies of two
// routes of a host apart.
func stickyLines(l Location) []conftext.Node {
	s := l.Rules.Sticky
	if s.Cookie == "" {
		return nil
	}
	attributes := []string{"Path=" + l.Path}
	if s.MaxAge > 0 {
		attributes = append(attributes, maxAge+strconv.Itoa(s.MaxAge))
	}
	attributes = append(attributes, "HttpOnly", "SameSite=Lax")
	return []conftext.Node{
		conftext.LineOf("set", conftext.Expr(stickyVar), conftext.Text(s.Cookie)),
		conftext.LineOf("set", conftext.Expr(stickyAttributesVar), conftext.Text(strings.Join(attributes, "; "))),
	}
}

const maxAge = "Max-Age="

func readSticky(location conftext.Node) (Sticky, error) {
	s := Sticky{Cookie: variable(location, stickyVar)}
	for attribute := range strings.SplitSeq(variable(location, stickyAttributesVar), "; ") {
		if seconds, ok := strings.CutPrefix(attribute, maxAge); ok {
			var err error
			if s.MaxAge, err = intOf(seconds, 1, maxCookieAge); err != nil {
				return Sticky{}, err
			}
		}
	}
	return s, nil
}

// phaseLines put the Lua of a location's rules before that of all hosts, which
// a location with lines of its own does not inherit.
func phaseLines(r Rules) []conftext.Node {
	var modules []string
	if r.CORS.Origins != nil {
		modules = append(modules, "gantry.cors")
	}
	if r.Sticky.Cookie != "" {
		modules = append(modules, "gantry.sticky")
	}
	if modules == nil {
		return nil
	}
	phase := func(name string) string {
		var calls []string
		for _, m := range append(modules, "gantry") {
			calls = append(calls, fmt.Sprintf(`require("%s").%s()`, m, name))
		}
		return strings.Join(calls, " ")
	}
	return []conftext.Node{
		conftext.LuaOf("access_by_lua_block", phase("access")),
		conftext.LuaOf("header_filter_by_lua_block", phase("header")),
	}
}
