package run

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"

	"gantry.dev/test/bench/internal/hpa"
	"gantry.dev/test/bench/internal/kube"
	"gantry.dev/test/bench/internal/load"
	"gantry.dev/test/bench/internal/pki"
	"gantry.dev/test/bench/internal/platform"
	"gantry.dev/test/bench/internal/process"
	"gantry.dev/test/bench/internal/usage"
	promv1 "github.com/prometheus/client_golang/api/prometheus/v1"
)

// Config of a run; what says so may be left out.
type Config struct {
	Size Size
	// Repo is Gantry's folder, Parts and Bin hold the programs, Dir is for
	// everything that the run writes.
	Repo, Parts, Bin, Dir string
	// Prometheus is the server's program.
	Prometheus string
	// Port is the first of sixty on 127.0.0.1.
	Port int
	// Scrape is the time between two scrapes, Interval that between two
	// rounds of Gantry.
	Scrape, Interval time.Duration
	// Seed chooses the apps that are overloaded.
	Seed uint64
	// Progress gets a line per step.
	Progress io.Writer
	// Peers to measure, of "default" and "tuned".
	Peers []string
	// Only these parts are measured.
	Only []Part
	// Earlier is the result of a run that measured other parts; it is
	// completed then. May be nil.
	Earlier *Result
	// KeepData leaves what the servers have stored.
	KeepData bool
}

// bench is one run.
type bench struct {
	Config
	begin      time.Time
	procs      *process.Group
	authority  *pki.Authority
	clusters   []*kube.Cluster
	watches    []*kube.Watch
	load       *load.Generator
	platform   *platform.Platform
	prometheus promv1.API
	adapter    *hpa.Adapter
	apps       []kube.Key
	// Order in which apps are overloaded.
	shuffled []kube.Key
	result   Result
}

// ErrDifferent says that Gantry and the peer computed different numbers.
var ErrDifferent = errors.New("not the same answers")

// Run measures everything. Nothing that it started runs afterwards, also when
// ctx ends early or it fails. ErrDifferent: the figures are there, but are not
// those of the same work.
func Run(ctx context.Context, c Config) (Result, error) {
	b := &bench{Config: c, begin: time.Now(), apps: c.Size.apps(), result: newResult(c.Size)}
	if c.Earlier != nil {
		b.result = *c.Earlier
	}
	b.result.Time, b.result.Machine.LoadBefore = b.begin, usage.LoadAverage()
	random := rand.New(rand.NewPCG(c.Seed, 0)) //nolint:gosec // a choice that can be repeated
	for _, i := range random.Perm(len(b.apps)) {
		b.shuffled = append(b.shuffled, b.apps[i])
	}
	// What is left of an earlier run is of no use.
	if err := errors.Join(os.RemoveAll(b.path("data")), os.RemoveAll(b.path("log")), os.MkdirAll(b.path("data"), 0o755)); err != nil {
		return b.result, err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer b.cleanUp(cancel)
	err := b.measure(ctx)
	b.result.Machine.LoadAfter = usage.LoadAverage()
	b.result.Rows = b.rows()
	return b.result, err
}

func (b *bench) path(name string) string { return filepath.Join(b.Dir, name) }

func (b *bench) cleanUp(cancel context.CancelFunc) {
	cancel()
	if b.platform != nil {
		b.platform.Close()
	}
	if b.adapter != nil {
		b.adapter.Close()
	}
	if b.procs != nil {
		b.procs.Close()
	}
	if !b.KeepData {
		_ = os.RemoveAll(b.path("data")) // the next run does it again
	}
}

// say tells about the progress.
func (b *bench) say(format string, args ...any) {
	fmt.Fprintf(b.Progress, "[%5.1f s] %s\n", time.Since(b.begin).Seconds(), fmt.Sprintf(format, args...))
}

// compare is the gate: the same load must have given the same replicas.
func (b *bench) compare(context.Context) error {
	b.result.Differences = nil
	ours, known := b.result.Answers[gantry]
	for peer, theirs := range b.result.Answers {
		for _, app := range b.apps {
			if known && theirs[app] != ours[app] {
				b.result.Differences = append(b.result.Differences, fmt.Sprintf("%s: Gantry %d, %s %d", app, ours[app], peer, theirs[app]))
			}
		}
	}
	if n := len(b.result.Differences); n > 0 {
		return fmt.Errorf("%w for %d apps, for example %s", ErrDifferent, n, b.result.Differences[0])
	}
	return nil
}
