// Package clusters keeps one connection to the ipaas of each cluster and to
// the agent of each load balancer node.
package clusters

import (
	"crypto/tls"
	"io"
	"sync"

	"gantry.dev/pkg/grpcclient"
	"gantry.dev/pkg/names"
	ingressv1 "gantry.dev/proto/gen/gantry/ingress/v1"
	ipaasv1 "gantry.dev/proto/gen/gantry/ipaas/v1"
	gantryv1 "gantry.dev/proto/gen/gantry/v1"
	"google.golang.org/grpc"
)

// Dial reaches the service that must show a common name at an address. The
// pool closes what is an io.Closer.
type Dial func(commonName, address string) (grpc.ClientConnInterface, error)

// Pool makes connections when they are first needed. Safe for concurrent use.
type Pool struct {
	dial Dial

	mu    sync.Mutex
	conns map[peer]grpc.ClientConnInterface
}

// peer is who is expected where.
type peer struct{ commonName, address string }

// New makes a pool; tls gives the configuration to reach the service with a
// common name.
func New(tls func(serverCN string) (*tls.Config, error)) *Pool {
	return NewDialing(func(commonName, address string) (grpc.ClientConnInterface, error) {
		config, err := tls(commonName)
		if err != nil {
			return nil, err
		}
		return grpcclient.Dial(address, config)
	})
}

// NewDialing makes a pool whose connections are made by dial.
func NewDialing(dial Dial) *Pool {
	return &Pool{dial: dial, conns: map[peer]grpc.ClientConnInterface{}}
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

func (p *Pool) conn(to peer) (grpc.ClientConnInterface, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if conn, ok := p.conns[to]; ok {
		return conn, nil
	}
	conn, err := p.dial(to.commonName, to.address)
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
		if c, ok := conn.(io.Closer); ok {
			_ = c.Close() // nothing is in flight that matters
		}
	}
	clear(p.conns)
}
