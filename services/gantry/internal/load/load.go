// Package load sends steady HTTP requests and counts on the client's side what
// became of each one. It is an open loop: a request goes out when it is due,
// whether or not earlier ones have been answered, so a stall shows as what it
// is. Nothing is ever sent twice: a request that breaks is a failed request,
// also on a reused connection.
package load

import (
	"context"
	"sync"
	"time"

	"gantry.dev/pkg/fault"
)

// Config says where to send what. JSON is the first line that Serve reads.
type Config struct {
	// host:port that is dialled, for example the VIP "10.110.0.100:80".
	Address string `json:"address"`
	// Host header.
	Host string `json:"host"`
	// Keep-alive connections held open, used in turn; 0: 32. More are opened
	// for a moment when all are busy.
	Connections int `json:"connections"`
	// Requests that may wait for an answer at once; 0: 1024. One more counts
	// as failed (ClassSaturated).
	MaxInFlight int `json:"max_in_flight"`
	// Requests per second, GET and POST in turn; 0: 200.
	Rate float64 `json:"rate"`
	// From the time a request is due to its whole answer; 0: 5 s.
	Timeout time.Duration `json:"timeout"`
	// CPU time that each request asks the app to use, "1500us"; empty: none.
	Burn string `json:"burn"`
	// Tag of the first requests; see Control.
	Phase string `json:"phase"`

	// Network namespace to send from; empty: this process's own.
	Namespace string `json:"-"`
	// Command that runs Serve on its standard input and output; empty:
	// the load runs in this process. Required with Namespace.
	Command []string `json:"-"`
}

// Control changes a running load; zero fields stay as they are.
type Control struct {
	Rate float64 `json:"rate,omitempty"`
	// CPU time per request, "1500us"; "0s": none.
	Burn string `json:"burn,omitempty"`
	// Tag of the requests that become due from now on. A request keeps its
	// tag, however late its answer is.
	Phase string `json:"phase,omitempty"`
}

// Run is a load that is under way. Its methods may be called concurrently.
type Run struct {
	steer func(Control) error
	end   func()
	done  chan struct{}

	mu      sync.Mutex
	buckets []Bucket
	last    Tick
	ticked  chan struct{} // closed and replaced with each tick
	err     error
}

// Start begins to send. The load ends with ctx or with Stop; requests in
// flight are awaited.
func Start(ctx context.Context, cfg Config) (*Run, error) {
	cfg, err := cfg.complete()
	if err != nil {
		return nil, err
	}
	if len(cfg.Command) > 0 {
		return startCommand(ctx, cfg)
	}
	return startHere(ctx, cfg), nil
}

// Set changes the load; it takes effect with the next request that is due.
func (r *Run) Set(c Control) error {
	if err := c.check(); err != nil {
		return err
	}
	return r.steer(c)
}

// Buckets returns everything counted so far, in the order of time.
func (r *Run) Buckets() []Bucket {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]Bucket(nil), r.buckets...)
}

// Settle waits until every request of a phase has been counted. Call it after
// Set has begun another phase.
func (r *Run) Settle(ctx context.Context, phase string) error {
	for {
		r.mu.Lock()
		settled := r.last.Phase != phase && r.last.Pending[phase] == 0 && !r.last.Time.IsZero()
		next := r.ticked
		r.mu.Unlock()
		if settled {
			return nil
		}
		select {
		case <-next:
		case <-r.done:
			return r.Err()
		case <-ctx.Done():
			return fault.Timeout("LOAD_NOT_SETTLED", "requests of phase %s are still in flight: %w", phase, ctx.Err())
		}
	}
}

// Stop ends the load, waits for the requests in flight and says what went
// wrong with the generator itself (failed requests are no error of it).
func (r *Run) Stop() error {
	r.end()
	<-r.done
	return r.Err()
}

// Done is closed when the load has ended and everything has been counted.
func (r *Run) Done() <-chan struct{} { return r.done }

// Err says why the generator ended; nil while it runs and after a plain end.
func (r *Run) Err() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.err
}

func newRun(steer func(Control) error, end func()) *Run {
	return &Run{steer: steer, end: end, done: make(chan struct{}), ticked: make(chan struct{})}
}

func startHere(ctx context.Context, cfg Config) *Run {
	ctx, cancel := context.WithCancel(ctx)
	g := newGenerator(cfg)
	r := newRun(g.set, cancel)
	go func() {
		defer cancel()
		g.run(ctx, r.take)
		r.finish(nil)
	}()
	return r
}

func (r *Run) take(t Tick) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.buckets = append(r.buckets, t.Buckets...)
	r.last = t
	close(r.ticked)
	r.ticked = make(chan struct{})
}

func (r *Run) finish(err error) {
	r.mu.Lock()
	r.err = err
	r.mu.Unlock()
	close(r.done)
}

func (c Config) complete() (Config, error) {
	c.Connections = orDefault(c.Connections, 32)
	c.MaxInFlight = orDefault(c.MaxInFlight, 1024)
	c.Rate = orDefault(c.Rate, 200)
	c.Timeout = orDefault(c.Timeout, 5*time.Second)
	switch {
	case c.Address == "":
		return c, fault.Invalid("LOAD_ADDRESS_MISSING", "the load needs an address to dial, such as 10.110.0.100:80")
	case c.Connections < 0 || c.MaxInFlight < 0 || c.Timeout < 0:
		return c, fault.Invalid("LOAD_LIMITS_INVALID", "connections, requests in flight and timeout must not be negative")
	case c.Namespace != "" && len(c.Command) == 0:
		return c, fault.Invalid("LOAD_COMMAND_MISSING", "sending from namespace %s needs the command to run there", c.Namespace)
	}
	return c, Control{Rate: c.Rate, Burn: c.Burn, Phase: c.Phase}.check()
}

func orDefault[T int | float64 | time.Duration](value, standard T) T {
	if value == 0 {
		return standard
	}
	return value
}

const maxRate = 20000 // requests per second that one generator is good for

func (c Control) check() error {
	if c.Rate < 0 || c.Rate > maxRate {
		return fault.Invalid("LOAD_RATE_INVALID", "rate must be more than 0 and at most %d requests per second, not %g", maxRate, c.Rate)
	}
	if c.Burn == "" {
		return nil
	}
	if d, err := time.ParseDuration(c.Burn); err != nil || d < 0 {
		return fault.Invalid("LOAD_BURN_INVALID", "burn must be a duration such as 1500us, not %q", c.Burn)
	}
	return nil
}
