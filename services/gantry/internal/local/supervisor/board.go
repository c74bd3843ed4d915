package supervisor

import "sync"

// board holds the state of all processes; it wakes who waits for a change.
type board struct {
	mu      sync.Mutex
	order   []string
	byName  map[string]*Process
	changed chan struct{}
}

func newBoard(specs []Spec, log func(name string) string) *board {
	b := &board{byName: map[string]*Process{}, changed: make(chan struct{})}
	for _, s := range specs {
		b.order = append(b.order, s.Name)
		b.byName[s.Name] = &Process{Name: s.Name, Group: s.Group, State: Waiting, Log: log(s.Name)}
	}
	return b
}

// update changes one process and wakes the waiting if its state is another.
func (b *board) update(name string, change func(*Process)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	p := b.byName[name]
	before := p.State
	change(p)
	if p.State != before {
		close(b.changed)
		b.changed = make(chan struct{})
	}
}

// notReady returns those of names that are not ready, and a channel that is
// closed at the next change.
func (b *board) notReady(names []string) ([]string, <-chan struct{}) {
	b.mu.Lock()
	defer b.mu.Unlock()
	var missing []string
	for _, name := range names {
		// A dependency that once was ready and fails now does not hold up a
		// restart: the process itself knows how to wait.
		if p := b.byName[name]; p.State != Ready && p.State != Failing {
			missing = append(missing, name)
		}
	}
	return missing, b.changed
}

func (b *board) snapshot() []Process {
	b.mu.Lock()
	defer b.mu.Unlock()
	out := make([]Process, 0, len(b.order))
	for _, name := range b.order {
		out = append(out, *b.byName[name])
	}
	return out
}
