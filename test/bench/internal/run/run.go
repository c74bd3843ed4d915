package run

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
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

// Config of a run; every field but the last two is required.
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
	// Replicas that each autoscaler computed, by its name.
	answers map[string]map[kube.Key]int
	result  Result
}

// ErrDifferent says that Gantry and the peer computed different numbers.
var ErrDifferent = errors.New("not the same answers")

// Run measures everything. Nothing that it started runs afterwards, also when
// ctx ends early or it fails. ErrDifferent: the figures are there, but are not
// those of the same work.
func Run(ctx context.Context, c Config) (Result, error) {
	b := &bench{Config: c, begin: time.Now(), apps: c.Size.apps(), answers: map[string]map[kube.Key]int{}}
	b.result = Result{
		Time: b.begin, Size: c.Size, Machine: Machine{CPUs: runtime.NumCPU(), LoadBefore: usage.LoadAverage()},
		Steady: map[string]Steady{}, Steps: map[string]Step{}, Idle: map[string]Steady{},
	}
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
	err := b.phases(ctx)
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

// phase is a part of the run.
type phase struct {
	name string
	do   func(context.Context) error
}

// phases are in an order in which each finds what it needs: Gantry first, then
// the loss of a cluster, then the peer on what Gantry left behind.
func (b *bench) phases(ctx context.Context) error {
	phases := []phase{
		{"start", b.start},
		{"make the apps through the API", b.makeApps},
		{"floor: the grouped query", b.measureQuery},
		{"Gantry: steady", b.gantrySteady},
		{"Gantry: steps", b.gantrySteps},
		{"deploy", b.measureDeploy},
		{"idle, two clusters", b.idleTwo},
		{"a cluster dies", b.measureMove},
		{"idle, one cluster", b.idleOne},
		{"floor: raw PATCHes", b.measurePatches},
	}
	for _, peer := range b.Peers {
		phases = append(phases, phase{"HPA " + peer, func(ctx context.Context) error { return b.measurePeer(ctx, peer) }})
	}
	for _, p := range append(phases, phase{"compare", b.compare}) {
		b.say("%s", p.name)
		if err := p.do(ctx); err != nil {
			return fmt.Errorf("%s: %w", p.name, err)
		}
	}
	return nil
}

// say tells about the progress.
func (b *bench) say(format string, args ...any) {
	fmt.Fprintf(b.Progress, "[%5.1f s] %s\n", time.Since(b.begin).Seconds(), fmt.Sprintf(format, args...))
}

// compare is the gate: the same load must have given the same replicas.
func (b *bench) compare(context.Context) error {
	ours := b.answers[gantry]
	for peer, theirs := range b.answers {
		for _, app := range b.apps {
			if theirs[app] != ours[app] {
				b.result.Differences = append(b.result.Differences, fmt.Sprintf("%s: Gantry %d, %s %d", app, ours[app], peer, theirs[app]))
			}
		}
	}
	if n := len(b.result.Differences); n > 0 {
		return fmt.Errorf("%w for %d apps, for example %s", ErrDifferent, n, b.result.Differences[0])
	}
	return nil
}
