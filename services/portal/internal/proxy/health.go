package proxy

import (
	"context"
	"strings"
	"time"

	"gantry.dev/pkg/fault"
	"google.golang.org/grpc"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/protobuf/proto"
)

// healthCheck is the one method that needs no token: what probes a server has
// none. Its stream, Watch, does, since it would hold places for nobody.
const healthCheck = "/grpc.health.v1.Health/Check"

// healthTime bounds a health check, also of one who sends no request.
const healthTime = 5 * time.Second

// health answers whether calls can be served now. Nothing is passed on.
func (p *proxy) health(up grpc.ServerStream) error {
	ctx, cancel := context.WithTimeout(up.Context(), healthTime)
	defer cancel()
	first, err := firstFrame(ctx, up)
	if err != nil {
		return err
	}
	asked := &healthv1.HealthCheckRequest{}
	if err := proto.Unmarshal(first.data, asked); err != nil {
		return fault.ToStatus(fault.Invalid("REQUEST_MALFORMED", "this is no health check request: %w", err)).Err()
	}
	if !p.serves(asked.GetService()) {
		return fault.ToStatus(fault.NotFound("SERVICE_UNKNOWN", "there is no service of this name here; leave it empty to ask about all")).Err()
	}
	answer := &healthv1.HealthCheckResponse{Status: healthv1.HealthCheckResponse_NOT_SERVING}
	if p.Ready() {
		answer.Status = healthv1.HealthCheckResponse_SERVING
	}
	data, err := proto.Marshal(answer)
	if err != nil {
		return fault.ToStatus(fault.Internal("ENCODE", "encode the health: %w", err)).Err()
	}
	return up.SendMsg(&frame{data})
}

// serves tells whether there is a service of this name; empty stands for all.
func (p *proxy) serves(service string) bool {
	if service == "" {
		return true
	}
	for name := range p.Methods {
		if strings.HasPrefix(name, "/"+service+"/") {
			return true
		}
	}
	return false
}
