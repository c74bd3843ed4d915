package load

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"

	"gantry.dev/pkg/fault"
)

// Serve runs a load for another process: the first line of in is a Config,
// each further line a Control; out gets one Tick a line. It ends with in, so
// that a load never outlives the one who asked for it, or with ctx.
func Serve(ctx context.Context, in io.Reader, out io.Writer) error {
	lines := json.NewDecoder(bufio.NewReader(in))
	var cfg Config
	if err := lines.Decode(&cfg); err != nil {
		return fault.Invalid("LOAD_CONFIG_INVALID", "the first line must be a load's configuration in JSON: %w", err)
	}
	cfg, err := cfg.complete()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	g := newGenerator(cfg)
	go func() { cancel(follow(lines, g)) }()

	write := json.NewEncoder(out)
	var broken error
	g.run(ctx, func(t Tick) {
		if err := write.Encode(t); err != nil && broken == nil {
			broken = fmt.Errorf("write what was counted: %w", err)
			cancel(broken)
		}
	})
	if broken != nil {
		return broken
	}
	if cause := context.Cause(ctx); fault.Is(cause, fault.KindInvalid) {
		return cause
	}
	return nil
}

// follow obeys control lines until their end, io.EOF.
func follow(lines *json.Decoder, g *generator) error {
	for {
		var c Control
		if err := lines.Decode(&c); err == io.EOF {
			return err
		} else if err != nil {
			return fault.Invalid("LOAD_CONTROL_INVALID", "a control line is not JSON as expected: %w", err)
		}
		if err := c.check(); err != nil {
			return err
		}
		if err := g.set(c); err != nil {
			return err
		}
	}
}
