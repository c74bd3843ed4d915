package client

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"os"
	"strings"

	"gantry.dev/pkg/fault"
	"gantry.dev/pkg/grpcclient"
	gantryv1 "gantry.dev/proto/gen/gantry/v1"
	"google.golang.org/grpc"
)

// Client speaks to one platform as one user. Errors of all calls are faults;
// (those of a stream after fault.From); calls without a deadline get 10 s. Safe
// for concurrent use.
type Client struct {
	Apps       gantryv1.AppServiceClient
	Clusters   gantryv1.ClusterServiceClient
	Projects   gantryv1.ProjectServiceClient
	Gateways   gantryv1.GatewayServiceClient
	Routes     gantryv1.RouteServiceClient
	Streams    gantryv1.StreamRouteServiceClient
	Secrets    gantryv1.SecretServiceClient
	Volumes    gantryv1.VolumeServiceClient
	Operations gantryv1.OperationServiceClient
	Decisions  gantryv1.DecisionServiceClient
	Alarms     gantryv1.AlarmServiceClient
	// Project is the context's default project, may be empty.
	Project string

	conn *grpc.ClientConn
}

// Dial prepares a client; the connection is made with the first call.
func Dial(cfg *Config) (*Client, error) {
	pool, err := trusted(cfg.CAFile)
	if err != nil {
		return nil, err
	}
	conn, err := grpcclient.Dial(cfg.Server, &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS13},
		grpc.WithPerRPCCredentials(tokenFile(cfg.TokenFile)),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxAnswerBytes)),
	)
	if err != nil {
		return nil, fault.Invalid("SERVER_INVALID", "context %q: server %q must be host:port: %w", cfg.Name, cfg.Server, err)
	}
	return &Client{
		Apps:       gantryv1.NewAppServiceClient(conn),
		Clusters:   gantryv1.NewClusterServiceClient(conn),
		Projects:   gantryv1.NewProjectServiceClient(conn),
		Gateways:   gantryv1.NewGatewayServiceClient(conn),
		Routes:     gantryv1.NewRouteServiceClient(conn),
		Streams:    gantryv1.NewStreamRouteServiceClient(conn),
		Secrets:    gantryv1.NewSecretServiceClient(conn),
		Volumes:    gantryv1.NewVolumeServiceClient(conn),
		Operations: gantryv1.NewOperationServiceClient(conn),
		Decisions:  gantryv1.NewDecisionServiceClient(conn),
		Alarms:     gantryv1.NewAlarmServiceClient(conn),
		Project:    cfg.Project,
		conn:       conn,
	}, nil
}

// Close ends the connection.
func (c *Client) Close() error { return c.conn.Close() }

// maxAnswerBytes bounds one answer.
const maxAnswerBytes = 16 << 20

// trusted returns nil, the system's CAs, for an empty path.
func trusted(caFile string) (*x509.CertPool, error) {
	if caFile == "" {
		return nil, nil
	}
	data, err := os.ReadFile(caFile)
	if err != nil {
		return nil, fault.Invalid("CA_UNREADABLE", "the CA file of the context cannot be read: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(data) {
		return nil, fault.Invalid("CA_INVALID", "%s holds no PEM certificate", caFile)
	}
	return pool, nil
}

// tokenFile sends the token in the file with each call, over TLS only.
type tokenFile string

// GetRequestMetadata implements credentials.PerRPCCredentials.
func (f tokenFile) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	data, err := os.ReadFile(string(f))
	if err != nil {
		return nil, fault.ToStatus(fault.Unauthenticated("TOKEN_UNREADABLE", "the token cannot be read: %w", err)).Err()
	}
	return map[string]string{"authorization": "Bearer " + strings.TrimSpace(string(data))}, nil
}

// RequireTransportSecurity implements credentials.PerRPCCredentials.
func (tokenFile) RequireTransportSecurity() bool { return true }
