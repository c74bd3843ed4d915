package stream

import (
	"cmp"
	"fmt"
	"net/netip"
	"regexp"
	"slices"

	ingressv1 "gantry.dev/proto/gen/gantry/ingress/v1"
	gantryv1 "gantry.dev/proto/gen/gantry/v1"
	"gantry.dev/services/ingress-agent/internal/render"
)

// A Build is what a configuration asks for, and what in it cannot be done.
type Build struct {
	Gateway string
	// In name order; no two listen alike.
	Forms    []Form
	Rejected []Rejected
	// Names of all routes asked for, also the rejected ones.
	Wanted map[string]bool
}

const (
	maxPort        = 65535
	maxIdle        = 86400
	defaultTCPIdle = 600
	defaultUDPIdle = 60
	identName      = `[a-z]([-a-z0-9]{0,38}[a-z0-9])?`
)

// FromConfig checks each stream route by its grammar (rule I1). One that
// breaks a rule is rejected alone (rule I4); of two that listen alike the
// first by name is kept. reserved says by TCP port whose it is on this node.
func FromConfig(c *ingressv1.GatewayConfig, reserved map[int]string) Build {
	b := Build{Gateway: c.GetGateway(), Wanted: map[string]bool{}}
	routes := slices.Clone(c.GetStreamRoutes())
	slices.SortStableFunc(routes, func(x, y *ingressv1.StreamRoute) int { return cmp.Compare(x.GetName(), y.GetName()) })
	taken := map[Listener]string{}
	for port, owner := range reserved {
		taken[Listener{Port: port}] = owner
	}
	for _, r := range routes {
		form, err := formOf(r)
		if err == nil && b.Wanted[r.GetName()] {
			err = fmt.Errorf("the stream route is listed twice")
		}
		if owner, ok := taken[form.Listen]; err == nil && ok {
			err = fmt.Errorf("listen_port %d is that of %s; give the stream route another", form.Listen.Port, owner)
		}
		b.Wanted[r.GetName()] = true
		if err != nil {
			b.Rejected = append(b.Rejected, Rejected{Route: r.GetName(), Reason: err.Error()})
			continue
		}
		taken[form.Listen] = form.Name
		b.Forms = append(b.Forms, form)
	}
	return b
}

func formOf(r *ingressv1.StreamRoute) (Form, error) {
	f := Form{
		Name: r.GetName(), ProxyProtocol: r.GetProxyProtocol(), Idle: int(r.GetIdleSeconds()),
		Listen: Listener{UDP: r.GetProtocol() == gantryv1.StreamProtocol_STREAM_PROTOCOL_UDP, Port: int(r.GetListenPort())},
	}
	project := regexp.MustCompile(`^projects/(` + identName + `)/streamRoutes/` + identName + `$`).FindStringSubmatch(r.GetName())
	app := regexp.MustCompile(`^projects/(` + identName + `)/apps/(` + identName + `)$`).FindStringSubmatch(r.GetApp())
	switch {
	case project == nil:
		return f, fmt.Errorf("name %q is not \"projects/{project}/streamRoutes/{stream_route}\"", r.GetName())
	case app == nil:
		return f, fmt.Errorf("app %q is not \"projects/{project}/apps/{app}\"", r.GetApp())
	case app[1] != project[1]:
		return f, fmt.Errorf("app %q is of another project than the stream route", r.GetApp())
	case r.GetProtocol() < 0 || r.GetProtocol() > gantryv1.StreamProtocol_STREAM_PROTOCOL_UDP:
		return f, fmt.Errorf("protocol %d is neither TCP nor UDP", r.GetProtocol())
	case f.Listen.Port < 1 || f.Listen.Port > maxPort:
		return f, fmt.Errorf("listen_port %d is not between 1 and %d", f.Listen.Port, maxPort)
	case r.GetPort() < 1 || r.GetPort() > maxPort:
		return f, fmt.Errorf("port %d is not between 1 and %d", r.GetPort(), maxPort)
	case f.Listen.UDP && f.ProxyProtocol:
		return f, fmt.Errorf("proxy_protocol is for TCP only; leave it out")
	case f.Idle < 0 || f.Idle > maxIdle:
		return f, fmt.Errorf("idle_seconds %d is not between 0 and %d", f.Idle, maxIdle)
	}
	f.Upstream = render.Upstream(app[1], app[3], int(r.GetPort()))
	f.Idle = idleOf(f)
	var err error
	f.Allow, err = allowOf(r.GetAllowCidrs())
	return f, err
}

func idleOf(f Form) int {
	switch {
	case f.Idle > 0:
		return f.Idle
	case f.Listen.UDP:
		return defaultUDPIdle
	}
	return defaultTCPIdle
}

func allowOf(cidrs []string) ([]string, error) {
	var allow []string
	for _, c := range cidrs {
		p, err := netip.ParsePrefix(c)
		if err != nil {
			return nil, fmt.Errorf("allow_cidrs: %q is not an address range such as 10.0.0.0/8", c)
		}
		allow = append(allow, p.Masked().String())
	}
	return allow, nil
}

// keepLastGood adds the rejected routes in the form that served serves, where
// they have one and its place is free (rule I4).
func keepLastGood(b Build, served Model) []Form {
	forms := slices.Clone(b.Forms)
	for _, r := range b.Rejected {
		if last, ok := served.Route(r.Route); ok && free(forms, last.Form) {
			forms = append(forms, last.Form)
		}
	}
	sortForms(forms)
	return forms
}

// revert takes a route back to the form that served serves; one that has none,
// or no other, or whose place is taken, is left out.
func revert(forms []Form, served Model, name string) []Form {
	i := slices.IndexFunc(forms, func(f Form) bool { return f.Name == name })
	refused := forms[i]
	forms = slices.Delete(slices.Clone(forms), i, i+1)
	if last, ok := served.Route(name); ok && !equalForm(last.Form, refused) && free(forms, last.Form) {
		forms = append(forms, last.Form)
	}
	sortForms(forms)
	return forms
}

func free(forms []Form, f Form) bool {
	return !slices.ContainsFunc(forms, func(x Form) bool { return x.Name == f.Name || x.Listen == f.Listen })
}
