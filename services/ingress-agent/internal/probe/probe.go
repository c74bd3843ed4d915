// Package probe finds pods that do not accept connections, sooner than
// requests would pay for it.
package probe

import (
	"context"
	"errors"
	"maps"
	"net"
	"slices"
	"sync"
	"syscall"
	"time"
)

// Config is what New needs; Connect, Changed and Hung may be nil.
type Config struct {
	// Targets gives the pods to test, "host:port".
	Targets func() []string
	// Time between two tests of a pod; 0: 1 s.
	Interval time.Duration
	// How long a pod may take to accept; 0: 300 ms.
	Timeout time.Duration
	// Tests at the same time; 0: 64.
	Concurrency int
	// Connect makes and closes a connection; nil: TCP.
	Connect func(ctx context.Context, target string) error
	// Changed is called when a pod went down or came up; it must not block.
	Changed func()
	// Hung is called once for a pod that has been silent, not refusing, for
	// HungAfter tests in a row: its connections lead nowhere.
	Hung func(ctx context.Context, target string)
}

const (
	// downAfter failures in a row make a pod down; one success makes it up.
	downAfter = 2
	// HungAfter silent tests in a row make it hung.
	HungAfter = 4
	// listPause is how old the list of targets may be.
	listPause = 250 * time.Millisecond
	// again is the pause after a first failure, to know sooner.
	again = 200 * time.Millisecond

	defaultInterval    = time.Second
	defaultTimeout     = 300 * time.Millisecond
	defaultConcurrency = 64
)

// Prober tests pods; safe for concurrent use.
type Prober struct {
	config Config

	// Only Run uses these: listing the targets is not free.
	targets []string
	listed  time.Time

	mu   sync.Mutex
	pods map[string]*pod
}

type pod struct {
	failures int
	// Failures in a row that were timeouts.
	silent   int
	answered bool
	next     time.Time
	testing  bool
}

// New makes a Prober; Run does the work.
func New(c Config) *Prober {
	if c.Interval == 0 {
		c.Interval = defaultInterval
	}
	if c.Timeout == 0 {
		c.Timeout = defaultTimeout
	}
	if c.Concurrency == 0 {
		c.Concurrency = defaultConcurrency
	}
	if c.Connect == nil {
		c.Connect = connect
	}
	if c.Changed == nil {
		c.Changed = func() {}
	}
	if c.Hung == nil {
		c.Hung = func(context.Context, string) {}
	}
	return &Prober{config: c, pods: map[string]*pod{}}
}

// Run tests until ctx ends.
func (p *Prober) Run(ctx context.Context) error {
	slots := make(chan struct{}, p.config.Concurrency)
	var wg sync.WaitGroup
	defer wg.Wait()
	tick := time.NewTicker(again / 4)
	defer tick.Stop()
	for {
		for _, target := range p.due(time.Now()) {
			select {
			case slots <- struct{}{}:
			case <-ctx.Done():
				return nil
			}
			wg.Go(func() {
				defer func() { <-slots }()
				p.test(ctx, target)
			})
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// due gives the targets to test now, and forgets those that are none any more.
func (p *Prober) due(now time.Time) []string {
	if p.listed.IsZero() || now.Sub(p.listed) >= listPause {
		p.targets, p.listed = p.config.Targets(), now
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	wanted := map[string]bool{}
	var due []string
	for _, t := range p.targets {
		wanted[t] = true
		if p.pods[t] == nil {
			p.pods[t] = &pod{}
		}
		if x := p.pods[t]; !x.testing && !now.Before(x.next) {
			x.testing = true
			due = append(due, t)
		}
	}
	maps.DeleteFunc(p.pods, func(t string, x *pod) bool { return !wanted[t] && !x.testing })
	return due
}

func (p *Prober) test(ctx context.Context, target string) {
	limited, cancel := context.WithTimeout(ctx, p.config.Timeout)
	err := p.config.Connect(limited, target)
	cancel()
	if ctx.Err() != nil {
		return
	}
	changed, hung := p.record(target, err, time.Now())
	if changed {
		p.config.Changed()
	}
	if hung {
		p.config.Hung(ctx, target)
	}
}

func (p *Prober) record(target string, err error, now time.Time) (changed, hung bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	x := p.pods[target]
	if x == nil {
		return false, false
	}
	x.testing = false
	wasDown := x.failures >= downAfter
	x.next = now.Add(p.config.Interval)
	switch {
	case err == nil:
		x.failures, x.silent, x.answered = 0, 0, true
	case errors.Is(err, syscall.ECONNREFUSED):
		x.failures, x.silent = x.failures+1, 0
	default:
		x.failures, x.silent = x.failures+1, x.silent+1
	}
	if x.failures > 0 && x.failures < downAfter || x.silent > 0 && x.silent < HungAfter {
		x.next = now.Add(again)
	}
	return wasDown != (x.failures >= downAfter), x.silent == HungAfter
}

// Down gives the pods that do not answer, in order.
func (p *Prober) Down() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	var down []string
	for t, x := range p.pods {
		if x.failures >= downAfter {
			down = append(down, t)
		}
	}
	slices.Sort(down)
	return down
}

// Answering tells whether the pod has accepted a connection and is not down.
func (p *Prober) Answering(target string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	x := p.pods[target]
	return x != nil && x.answered && x.failures < downAfter
}

func connect(ctx context.Context, target string) error {
	c, err := (&net.Dialer{}).DialContext(ctx, "tcp4", target)
	if err != nil {
		return err
	}
	return c.Close()
}
