package supervisor

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// Spec is one process to keep running.
type Spec struct {
	// Name is unique; Group is what it is killed and started with.
	Name, Group string
	// Path is the program; Args follow it; Env is added to a small environment.
	Path      string
	Args, Env []string
	// Namespace is the network namespace it runs in; empty means the host's.
	Namespace string
	// After names processes that must be ready before it starts.
	After []string
	// Before runs before each start; nil means nothing.
	Before func(ctx context.Context) error
	// Probe tells whether it can work, nil error means yes; nil Probe means
	// that running is enough.
	Probe func(ctx context.Context) error
	// Then runs after each start once the probe is good; only then is the
	// process ready. It must be idempotent and is retried until it succeeds.
	Then func(ctx context.Context) error
	// StopTimeout is how long it gets between SIGTERM and SIGKILL; default 5 s.
	StopTimeout time.Duration
}

// Select returns the wanted groups and processes and all they wait for, in
// the order of specs; no names mean all.
func Select(specs []Spec, names []string) ([]Spec, error) {
	if len(names) == 0 {
		return specs, nil
	}
	chosen := map[string]bool{}
	for _, name := range names {
		if !choose(specs, name, chosen) {
			return nil, fmt.Errorf("no group or process is called %q", name)
		}
	}
	return slices.DeleteFunc(slices.Clone(specs), func(s Spec) bool { return !chosen[s.Name] }), nil
}

func choose(specs []Spec, name string, chosen map[string]bool) bool {
	found := false
	for _, s := range specs {
		if s.Name != name && s.Group != name {
			continue
		}
		found = true
		if chosen[s.Name] {
			continue
		}
		chosen[s.Name] = true
		for _, dependency := range s.After {
			choose(specs, dependency, chosen)
		}
	}
	return found
}

// Levels orders processes so that each waits only for earlier levels. An
// unknown name or a circle is an error.
func Levels(specs []Spec) ([][]string, error) {
	level := map[string]int{}
	known := map[string]Spec{}
	for _, s := range specs {
		if _, twice := known[s.Name]; twice {
			return nil, fmt.Errorf("two processes are called %q", s.Name)
		}
		known[s.Name] = s
	}
	var out [][]string
	for _, s := range specs {
		depth, err := depthOf(s.Name, known, level, nil)
		if err != nil {
			return nil, err
		}
		for len(out) <= depth {
			out = append(out, nil)
		}
		out[depth] = append(out[depth], s.Name)
	}
	return out, nil
}

func depthOf(name string, known map[string]Spec, level map[string]int, path []string) (int, error) {
	if depth, done := level[name]; done {
		return depth, nil
	}
	s, ok := known[name]
	if !ok {
		return 0, fmt.Errorf("%v wait for %q, which does not exist", path, name)
	}
	if slices.Contains(path, name) {
		return 0, fmt.Errorf("%v wait for each other", append(path, name))
	}
	depth := 0
	for _, dependency := range s.After {
		d, err := depthOf(dependency, known, level, append(path, name))
		if err != nil {
			return 0, err
		}
		depth = max(depth, d+1)
	}
	level[name] = depth
	return depth, nil
}

// Backoff is the pause before a restart.
type Backoff struct{ last time.Duration }

const (
	backoffFirst = 250 * time.Millisecond
	backoffMost  = 10 * time.Second
	// backoffForget is how long a process must have run to count as healthy.
	backoffForget = 30 * time.Second
)

// Next returns the pause after a run of this length: doubling from 250 ms to
// 10 s, and short again after a run of 30 s.
func (b *Backoff) Next(ran time.Duration) time.Duration {
	if b.last == 0 || ran >= backoffForget {
		b.last = backoffFirst
	} else {
		b.last = min(2*b.last, backoffMost)
	}
	return b.last
}
