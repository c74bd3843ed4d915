package app

import (
	"context"
	"slices"
	"time"

	ingressv1 "gantry.dev/proto/gen/gantry/ingress/v1"
	"gantry.dev/services/ingress-agent/internal/certificates"
	"gantry.dev/services/ingress-agent/internal/render"
)

// certificatePause is between two looks whether Nginx holds the certificates:
// one that was restarted may have read older ones from disk.
const certificatePause = 3 * time.Second

func (a *agent) newCertificates() {
	var err error
	a.certificates, err = certificates.New(certificates.Config{
		StateDir: a.config.StateDir, KeyFile: a.config.GatewayKey, Client: a.nginx.Client(),
	})
	if err != nil {
		a.log.Error("the last good certificates cannot be read; opening them again", "error", err.Error())
	}
}

// secure takes up the certificates and takes out of the build what cannot be
// served without one. Renewed ones count at once; no reload is waited for.
func (a *agent) secure(c *ingressv1.GatewayConfig, b render.Build) render.Build {
	served, _ := a.manager.Served()
	hosts := append(b.Model.TLSHosts(), served.TLSHosts()...)
	slices.Sort(hosts)
	problems, err := a.certificates.Take(c.GetCertificates(), slices.Compact(hosts))
	if a.state.problem("certificates", err) && err != nil {
		a.log.Error("certificates are served but not on disk", "error", err.Error())
	}
	if a.config.HTTPSPort == 0 {
		for _, host := range b.Model.TLSHosts() {
			problems[host] = certificates.Problem{Reason: "this load balancer has no port for HTTPS; start its agent with another --https-port than 0"}
		}
	}
	a.wakeCertificates()
	return quarantineTLS(b, problems)
}

// quarantineTLS rejects the routes with TLS of the hosts that have no
// certificate; of those whose last good one is served it only says so.
func quarantineTLS(b render.Build, problems map[string]certificates.Problem) render.Build {
	var lost, kept []render.Rejected
	for _, h := range b.Model.Hosts {
		p, ok := problems[h.Name]
		for _, l := range h.Locations {
			switch r := (render.Rejected{Route: l.Route, Reason: p.Reason}); {
			case !ok || !l.Rules.TLS.On:
			case p.Kept:
				kept = append(kept, r)
			default:
				lost = append(lost, r)
			}
		}
	}
	b = b.Reject(lost)
	b.Rejected = slices.Concat(b.Rejected, kept)
	return b
}

func (a *agent) wakeCertificates() {
	select {
	case a.certificateWake <- struct{}{}:
	default:
	}
}

// keepCertificates sees to it that Nginx holds the certificates.
func (a *agent) keepCertificates(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-a.certificateWake:
		case <-time.After(certificatePause):
		}
		a.pushCertificates(ctx)
	}
}

// pushCertificates says once when it fails; it is tried again.
func (a *agent) pushCertificates(ctx context.Context) {
	if a.nginx.Pid() == 0 {
		return // it reads them from disk when it starts
	}
	err := a.certificates.Push(ctx)
	if ctx.Err() == nil && a.state.problem("certificates in nginx", err) && err != nil {
		a.log.Error("nginx takes no certificates; trying again", "error", err.Error())
	}
}
