package store

import (
	"cmp"
	"fmt"
	"strings"

	"gantry.dev/pkg/names"
	gantryv1 "gantry.dev/proto/gen/gantry/v1"
)

// HostClaim says who owns a host name, and which routes use it.
type HostClaim struct {
	// "projects/pay".
	Project string `json:"project"`
	// Place, as of Place, to route name.
	Paths map[string]string `json:"paths"`
	// Secret of the certificate by route name; of those routes only that have
	// one, and they all name the same.
	Secrets map[string]string `json:"secrets,omitempty"`
}

// Place is where on its host a route is: "main /api", "main =/api" when the
// path must be equal. Prefixes of whole segments are the same with and without
// a slash at the end.
func Place(r *gantryv1.Route) string {
	gateway := names.ID(r.GetGateway())
	if r.GetPathMatch() == gantryv1.PathMatch_PATH_MATCH_EXACT {
		return gateway + " =" + cmp.Or(r.GetPathPrefix(), "/")
	}
	return gateway + " " + cmp.Or(strings.TrimSuffix(r.GetPathPrefix(), "/"), "/")
}

// PortClaim says who owns a port.
type PortClaim struct {
	// "projects/pay/streamRoutes/db".
	StreamRoute string `json:"stream_route"`
}

// PortName names the port of a stream route on the VIPs of its gateway:
// "main/tcp/5432".
func PortName(r *gantryv1.StreamRoute) string {
	protocol := strings.ToLower(strings.TrimPrefix(r.GetProtocol().String(), "STREAM_PROTOCOL_"))
	return fmt.Sprintf("%s/%s/%d", names.ID(r.GetGateway()), protocol, r.GetListenPort())
}

// RevisionName names a form of a route; names sort by number up to a million
// forms.
func RevisionName(route string, number int32) string {
	return fmt.Sprintf("%s/revisions/%06d", route, number)
}
