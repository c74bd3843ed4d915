// Package demo does the product's main job on the local platform, from the
// outside: it deploys, scales, releases, switches, kills a cluster and a load
// balancer node, all under steady load, says what it does and sees, and checks
// what is expected of each phase. Everything goes through the public API, as
// any user's program would; only the faults are done by the local platform.
package demo

import (
	"context"
	"io"
	"path/filepath"
	"time"

	"gantry.dev/pkg/fault"
	"gantry.dev/services/gantry/internal/client"
	"gantry.dev/services/gantry/internal/load"
)

// Platform breaks and mends parts of the local platform. A group is a cluster
// ("site-b") or a load balancer node ("lb-1").
type Platform interface {
	// Kill ends every process and container of a group at once, as a power
	// cut would.
	Kill(ctx context.Context, group string) error
	// Start lets a group come up again, without waiting for it; no error when
	// it runs already.
	Start(ctx context.Context, group string) error
	// Down takes the whole platform away.
	Down(ctx context.Context) error
}

// Config says what to demonstrate where.
type Config struct {
	// Client of the public API, as platform operator.
	Client   *client.Client
	Platform Platform
	// Folder of the sample app: its source and manifests; empty:
	// "examples/hello".
	Example string
	// Folder that demo.json and demo.html are written to; empty: ".local".
	OutputDir string
	// Requests per second; 0: 200.
	Rate float64
	// Leave the platform running at the end.
	Keep bool
	// Network namespace that the requests come from; empty: "gantry-client".
	ClientNamespace string
	// Command that runs load.Serve on its input and output, for example this
	// program and "load".
	LoadCommand []string
	// Prometheus that knows the CPU use of both clusters, for the picture;
	// empty: "http://127.0.0.1:9490".
	Prometheus string
	// Alertmanager that must get the alarm about the lost cluster; empty:
	// "http://127.0.0.1:9493".
	Alertmanager string
	// What is done and seen, one line each; the report goes to Out.
	Progress, Out io.Writer

	// Replaced in tests.
	startLoad    func(context.Context, load.Config) (traffic, error)
	countAlerts  func(ctx context.Context, alertmanager, kind, cluster string) (int, error)
	publishImage func(ctx context.Context, dir, version string, registries []string) (digest string, err error)
}

// traffic is a load that is under way; see load.Run.
type traffic interface {
	Set(load.Control) error
	Buckets() []load.Bucket
	Settle(ctx context.Context, phase string) error
	Err() error
	Stop() error
}

func (c Config) complete() (Config, error) {
	c.Example = orDefault(c.Example, filepath.Join("examples", "hello"))
	c.OutputDir = orDefault(c.OutputDir, ".local")
	c.Rate = orDefault(c.Rate, 200)
	c.ClientNamespace = orDefault(c.ClientNamespace, "gantry-client")
	c.Prometheus = orDefault(c.Prometheus, "http://127.0.0.1:9490")
	c.Alertmanager = orDefault(c.Alertmanager, "http://127.0.0.1:9493")
	c.Progress = orDefault(c.Progress, io.Discard)
	c.Out = orDefault(c.Out, io.Discard)
	if c.startLoad == nil {
		c.startLoad = func(ctx context.Context, cfg load.Config) (traffic, error) { return load.Start(ctx, cfg) }
	}
	if c.countAlerts == nil {
		c.countAlerts = countAlerts
	}
	if c.publishImage == nil {
		c.publishImage = publishImage
	}
	switch {
	case c.Client == nil || c.Platform == nil || len(c.LoadCommand) == 0:
		return c, fault.Internal("DEMO_INCOMPLETE", "the demo needs a client, a platform and a load command")
	case c.Rate < 1:
		return c, fault.Invalid("DEMO_RATE_INVALID", "--rate must be at least 1 request per second, not %g", c.Rate)
	}
	return c, nil
}

func orDefault[T comparable](value, standard T) T {
	var zero T
	if value == zero {
		return standard
	}
	return value
}

// How long things may take before the demo gives up on them. They are far
// above what is expected, so that a slow machine is told from a broken one.
const (
	patience      = 4 * time.Minute
	briefPatience = time.Minute
	pollInterval  = 500 * time.Millisecond
)
