package render

import (
	"cmp"
	"fmt"
	"regexp"
	"strings"

	ingressv1 "gantry.dev/proto/gen/gantry/ingress/v1"
	gantryv1 "gantry.dev/proto/gen/gantry/v1"
)

// A Canary leads some of a route's requests to another upstream. It is not in
// the files but in the table of pods: a changed weight needs no reload.
type Canary struct {
	Upstream string
	// Variable of Nginx whose value decides ("http_x_canary"); empty: Percent
	// does.
	Variable, Value string
	// Of the requests that no variable decides on.
	Percent int
}

var canaryValue = regexp.MustCompile(`^[-A-Za-z0-9_.]{0,100}$`)

const whole = 100

// CanariesOf gives a route's canaries in the order in which they are asked.
func CanariesOf(r *ingressv1.Route) ([]Canary, error) {
	all := r.GetRules().GetCanaries()
	if len(all) > maxList {
		return nil, fmt.Errorf("rules.canaries has more than %d entries", maxList)
	}
	var out []Canary
	sum := 0
	for i, c := range all {
		canary, err := canaryOf(r, c)
		if err != nil {
			return nil, fmt.Errorf("rules.canaries[%d]%w", i, err)
		}
		if sum += canary.Percent; sum > whole {
			return nil, fmt.Errorf("rules.canaries[%d].weight_percent: the weights are %d %% together", i, sum)
		}
		out = append(out, canary)
	}
	return out, nil
}

// canaryOf names the field that is wrong at the start of its error.
func canaryOf(r *ingressv1.Route, c *gantryv1.Canary) (Canary, error) {
	project, app, err := appOf(c.GetApp())
	conditions := 0
	for _, given := range []bool{c.GetHeader() != "", c.GetCookie() != "", c.GetWeightPercent() != 0} {
		if given {
			conditions++
		}
	}
	switch {
	case err != nil:
		return Canary{}, fmt.Errorf(".%w", err)
	case r.GetApp() == "":
		return Canary{}, fmt.Errorf(": a route that redirects leads to no app")
	case project != projectOf(r.GetName()):
		return Canary{}, fmt.Errorf(".app %q is of another project than the route", c.GetApp())
	case c.GetPort() < 1 || c.GetPort() > maxPort:
		return Canary{}, fmt.Errorf(".port %d is not between 1 and %d", c.GetPort(), maxPort)
	case conditions != 1:
		return Canary{}, fmt.Errorf(": give one of header, cookie and weight_percent")
	case c.GetHeader() != "" && !headerName.MatchString(c.GetHeader()):
		return Canary{}, fmt.Errorf(".header %q is not the name of a header", c.GetHeader())
	case c.GetCookie() != "" && !cookieName.MatchString(c.GetCookie()):
		return Canary{}, fmt.Errorf(".cookie %q is not the name of a cookie", c.GetCookie())
	case !canaryValue.MatchString(c.GetValue()):
		return Canary{}, fmt.Errorf(".value %q may hold letters, digits and -_. only", c.GetValue())
	case c.GetWeightPercent() < 0 || c.GetWeightPercent() > whole:
		return Canary{}, fmt.Errorf(".weight_percent %d is not from 0 to %d", c.GetWeightPercent(), whole)
	}
	canary := Canary{Upstream: Upstream(project, app, int(c.GetPort())), Percent: int(c.GetWeightPercent())}
	if canary.Percent == 0 {
		canary.Variable, canary.Value = variableOf(c), cmp.Or(c.GetValue(), "always")
	}
	return canary, nil
}

func variableOf(c *gantryv1.Canary) string {
	if c.GetCookie() != "" {
		return "cookie_" + c.GetCookie()
	}
	return "http_" + strings.ReplaceAll(strings.ToLower(c.GetHeader()), "-", "_")
}
