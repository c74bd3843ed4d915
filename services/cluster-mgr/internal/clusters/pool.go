// Package clusters keeps one connection to the ipaas of each cluster and to
// the agent of each load balancer node.
package clusters

import (
	"crypto/tls"
	"sync"

	"gantry.dev/pkg/grpcclient"
	"gantry.dev/pkg/names"
	ingressv1 "gantry.dev/proto/gen/gantry/ingress/v1"
	ipaasv1 "gantry.dev/proto/gen/gantry/ipaas/v1"
	gantryv1 "gantry.dev/proto/gen/gantry/v1"
	"google.golang.org/grpc"
)

// Pool makes connections when they are first needed. Safe for concurrent use.
type Pool struct {
	tls func(serverCN string) (*tls.Config, error)

	mu    sync.Mutex
	conns map[peer]*grpc.ClientConn
}

// peer is who is expected where.
type peer struct{ commonName, address string }

// New makes a pool; tls gives the configuration to reach the service with a
// common name.
func New(tls func(serverCN string) (*tls.Config, error)) *Pool {
	return &Pool{tls: tls, conns: map[peer]*grpc.ClientConn{}}
}

// Ipaas reaches a cluster's ipaas, which must show the name "ipaas.<cluster>".
func (p *Pool) Ipaas(c *gantryv1.Cluster) (ipaasv1.IpaasServiceClient, error) {
	conn, err := p.conn(peer{"ipaas." + names.ID(c.GetName()), c.GetIpaasAddress()})
	if err != nil {
		return nil, err
	}
	return ipaasv1.NewIpaasServiceClient(conn), nil
}

// Agent reaches the agent of a node, which must show the name
// "ingress-agent.<gateway>.<node>".
func (p *Pool) Agent(gateway, node, address string) (ingressv1.AgentServiceClient, error) {
	conn, err := p.conn(peer{"ingress-agent." + gateway + "." + node, address})
	if err != nil {
		return nil, err
	}
	return ingressv1.NewAgentServiceClient(conn), nil
}

func (p *Pool) conn(to peer) (*grpc.ClientConn, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if conn, ok := p.conns[to]; ok {
		return conn, nil
	}
	config, err := p.tls(to.commonName)
	if err != nil {
		return nil, err
	}
	conn, err := grpcclient.Dial(to.address, config)
	if err != nil {
		return nil, err
	}
	p.conns[to] = conn
	return conn, nil
}

// Close ends all connections.
func (p *Pool) Close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, conn := range p.conns {
		_ = conn.Close() // nothing is in flight that matters
	}
	clear(p.conns)
}
