// Package api is IpaasService.
package api

import (
	"context"
	"errors"
	"strings"

	"gantry.dev/pkg/authz"
	"gantry.dev/pkg/fault"
	"gantry.dev/pkg/mtls"
	ipaasv1 "gantry.dev/proto/gen/gantry/ipaas/v1"
	"gantry.dev/services/ipaas/internal/canary"
	"gantry.dev/services/ipaas/internal/endpoints"
	"gantry.dev/services/ipaas/internal/fence"
	"gantry.dev/services/ipaas/internal/kube"
	"gantry.dev/services/ipaas/internal/logs"
	"gantry.dev/services/ipaas/internal/state"
	"google.golang.org/grpc"
)

// endpointsPermission is all that load balancers get.
const endpointsPermission = "ipaas.endpoints"

// Config is what New needs; every field is required.
type Config struct {
	// Id of the cluster, told to the apps.
	Cluster string
	Cache   *kube.Cache
	Writer  *kube.Writer
	Prober  *state.Prober
	Meter   *state.Meter
	Fence   *fence.Fence
	Hub     *endpoints.Hub
	Canary  *canary.Canary
	Logs    logs.Reader
	// Closed when ipaas stops: streams end then, so that watchers go to
	// another ipaas at once.
	Stopping <-chan struct{}
}

// Service serves IpaasService.
type Service struct {
	ipaasv1.UnimplementedIpaasServiceServer
	Config
}

// New checks the configuration.
func New(c Config) (*Service, error) {
	if c.Cluster == "" || c.Cache == nil || c.Writer == nil || c.Prober == nil || c.Meter == nil || c.Fence == nil || c.Hub == nil || c.Canary == nil || c.Logs.Open == nil || c.Stopping == nil {
		return nil, errors.New("api: every field of Config is required")
	}
	return &Service{Config: c}, nil
}

// Register adds the service to a server.
func (s *Service) Register(r grpc.ServiceRegistrar) { ipaasv1.RegisterIpaasServiceServer(r, s) }

// Authorize knows callers by their certificate: cluster-mgr may do everything,
// ingress-agents may watch endpoints.
func Authorize(ctx context.Context, method string, _ any) (context.Context, error) {
	permission, ok := authz.Permission(method)
	if !ok {
		return ctx, fault.Denied("NO_PERMISSION_DECLARED", "%s declares no permission, so nobody may call it", method)
	}
	switch peer := mtls.PeerName(ctx); {
	case peer == "cluster-mgr", peer == "gantry-local":
		return ctx, nil
	case strings.HasPrefix(peer, "ingress-agent.") && permission == endpointsPermission:
		return ctx, nil
	default:
		return ctx, fault.Denied("CALLER_REFUSED", "%q may not call %s of ipaas; users come through portal", peer, method)
	}
}

// ready refuses until everything has been read once, and gives the cluster's
// health: an answer from half a cache would look like a loss (rule K1).
func (s *Service) ready() (state.Health, error) {
	health := s.Prober.Health()
	if _, loaded := s.Fence.Largest(); !loaded || health.Identity == "" {
		return health, fault.Unavailable("CLUSTER_NOT_READ", "ipaas has not read the cluster's identity and fence yet; try again in a moment (%s)", health.Detail)
	}
	if synced, missing := s.Cache.Synced(); !synced {
		return health, fault.Unavailable("CACHE_NOT_SYNCED", "ipaas has not read the cluster's %s yet; try again in a moment (%s)", missing, health.Detail)
	}
	if s.Cache.Identity() != health.Identity {
		return health, fault.Unavailable("CLUSTER_CHANGES", "another cluster is taking over the address of the API server; try again when ipaas has started anew")
	}
	return health, nil
}
