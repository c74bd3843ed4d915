// Package state knows how the cluster is: whether its API server answers, what
// its nodes have and use, and how each app fares.
package state

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"gantry.dev/services/ipaas/internal/kube"
	"k8s.io/apimachinery/pkg/version"
	"k8s.io/client-go/kubernetes"
)

// Rhythm of the probes.
const (
	probeInterval = 2 * time.Second
	probeTimeout  = 2 * time.Second
)

// ErrOtherCluster means that behind the same address there is another cluster
// now: everything known is about the wrong one, so ipaas must start anew.
var ErrOtherCluster = kube.ErrOtherCluster

// Health is how the API server is.
type Health struct {
	Ready bool
	// Why not, in a sentence; empty while it is ready.
	Detail string
	// When it answered last; zero if it never has.
	Answered time.Time
	// UID of the kube-system namespace; empty until it has been read once.
	Identity string
	// "v1.36.3"; empty until it has been read once.
	Version string
}

// Prober asks the API server again and again how it is.
type Prober struct {
	client kubernetes.Interface
	logger *slog.Logger

	mu     sync.Mutex
	health Health
}

// NewProber makes a prober; client should have connections of its own.
func NewProber(client kubernetes.Interface, logger *slog.Logger) *Prober {
	return &Prober{client: client, logger: logger, health: Health{Detail: "the API server has not been asked yet"}}
}

// Health is the newest finding.
func (p *Prober) Health() Health {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.health
}

// Run probes until ctx ends or another cluster answers (ErrOtherCluster).
func (p *Prober) Run(ctx context.Context) error {
	tick := time.NewTicker(probeInterval)
	defer tick.Stop()
	for {
		if err := p.probe(ctx); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}

func (p *Prober) probe(ctx context.Context) error {
	ask, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	last := p.Health()
	next, err := p.ask(ask, last)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		next = last
		next.Ready, next.Detail = false, "the API server is not ready: "+err.Error()
	}
	if last.Identity != "" && next.Identity != last.Identity {
		return fmt.Errorf("%w: its identity was %s and is %s", ErrOtherCluster, last.Identity, next.Identity)
	}
	p.log(last, next)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.health = next
	return nil
}

// ask finds the API server ready, or says in the error why it is not.
func (p *Prober) ask(ctx context.Context, last Health) (Health, error) {
	next := Health{Ready: true, Version: last.Version}
	if err := p.client.Discovery().RESTClient().Get().AbsPath("/readyz").Do(ctx).Error(); err != nil {
		return next, err
	}
	var err error
	if next.Identity, err = kube.Identity(ctx, p.client); err != nil {
		return next, err
	}
	if !last.Ready {
		if next.Version, err = p.version(ctx); err != nil {
			return next, err
		}
	}
	next.Answered = time.Now()
	return next, nil
}

func (p *Prober) version(ctx context.Context) (string, error) {
	raw, err := p.client.Discovery().RESTClient().Get().AbsPath("/version").Do(ctx).Raw()
	if err != nil {
		return "", fmt.Errorf("ask for its version: %w", err)
	}
	var info version.Info
	if err := json.Unmarshal(raw, &info); err != nil {
		return "", fmt.Errorf("read its version: %w", err)
	}
	return info.GitVersion, nil
}

func (p *Prober) log(last, next Health) {
	switch {
	case last.Ready == next.Ready && last.Detail == next.Detail:
	case next.Ready:
		p.logger.Info("the API server is ready", "version", next.Version, "identity", next.Identity)
	default:
		p.logger.Warn("the API server is not ready", "detail", next.Detail)
	}
}
