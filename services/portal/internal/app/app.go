// Package app puts portal together: one HTTPS port for REST and gRPC, in front
// of the cluster-mgr replicas.
package app

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"time"

	"gantry.dev/pkg/fault"
	"gantry.dev/pkg/mtls"
	"gantry.dev/services/portal/internal/admission"
	"gantry.dev/services/portal/internal/audit"
	"gantry.dev/services/portal/internal/auth"
	"gantry.dev/services/portal/internal/backend"
	"gantry.dev/services/portal/internal/methods"
	"gantry.dev/services/portal/internal/proxy"
	"gantry.dev/services/portal/internal/rest"
	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
)

// Limits of every call (rule E4).
const (
	maxBodyBytes    = 1 << 20
	callTimeout     = 60 * time.Second
	callsPerUser    = 200
	streamsPerUser  = 50
	streamsPerConn  = 250
	shutdownTimeout = 10 * time.Second
)

// Config is everything portal needs; every field is required.
type Config struct {
	// Listen is the host:port for users.
	Listen string
	// TLS names portal's certificate, shown to users and to cluster-mgr.
	TLS mtls.Files
	// ClusterMgr are host:port of the replicas.
	ClusterMgr []string
	// TokenIssuer, TokenAudience and TokenKey (a file, PEM or JWK) say which
	// tokens are good.
	TokenIssuer, TokenAudience, TokenKey string
	Logger                               *slog.Logger
	Registry                             prometheus.Registerer
}

// Run serves until ctx ends, then lets calls under way finish for 10 s.
func Run(ctx context.Context, cfg Config) error {
	var lc net.ListenConfig
	listener, err := lc.Listen(ctx, "tcp", cfg.Listen)
	if err != nil {
		return fault.Unavailable("LISTEN_FAILED", "portal cannot listen on %s; choose another --listen: %w", cfg.Listen, err)
	}
	defer listener.Close()
	return run(ctx, cfg, listener)
}

func run(ctx context.Context, cfg Config, listener net.Listener) error {
	tlsServer, err := cfg.TLS.Server()
	if err != nil {
		return fault.Invalid("TLS_CONFIG", "portal's certificate cannot be used: %w", err)
	}
	// Users prove themselves by token, not by certificate.
	tlsServer.ClientAuth, tlsServer.ClientCAs = tls.NoClientCert, nil
	conn, err := dial(cfg)
	if err != nil {
		return err
	}
	defer conn.Close()
	users, err := newServer(ctx, cfg, conn)
	if err != nil {
		return err
	}
	defer users.grpc.Stop()
	stopStreams := context.AfterFunc(ctx, users.gate.Close)
	defer stopStreams()
	cfg.Logger.Info("portal serves", "address", listener.Addr().String(), "cluster_mgr", cfg.ClusterMgr)
	return serve(ctx, users.http, tls.NewListener(listener, tlsServer))
}

func dial(cfg Config) (*grpc.ClientConn, error) {
	tlsClient, err := cfg.TLS.Client("cluster-mgr")
	if err != nil {
		return nil, fault.Invalid("TLS_CONFIG", "portal's certificate cannot be used: %w", err)
	}
	return backend.Dial(backend.Config{Addresses: cfg.ClusterMgr, TLS: tlsClient, Methods: methods.New()})
}

// server is what users meet: an HTTP server that hands gRPC to grpc.
type server struct {
	http *http.Server
	grpc *grpc.Server
	gate *admission.Gate
}

func newServer(ctx context.Context, cfg Config, conn *grpc.ClientConn) (*server, error) {
	keys, err := auth.LoadKeys(cfg.TokenKey)
	if err != nil {
		return nil, err
	}
	verifier, err := auth.New(auth.Config{Issuer: cfg.TokenIssuer, Audience: cfg.TokenAudience, Keys: keys})
	if err != nil {
		return nil, err
	}
	log, err := audit.New(cfg.Logger, cfg.Registry, time.Now)
	if err != nil {
		return nil, fault.Internal("METRICS", "register portal's metrics: %w", err)
	}
	gate := admission.New(admission.Config{
		Verifier: verifier, CallTimeout: callTimeout, CallsPerUser: callsPerUser, StreamsPerUser: streamsPerUser,
	})
	catalog, identified := methods.New(), backend.Identify(conn)
	grpcServer := proxy.New(proxy.Config{
		Gate: gate, Backend: identified, Methods: catalog, Audit: log, MaxMessageBytes: maxBodyBytes,
		Ready: func() bool { return ready(conn) },
	})
	api, err := rest.New(ctx, rest.Config{
		Gate: gate, Backend: identified, Methods: catalog, Audit: log, MaxBodyBytes: maxBodyBytes,
	})
	if err != nil {
		return nil, fault.Internal("REST", "build the REST side: %w", err)
	}
	return &server{gate: gate, grpc: grpcServer, http: httpServer(routes(grpcServer, api, conn), cfg.Logger)}, nil
}

func httpServer(handler http.Handler, logger *slog.Logger) *http.Server {
	s := &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       3 * time.Minute,
		MaxHeaderBytes:    64 << 10,
		ErrorLog:          slog.NewLogLogger(logger.Handler(), slog.LevelDebug),
		HTTP2: &http.HTTP2Config{
			MaxConcurrentStreams: streamsPerConn,
			SendPingTimeout:      30 * time.Second,
			PingTimeout:          15 * time.Second,
			WriteByteTimeout:     30 * time.Second,
		},
		Protocols: new(http.Protocols),
	}
	s.Protocols.SetHTTP1(true)
	s.Protocols.SetHTTP2(true)
	return s
}

// serve ends without error when ctx does.
func serve(ctx context.Context, s *http.Server, listener net.Listener) error {
	failed := make(chan error, 1)
	go func() { failed <- s.Serve(listener) }()
	select {
	case err := <-failed:
		return fault.Internal("SERVE_FAILED", "serve users: %w", err)
	case <-ctx.Done():
	}
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTimeout)
	defer cancel()
	if err := s.Shutdown(grace); err != nil {
		_ = s.Close() // streams stay open for ever otherwise
	}
	if err := <-failed; !errors.Is(err, http.ErrServerClosed) {
		return fault.Internal("SERVE_FAILED", "serve users: %w", err)
	}
	return nil
}
