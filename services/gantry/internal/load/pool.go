package load

import (
	"sync"
	"time"
)

// rest is how long a connection may lie idle while others are opened in the
// place of those that have ended.
const rest = 200 * time.Millisecond

// pool keeps connections open and hands them out in turn, so that all of them
// are in use at any rate, also while the other side ends one after each answer:
// a client that left the others idle then would not hear that they end, too.
type pool struct {
	address string
	keep    int

	mu     sync.Mutex
	idle   []*connection // oldest first
	held   int           // idle and handed out
	closed bool
}

// get hands out a connection: a new one until keep are held, but first one that
// has rested; then the one that has been idle longest, or a new one when none
// is idle.
func (p *pool) get(deadline time.Time) (*connection, error) {
	if c := p.reuse(); c != nil {
		return c, nil
	}
	c, err := dial(p.address, deadline)
	if err != nil {
		p.lose()
	}
	return c, err
}

// reuse takes an idle connection; nil says that the caller is to dial and has
// been counted.
func (p *pool) reuse() *connection {
	p.mu.Lock()
	defer p.mu.Unlock()
	for len(p.idle) > 0 && (p.held >= p.keep || time.Since(p.idle[0].idle) > rest) {
		c := p.idle[0]
		p.idle = p.idle[1:]
		if !c.closedByPeer() {
			return c
		}
		_ = c.Close() // ended by the other side already
		p.held--
	}
	p.held++
	return nil
}

func (p *pool) put(c *connection) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if c.over || p.closed || p.held > p.keep {
		_ = c.Close() // nothing is under way on it
		p.held--
		return
	}
	c.idle = time.Now()
	p.idle = append(p.idle, c)
}

func (p *pool) lose() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.held--
}

func (p *pool) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	for _, c := range p.idle {
		_ = c.Close() // nothing is under way on it
	}
	p.held -= len(p.idle)
	p.idle = nil
}
