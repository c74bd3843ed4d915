// Command bench measures Gantry beside the Kubernetes HPA and beside the least
// that the same work costs, in one run on one machine. See README.md.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"gantry.dev/test/bench/internal/run"
)

// options are the command line.
type options struct {
	size, repo, peers, only, out string
	apps                         int
	config                       run.Config
}

func main() {
	var o options
	flag.StringVar(&o.size, "size", "full", "full (1,000 apps), stretch (5,000) or smoke (20; minutes, and its figures mean nothing)")
	flag.IntVar(&o.apps, "apps", 0, "number of apps, to look at one thing quickly; 0: that of the size")
	flag.StringVar(&o.repo, "repo", "..", "Gantry's folder; `make parts` has been run there")
	flag.StringVar(&o.peers, "peers", "", "HPA configurations to measure, of default,tuned; empty: both, for smoke and stretch tuned; none: none")
	flag.StringVar(&o.only, "only", "", "parts to measure, of round,step,deploy,move,hpa; the figures of the others stay as they are in --out; empty: all")
	flag.StringVar(&o.out, "out", "", "file for the figures; empty: .local/bench.json of the repository")
	flag.StringVar(&o.config.Prometheus, "prometheus", "prometheus", "Prometheus' program")
	flag.StringVar(&o.config.Bin, "bin", "", "folder of cluster-mgr, ipaas and portal; empty: .local/bin of the repository")
	flag.IntVar(&o.config.Port, "port", 23000, "first of sixty ports on 127.0.0.1")
	flag.DurationVar(&o.config.Scrape, "scrape", time.Second, "time between two scrapes of Prometheus")
	flag.DurationVar(&o.config.Interval, "interval", time.Second, "time between two rounds of Gantry")
	flag.Uint64Var(&o.config.Seed, "seed", 1, "chooses the apps that are overloaded")
	flag.BoolVar(&o.config.KeepData, "keep", false, "leave what the servers stored in .local/bench/data")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	if err := o.run(ctx); err != nil {
		stop()
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func (o *options) run(ctx context.Context) error {
	if err := o.complete(); err != nil {
		return err
	}
	result, err := run.Run(ctx, o.config)
	if err != nil && !errors.Is(err, run.ErrDifferent) {
		// What was measured until then holds.
		err = fmt.Errorf("%w; the logs are in %s", err, filepath.Join(o.config.Dir, "log"))
	}
	result.Print(os.Stdout)
	data, failed := json.MarshalIndent(result, "", "  ")
	if failed == nil {
		failed = os.WriteFile(o.out, append(data, '\n'), 0o644)
	}
	return errors.Join(err, failed)
}

// complete fills in what was left out and checks that the programs are there.
func (o *options) complete() error {
	sizes := map[string]run.Size{"full": run.Full(), "stretch": run.Stretch(), "smoke": run.Smoke()}
	size, ok := sizes[o.size]
	if !ok {
		return fmt.Errorf("there is no size %q; take full, stretch or smoke", o.size)
	}
	if o.apps > 0 {
		size.Apps = o.apps
	}
	repo, err := filepath.Abs(o.repo)
	if err != nil {
		return err
	}
	local := filepath.Join(repo, ".local")
	c := &o.config
	c.Size, c.Repo, c.Progress = size, repo, os.Stderr
	c.Parts, c.Dir = filepath.Join(local, "parts", "bin"), filepath.Join(local, "bench")
	if c.Bin == "" {
		c.Bin = filepath.Join(local, "bin")
	}
	if o.out == "" {
		o.out = filepath.Join(local, "bench.json")
	}
	c.Peers = peers(o.peers, o.size)
	if c.Only, err = run.ParseParts(o.only); err != nil {
		return err
	}
	if o.only != "" {
		c.Earlier = earlier(o.out, size)
	}
	return programs(c)
}

// earlier is the result of a run of the same size; nil: there is none.
func earlier(file string, size run.Size) *run.Result {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil
	}
	var r run.Result
	if err := json.Unmarshal(data, &r); err != nil || r.Size != size || r.Answers == nil {
		return nil
	}
	return &r
}

func peers(flag, size string) []string {
	switch {
	case flag == "none":
		return nil
	case flag != "":
		return strings.Split(flag, ",")
	case size == "full":
		return []string{"default", "tuned"}
	}
	return []string{"tuned"}
}

// programs names what is missing before anything starts.
func programs(c *run.Config) error {
	var missing []string
	path, err := exec.LookPath(c.Prometheus)
	if err != nil {
		missing = append(missing, c.Prometheus)
	}
	c.Prometheus = path
	for dir, names := range map[string][]string{
		c.Parts: {"etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubectl", "kwok"},
		c.Bin:   {"cluster-mgr", "ipaas", "portal"},
	} {
		for _, name := range names {
			if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
				missing = append(missing, filepath.Join(dir, name))
			}
		}
	}
	if len(missing) > 0 {
		return fmt.Errorf("missing: %s; run `make parts`, and `.local/bin/gantry local parts --nodes=fake` for kwok", strings.Join(missing, ", "))
	}
	return nil
}
