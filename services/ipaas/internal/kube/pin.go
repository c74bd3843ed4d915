package kube

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"k8s.io/client-go/kubernetes"
)

// ErrOtherCluster means that behind the same address there is another cluster
// now: everything known is about the wrong one, so ipaas must start anew.
var ErrOtherCluster = errors.New("another cluster answers at the address of the API server")

// identityTimeout bounds one question for the identity.
const identityTimeout = 5 * time.Second

// pin holds the identity of the cluster that answered first. What another one
// lists counts for nothing: its emptiness would look like our loss (rule K2).
type pin struct {
	client kubernetes.Interface

	mu    sync.Mutex
	first string
}

// check asks who answers. It belongs after a list or watch has been opened and
// before its content counts: the other way round, the cluster could change in
// between. Error: ErrOtherCluster.
func (p *pin) check(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, identityTimeout)
	defer cancel()
	identity, err := Identity(ctx, p.client)
	if err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.first == "" {
		p.first = identity
	}
	if p.first != identity {
		return fmt.Errorf("%w: its identity was %s and is %s", ErrOtherCluster, p.first, identity)
	}
	return nil
}

func (p *pin) identity() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.first
}
