// Package grpcserver is the one way a Gantry service serves gRPC: health,
// reflection, metrics, recovery, validation of the proto's own rules,
// authorisation and one mapping of faults, in the same order everywhere.
package grpcserver

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"time"

	"buf.build/go/protovalidate"
	grpcprom "github.com/grpc-ecosystem/go-grpc-middleware/providers/prometheus"
	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/reflection"
)

// drainTime is how long Run waits for calls in flight once its context ends.
const drainTime = 10 * time.Second

// maxMessage bounds one request or answer in bytes.
const maxMessage = 16 << 20

// Config is what New needs; all but ServerOptions is required.
type Config struct {
	// Name of the service in logs.
	Name string
	// host:port to listen on.
	Listen   string
	TLS      *tls.Config
	Logger   *slog.Logger
	Registry *prometheus.Registry
	// Authorize refuses a call with a fault or returns the context that the
	// method runs with. method is the full name; req is nil for streams until
	// their first message. Health and reflection are not asked about.
	Authorize     func(ctx context.Context, method string, req any) (context.Context, error)
	ServerOptions []grpc.ServerOption
}

// Server is a gRPC server that is ready to take services.
type Server struct {
	config   Config
	grpc     *grpc.Server
	health   *health.Server
	metrics  *grpcprom.ServerMetrics
	listener net.Listener
}

// New listens at once, so that a taken port is an error of the start.
func New(c Config) (*Server, error) {
	if c.Name == "" || c.Listen == "" || c.TLS == nil || c.Logger == nil || c.Registry == nil || c.Authorize == nil {
		return nil, errors.New("grpcserver: name, listen, TLS, logger, registry and authorize are required")
	}
	validator, err := protovalidate.New()
	if err != nil {
		return nil, fmt.Errorf("grpcserver: build the validator: %w", err)
	}
	metrics := grpcprom.NewServerMetrics(grpcprom.WithServerHandlingTimeHistogram())
	if err := c.Registry.Register(metrics); err != nil {
		return nil, fmt.Errorf("grpcserver: register metrics: %w", err)
	}
	listener, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", c.Listen)
	if err != nil {
		return nil, fmt.Errorf("grpcserver: listen on %s: %w", c.Listen, err)
	}
	chain := chain{logger: c.Logger, authorize: c.Authorize, validator: validator}
	options := append([]grpc.ServerOption{
		grpc.Creds(credentials.NewTLS(c.TLS)),
		grpc.ChainUnaryInterceptor(metrics.UnaryServerInterceptor(), chain.unary),
		grpc.ChainStreamInterceptor(metrics.StreamServerInterceptor(), chain.stream),
		grpc.MaxRecvMsgSize(maxMessage),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 5 * time.Second, PermitWithoutStream: true}),
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: 20 * time.Second, Timeout: 5 * time.Second}),
	}, c.ServerOptions...)
	s := &Server{config: c, grpc: grpc.NewServer(options...), health: health.NewServer(), metrics: metrics, listener: listener}
	healthpb.RegisterHealthServer(s.grpc, s.health)
	reflection.Register(s.grpc)
	return s, nil
}

// stopped takes the end that was asked for as none.
func stopped(err error) error {
	if errors.Is(err, grpc.ErrServerStopped) {
		return nil
	}
	return err
}

// Registrar takes the services; call before Run.
func (s *Server) Registrar() grpc.ServiceRegistrar { return s.grpc }

// Addr is where the server listens.
func (s *Server) Addr() net.Addr { return s.listener.Addr() }

// Run serves until ctx ends, then says "not serving", lets calls in flight
// finish for ten seconds, and closes.
func (s *Server) Run(ctx context.Context) error {
	s.metrics.InitializeMetrics(s.grpc)
	failed := make(chan error, 1)
	go func() { failed <- s.grpc.Serve(s.listener) }()
	s.config.Logger.Info("serving", "service", s.config.Name, "address", s.listener.Addr().String())
	select {
	case err := <-failed:
		return fmt.Errorf("serve %s: %w", s.config.Name, err)
	case <-ctx.Done():
	}
	s.health.Shutdown()
	hard := time.AfterFunc(drainTime, s.grpc.Stop)
	defer hard.Stop()
	s.grpc.GracefulStop()
	return stopped(<-failed)
}
