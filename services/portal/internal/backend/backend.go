// Package backend is portal's connection to the cluster-mgr replicas.
package backend

import (
	"crypto/tls"
	"encoding/json"
	"net"
	"strings"
	"time"

	"gantry.dev/pkg/fault"
	"gantry.dev/services/portal/internal/methods"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials"
	_ "google.golang.org/grpc/health" // client side health checks, asked for in the service config
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/resolver"
	"google.golang.org/grpc/resolver/manual"
)

// MaxMessageBytes bounds one message in either direction (rule E4).
const MaxMessageBytes = 4 << 20

// Config names the replicas.
type Config struct {
	// Addresses are host:port of each cluster-mgr; at least one.
	Addresses []string
	// TLS verifies that the peer is cluster-mgr.
	TLS *tls.Config
	// Methods says which calls are reads and may be retried.
	Methods methods.Catalog
}

// Dial returns one connection over all replicas: calls go round those that
// answer a health check, and a read that meets a dead one is tried on the next.
// The connection is made in the background; the caller closes it.
func Dial(cfg Config) (*grpc.ClientConn, error) {
	if len(cfg.Addresses) == 0 {
		return nil, fault.Invalid("CLUSTER_MGR_MISSING", "name at least one cluster-mgr with --cluster-mgr host:port")
	}
	addresses, err := endpoints(cfg.Addresses)
	if err != nil {
		return nil, err
	}
	config, err := serviceConfig(cfg.Methods)
	if err != nil {
		return nil, err
	}
	builder := manual.NewBuilderWithScheme("static")
	builder.InitialState(resolver.State{Addresses: addresses})
	conn, err := grpc.NewClient("static:///cluster-mgr",
		grpc.WithResolvers(builder),
		grpc.WithTransportCredentials(credentials.NewTLS(cfg.TLS)),
		grpc.WithDefaultServiceConfig(config),
		grpc.WithDisableServiceConfig(),
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: 200 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: 3 * time.Second},
			MinConnectTimeout: 3 * time.Second,
		}),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 20 * time.Second, Timeout: 5 * time.Second}),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(MaxMessageBytes), grpc.MaxCallSendMsgSize(MaxMessageBytes)),
	)
	if err != nil {
		return nil, fault.Invalid("CLUSTER_MGR_INVALID", "cannot use the cluster-mgr addresses: %w", err)
	}
	conn.Connect()
	return conn, nil
}

func endpoints(hostPorts []string) ([]resolver.Address, error) {
	var out []resolver.Address
	for _, hostPort := range hostPorts {
		hostPort = strings.TrimSpace(hostPort)
		if _, _, err := net.SplitHostPort(hostPort); err != nil {
			return nil, fault.Invalid("CLUSTER_MGR_INVALID", "--cluster-mgr %q must be host:port: %w", hostPort, err)
		}
		// ServerName makes TLS expect the replica's own address, not the
		// shared target's name.
		out = append(out, resolver.Address{Addr: hostPort, ServerName: hostPort})
	}
	return out, nil
}

// serviceConfig is gRPC's own format of balancing, health checks and retries.
func serviceConfig(catalog methods.Catalog) (string, error) {
	type object = map[string]any
	var reads []object
	for _, m := range catalog {
		if m.Mutates {
			continue
		}
		service, method, _ := strings.Cut(strings.TrimPrefix(m.Name, "/"), "/")
		reads = append(reads, object{"service": service, "method": method})
	}
	config := object{
		"loadBalancingConfig": []object{{"round_robin": object{}}},
		"healthCheckConfig":   object{"serviceName": ""},
		"methodConfig": []object{{
			"name": reads,
			"retryPolicy": object{
				"maxAttempts": 4, "initialBackoff": "0.05s", "maxBackoff": "1s", "backoffMultiplier": 2,
				"retryableStatusCodes": []string{"UNAVAILABLE"},
			},
		}},
	}
	text, err := json.Marshal(config)
	return string(text), err
}
