package render

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	gantryv1 "gantry.dev/proto/gen/gantry/v1"
	"gantry.dev/services/ingress-agent/internal/conftext"
)

// CORS lets pages of other origins read the answers; nil Origins: none may.
type CORS struct {
	// "https://shop.example.com", or "*" alone.
	Origins          []string
	Methods, Headers []string
	// Cookies may be sent.
	Credentials bool
	// Seconds that a preflight answer may be kept.
	MaxAge int
}

const (
	corsOriginsVar = "$gantry_cors_origins"
	corsMethodsVar = "$gantry_cors_methods"
	corsHeadersVar = "$gantry_cors_headers"
	corsCookiesVar = "$gantry_cors_credentials"
	corsMaxAgeVar  = "$gantry_cors_max_age"

	defaultCORSAge = 600
	maxCORSAge     = 86400
)

var (
	corsOrigin = regexp.MustCompile(`^(\*|https?://[a-z0-9.-]{1,253}(:[0-9]{1,5})?)$`)
	corsMethod = regexp.MustCompile(`^[A-Z]{1,20}$`)
)

// corsHeaders are those of an answer that the load balancer decides on: one of
// the app beside it would make browsers refuse both.
func corsHeaders() []string {
	return []string{
		"Access-Control-Allow-Origin", "Access-Control-Allow-Credentials", "Access-Control-Allow-Methods",
		"Access-Control-Allow-Headers", "Access-Control-Max-Age",
	}
}

func corsOf(c *gantryv1.Cors, response *gantryv1.HeaderRules) (CORS, error) {
	if c == nil {
		return CORS{}, nil
	}
	for _, list := range []struct {
		field   string
		values  []string
		grammar *regexp.Regexp
	}{{"origins", c.GetOrigins(), corsOrigin}, {"methods", c.GetMethods(), corsMethod}, {"headers", c.GetHeaders(), headerName}} {
		if err := checkList("rules.cors."+list.field, list.values, list.grammar); err != nil {
			return CORS{}, err
		}
	}
	all := slices.Contains(c.GetOrigins(), "*")
	switch n := c.GetMaxAgeSeconds(); {
	case len(c.GetOrigins()) == 0:
		return CORS{}, fmt.Errorf("rules.cors.origins is empty; name the origins that may read the answers")
	case all && len(c.GetOrigins()) > 1:
		return CORS{}, fmt.Errorf("rules.cors.origins holds \"*\" and others; \"*\" stands alone")
	case all && c.GetCredentials():
		return CORS{}, fmt.Errorf("rules.cors.credentials: browsers refuse cookies with the origin \"*\"; name the origins")
	case n < 0 || n > maxCORSAge:
		return CORS{}, fmt.Errorf("rules.cors.max_age_seconds %d is not from 0 to %d", n, maxCORSAge)
	}
	for _, h := range corsHeaders() {
		if names(response, h) {
			return CORS{}, fmt.Errorf("rules.cors and rules.response_headers both decide on %s; give only one of them", h)
		}
	}
	cors := CORS{Origins: c.GetOrigins(), Methods: c.GetMethods(), Headers: c.GetHeaders(), Credentials: c.GetCredentials(), MaxAge: int(c.GetMaxAgeSeconds())}
	if len(cors.Methods) == 0 {
		cors.Methods = []string{"GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}
	}
	if len(cors.Headers) == 0 {
		cors.Headers = nil
	}
	if cors.MaxAge == 0 {
		cors.MaxAge = defaultCORSAge
	}
	return cors, nil
}

func checkList(field string, values []string, grammar *regexp.Regexp) error {
	if len(values) > maxList {
		return fmt.Errorf("%s has more than %d entries", field, maxList)
	}
	for _, v := range values {
		if !grammar.MatchString(v) {
			return fmt.Errorf("%s: %q is not allowed there", field, v)
		}
	}
	return nil
}

// corsLines are what gantry.cors reads; where there is CORS, the first is there.
func corsLines(c CORS) []conftext.Node {
	if c.Origins == nil {
		return nil
	}
	set := func(variable, value string) conftext.Node {
		return conftext.LineOf("set", conftext.Expr(variable), conftext.Text(value))
	}
	lines := []conftext.Node{
		set(corsOriginsVar, strings.Join(c.Origins, " ")),
		set(corsMethodsVar, strings.Join(c.Methods, ", ")),
		set(corsHeadersVar, strings.Join(c.Headers, ", ")),
		set(corsCookiesVar, strconv.FormatBool(c.Credentials)),
		set(corsMaxAgeVar, strconv.Itoa(c.MaxAge)),
	}
	for _, h := range corsHeaders() {
		lines = append(lines, conftext.Line("proxy_hide_header", h))
	}
	return lines
}

// readCORS takes the lines of corsLines out of a location.
func readCORS(location conftext.Node) (CORS, []conftext.Node, error) {
	origins := variable(location, corsOriginsVar)
	if origins == "" {
		return CORS{}, location.Children, nil
	}
	age, err := intOf(variable(location, corsMaxAgeVar), 1, maxCORSAge)
	c := CORS{
		Origins: strings.Fields(origins), Methods: strings.Split(variable(location, corsMethodsVar), ", "),
		Credentials: variable(location, corsCookiesVar) == "true", MaxAge: age,
	}
	if headers := variable(location, corsHeadersVar); headers != "" {
		c.Headers = strings.Split(headers, ", ")
	}
	rest := slices.DeleteFunc(slices.Clone(location.Children), func(n conftext.Node) bool {
		return strings.HasSuffix(n.Name, "_hide_header") && slices.Contains(corsHeaders(), n.Arg(0))
	})
	return c, rest, err
}
