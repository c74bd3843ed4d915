// Package process runs the benchmark's children and makes sure that none of
// them outlives it.
package process

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"syscall"
	"time"
)

// patience is how long a child may take to end after SIGTERM.
const patience = 10 * time.Second

// Spec is a program to run.
type Spec struct {
	// Name of the child, also of its log file.
	Name string
	Path string
	Args []string
}

// Group is all children of a run. Safe for concurrent use.
type Group struct {
	logs   string
	starts chan start

	mu       sync.Mutex
	children map[string]*child
	order    []string
	closed   bool
}

type start struct {
	cmd  *exec.Cmd
	done chan error
}

type child struct {
	cmd  *exec.Cmd
	log  *os.File
	done chan struct{}
}

// NewGroup makes a group that writes logs into a folder.
func NewGroup(logs string) (*Group, error) {
	if err := os.MkdirAll(logs, 0o755); err != nil {
		return nil, fmt.Errorf("folder of the logs: %w", err)
	}
	g := &Group{logs: logs, starts: make(chan start), children: map[string]*child{}}
	go g.starter()
	return g, nil
}

// starter starts every child from one thread that lives as long as the group:
// the kernel kills a child (Pdeathsig) when the thread that made it ends, also
// when this process is killed.
func (g *Group) starter() {
	runtime.LockOSThread()
	for s := range g.starts {
		s.done <- s.cmd.Start()
	}
}

// Start runs a program. Its output is appended to its log.
func (g *Group) Start(spec Spec) error {
	log, err := os.OpenFile(filepath.Join(g.logs, spec.Name+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return fmt.Errorf("log of %s: %w", spec.Name, err)
	}
	cmd := exec.Command(spec.Path, spec.Args...) //nolint:noctx // ended by Stop, with time to finish
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return errors.Join(errors.New("the run is over"), log.Close())
	}
	s := start{cmd, make(chan error)}
	g.starts <- s
	if err := <-s.done; err != nil {
		return errors.Join(fmt.Errorf("start %s: %w", spec.Name, err), log.Close())
	}
	c := &child{cmd: cmd, log: log, done: make(chan struct{})}
	go c.wait()
	g.children[spec.Name] = c
	g.order = append(g.order, spec.Name)
	return nil
}

func (c *child) wait() {
	_ = c.cmd.Wait()  // how it ended is in its log
	_ = c.log.Close() // the child has written what it had to say
	close(c.done)
}

// Alive tells whether a child runs.
func (g *Group) Alive(name string) bool {
	g.mu.Lock()
	c := g.children[name]
	g.mu.Unlock()
	if c == nil {
		return false
	}
	select {
	case <-c.done:
		return false
	default:
		return true
	}
}

// PIDs of the children that run, by name.
func (g *Group) PIDs() map[string]int {
	g.mu.Lock()
	defer g.mu.Unlock()
	out := make(map[string]int, len(g.children))
	for name, c := range g.children {
		out[name] = c.cmd.Process.Pid
	}
	return out
}

// Stop ends children with SIGTERM, one after the other; what does not end
// within ten seconds is killed. Names that do not run are passed over.
func (g *Group) Stop(names ...string) {
	for _, name := range names {
		if c := g.take(name); c != nil {
			c.end()
		}
	}
}

// Kill ends children at once, as a power cut does.
func (g *Group) Kill(names ...string) {
	var killed []*child
	for _, name := range names {
		if c := g.take(name); c != nil {
			_ = c.cmd.Process.Kill() // it may have ended by itself
			killed = append(killed, c)
		}
	}
	for _, c := range killed {
		<-c.done
	}
}

// Close ends all children, the last started first, and refuses new ones.
func (g *Group) Close() {
	g.mu.Lock()
	names := slices.Clone(g.order)
	if !g.closed {
		close(g.starts)
	}
	g.closed = true
	g.mu.Unlock()
	slices.Reverse(names)
	g.Stop(names...)
}

func (g *Group) take(name string) *child {
	g.mu.Lock()
	defer g.mu.Unlock()
	c := g.children[name]
	delete(g.children, name)
	g.order = slices.DeleteFunc(g.order, func(n string) bool { return n == name })
	return c
}

func (c *child) end() {
	_ = c.cmd.Process.Signal(syscall.SIGTERM) // it may have ended by itself
	select {
	case <-c.done:
	case <-time.After(patience):
		_ = c.cmd.Process.Kill()
		<-c.done
	}
}
