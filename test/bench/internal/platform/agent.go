package platform

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"time"

	ingressv1 "gantry.dev/proto/gen/gantry/ingress/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// The one load balancer node.
const (
	gatewayID = "main"
	nodeID    = "lb-1"
	agentName = "ingress-agent." + gatewayID + "." + nodeID
)

// dialTime bounds a look at an ipaas.
const dialTime = 500 * time.Millisecond

// agent stands in for an ingress-agent: the second vantage point without
// which no cluster is ever found down (rule C4). It says truly whether it
// reaches each ipaas; there is no balancer behind it.
type agent struct {
	ingressv1.UnimplementedAgentServiceServer
	// Addresses of ipaas by cluster.
	clusters map[string]string
	server   *grpc.Server
}

func (p *Platform) startAgent(ctx context.Context) error {
	pair := p.certs[agentName]
	cert, err := tls.LoadX509KeyPair(pair.Cert, pair.Key)
	if err != nil {
		return err
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", p.at(agentPort))
	if err != nil {
		return fmt.Errorf("listen for cluster-mgr: %w", err)
	}
	config := &tls.Config{
		Certificates: []tls.Certificate{cert}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: p.PKI.Pool(), MinVersion: tls.VersionTLS13,
	}
	p.agent = &agent{clusters: map[string]string{}, server: grpc.NewServer(grpc.Creds(credentials.NewTLS(config)))}
	for i, k := range p.Clusters {
		p.agent.clusters[k.Name] = p.at(ipaasPort + 2*i)
	}
	ingressv1.RegisterAgentServiceServer(p.agent.server, p.agent)
	go func() {
		if err := p.agent.server.Serve(listener); err != nil {
			fmt.Println("the agent ended:", err)
		}
	}()
	return nil
}

func (a *agent) stop() { a.server.Stop() }

// GetStatus tells what the node sees now.
func (a *agent) GetStatus(ctx context.Context, _ *ingressv1.GetStatusRequest) (*ingressv1.GetStatusResponse, error) {
	status := &ingressv1.GetStatusResponse{Node: nodeID, NginxOk: true, KeepalivedOk: true, HoldsVip: true, Time: timestamppb.Now()}
	for cluster, address := range a.clusters {
		status.Clusters = append(status.Clusters, &ingressv1.ClusterView{Cluster: cluster, IpaasConnected: reaches(ctx, address), TrafficPercent: 100})
	}
	return status, nil
}

func reaches(ctx context.Context, address string) bool {
	dialer := net.Dialer{Timeout: dialTime}
	conn, err := dialer.DialContext(ctx, "tcp", address)
	if err != nil {
		return false
	}
	_ = conn.Close() // nothing was said
	return true
}
