package load

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"sync"
	"time"

	"gantry.dev/pkg/fault"
)

// endGrace is what a generator gets beyond its requests' timeout to end.
const endGrace = 5 * time.Second

// startCommand runs Serve in a process of its own, in cfg.Namespace if set.
func startCommand(ctx context.Context, cfg Config) (*Run, error) {
	args := cfg.Command
	if cfg.Namespace != "" {
		args = append([]string{"ip", "netns", "exec", cfg.Namespace}, args...)
	}
	cmd := exec.Command(args[0], args[1:]...) //nolint:noctx // it is ended in good order, by its input
	var complaint bytes.Buffer
	cmd.Stderr = &complaint
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, fmt.Errorf("prepare the load generator: %w", err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("prepare the load generator: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return nil, fault.Unavailable("LOAD_NOT_STARTED", "cannot start the load generator %q: %w", args[0], err)
	}
	p := &process{in: in, write: json.NewEncoder(in)}
	r := newRun(func(c Control) error { return p.say(c) }, p.end)
	stopWatching := context.AfterFunc(ctx, p.end)
	go func() {
		defer stopWatching()
		err := p.listen(out, r.take)
		p.end()
		r.finish(errors.Join(err, p.wait(cmd, cfg.Timeout, &complaint)))
	}()
	if err := p.say(cfg); err != nil {
		return nil, errors.Join(err, r.Stop())
	}
	return r, nil
}

type process struct {
	mu    sync.Mutex
	in    io.Closer
	write *json.Encoder
	ended bool
}

func (p *process) say(line any) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ended {
		return fault.Precondition("LOAD_ENDED", "the load has ended already")
	}
	if err := p.write.Encode(line); err != nil {
		return fault.Unavailable("LOAD_LOST", "the load generator does not listen any more: %w", err)
	}
	return nil
}

// end closes the generator's input, which tells it to stop.
func (p *process) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.ended {
		p.ended = true
		_ = p.in.Close() // it is gone when this fails
	}
}

func (p *process) listen(out io.Reader, take func(Tick)) error {
	lines := json.NewDecoder(out)
	for {
		var t Tick
		if err := lines.Decode(&t); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return fmt.Errorf("read what the load generator counted: %w", err)
		}
		take(t)
	}
}

func (p *process) wait(cmd *exec.Cmd, timeout time.Duration, complaint *bytes.Buffer) error {
	late := time.AfterFunc(timeout+endGrace, func() { _ = cmd.Process.Kill() }) // may have ended meanwhile
	defer late.Stop()
	if err := cmd.Wait(); err != nil {
		return fault.Unavailable("LOAD_LOST", "the load generator ended by itself (%w): %s", err, bytes.TrimSpace(complaint.Bytes()))
	}
	return nil
}
