// Package api serves AgentService.
package api

import (
	"context"

	"gantry.dev/pkg/fault"
	"gantry.dev/pkg/mtls"
	ingressv1 "gantry.dev/proto/gen/gantry/ingress/v1"
	"google.golang.org/grpc"
)

// Reporter says what the node serves and sees.
type Reporter interface {
	Status(ctx context.Context) *ingressv1.GetStatusResponse
}

// Service is AgentService.
type Service struct {
	ingressv1.UnimplementedAgentServiceServer

	reporter Reporter
}

// New makes the service.
func New(r Reporter) *Service { return &Service{reporter: r} }

// Register adds the service to a server.
func (s *Service) Register(r grpc.ServiceRegistrar) { ingressv1.RegisterAgentServiceServer(r, s) }

// GetStatus answers at once, also while Nginx is dead.
func (s *Service) GetStatus(ctx context.Context, _ *ingressv1.GetStatusRequest) (*ingressv1.GetStatusResponse, error) {
	return s.reporter.Status(ctx), nil
}

// caller is the only service that may call.
const caller = "cluster-mgr"

// Authorize refuses every caller but cluster-mgr.
func Authorize(ctx context.Context, method string, _ any) (context.Context, error) {
	if name := mtls.PeerName(ctx); name != caller {
		return ctx, fault.Denied("CALLER_NOT_ALLOWED", "%q may not call %s; only %s may", name, method, caller)
	}
	return ctx, nil
}
