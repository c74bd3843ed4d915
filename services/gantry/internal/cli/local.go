package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"gantry.dev/pkg/fault"
	"gantry.dev/services/gantry/internal/local"
	"gantry.dev/services/gantry/internal/output"
	"github.com/spf13/cobra"
)

// upTimeout covers building all parts from source on two cores.
const upTimeout = time.Hour

func (s *runner) localCommand() *cobra.Command {
	o := &local.Options{Progress: s.Err}
	g := group("local", "Run the whole platform on this machine",
		s.localUp(o), s.localDown(o), s.localStatus(o), s.localCheck(o), s.localParts(o), s.localImage(o),
		s.localGroup("kill", "Kill every process of a group, as a disaster would", "killed", o),
		s.localGroup("start", "Start a killed group again", "started", o),
		s.localSite("cut", "Drop every packet between a site and the rest, as a cut cable does", local.Cut, o),
		s.localSite("mend", "Give a site its network back", local.Mend, o),
		s.localSupervise(o))
	flags := g.PersistentFlags()
	flags.StringVar(&o.Dir, "dir", "", "folder of all data, logs and keys (default .local)")
	flags.StringVar(&o.BinDir, "bin-dir", "", "folder of the services' programs (default that of this program)")
	return g
}

func (s *runner) localUp(o *local.Options) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "up",
		Short: "Start what is not running, and wait until all is ready",
		Long: `Starts two Kubernetes clusters with real containers, two load balancer nodes and
the platform's services. Needs root.

With --nodes=fake the same Kubernetes control planes and services run on loopback with
simulated nodes, without root: decisions are real, containers and traffic are not.`,
		Args: cobra.NoArgs,
		RunE: s.run(func(cmd *cobra.Command, _ []string) error {
			ctx, cancel := s.deadline(cmd.Context(), upTimeout)
			defer cancel()
			return local.Up(ctx, *o)
		}),
	}
	nodesFlag(cmd, o)
	cmd.Flags().StringSliceVar(&o.Only, "only", nil, "only these groups or processes, and what they depend on")
	cmd.Flags().DurationVar(&o.AutoscaleInterval, "autoscale-interval", 0, "pause between two passes of autoscaling (default 5s)")
	return cmd
}

func (s *runner) localParts(o *local.Options) *cobra.Command {
	return &cobra.Command{
		Use: "parts", Short: "Build and install what the platform runs, and start nothing", Args: cobra.NoArgs,
		RunE: s.run(func(cmd *cobra.Command, _ []string) error {
			ctx, cancel := s.deadline(cmd.Context(), upTimeout)
			defer cancel()
			return local.Parts(ctx, *o)
		}),
	}
}

func nodesFlag(cmd *cobra.Command, o *local.Options) {
	cmd.Flags().StringVar(&o.Nodes, "nodes", local.NodesReal, "real, or fake: simulated nodes, on loopback, without root")
	_ = cmd.RegisterFlagCompletionFunc("nodes", cobra.FixedCompletions([]string{local.NodesReal, local.NodesFake}, noFiles)) // the flag is there
}

func (s *runner) localDown(o *local.Options) *cobra.Command {
	cmd := &cobra.Command{
		Use: "down", Short: "Stop all and leave no process, mount, network or control group behind", Args: cobra.NoArgs,
		RunE: s.run(func(cmd *cobra.Command, _ []string) error {
			ctx, cancel := s.deadline(cmd.Context(), waitTimeout)
			defer cancel()
			return local.Down(ctx, *o)
		}),
	}
	cmd.Flags().BoolVar(&o.Purge, "purge", false, "remove the clusters' data too")
	return cmd
}

func (s *runner) localStatus(o *local.Options) *cobra.Command {
	var format string
	cmd := &cobra.Command{
		Use: "status", Short: "Show each part, its health and its log", Args: cobra.NoArgs,
		Long: "Shows each part. Exit code 0 if all are ready, 7 if not.",
	}
	cmd.Flags().StringVarP(&format, "output", "o", "", "format: table, json")
	cmd.RunE = s.run(func(cmd *cobra.Command, _ []string) error {
		ctx, cancel := s.deadline(cmd.Context(), callTimeout)
		defer cancel()
		report, err := local.Status(ctx, *o)
		if err != nil {
			return err
		}
		switch format {
		case "", string(output.Table):
			localReport(s.Out, report)
		case string(output.JSON):
			encoder := json.NewEncoder(s.Out)
			encoder.SetIndent("", "  ")
			if err := encoder.Encode(report); err != nil {
				return fault.Internal("ENCODE", "encode the report: %w", err)
			}
		default:
			return usage("there is no output format %q; use table or json", format)
		}
		return notReady(report)
	})
	return cmd
}

func notReady(r local.Report) error {
	switch {
	case !r.Running:
		return fault.Unavailable("LOCAL_NOT_RUNNING", "the local platform is not running; start it with `gantry local up`")
	case !r.Ready:
		return fault.Unavailable("LOCAL_NOT_READY", "not every part is ready; look into the logs named above")
	}
	return nil
}

func (s *runner) localCheck(o *local.Options) *cobra.Command {
	cmd := &cobra.Command{
		Use: "check", Short: "List what this machine lacks, and change nothing", Args: cobra.NoArgs,
		RunE: s.run(func(cmd *cobra.Command, _ []string) error {
			ctx, cancel := s.deadline(cmd.Context(), callTimeout)
			defer cancel()
			problems := local.Preflight(ctx, *o)
			for _, p := range problems {
				fmt.Fprintf(s.Out, "%s\n  %s\n", p.What, p.Fix)
			}
			if len(problems) > 0 {
				return fault.Precondition("PREFLIGHT", "this machine lacks %d things; get them as said above", len(problems))
			}
			fmt.Fprintln(s.Out, "this machine has all that is needed")
			return nil
		}),
	}
	nodesFlag(cmd, o)
	return cmd
}

func (s *runner) localGroup(verb, short, done string, o *local.Options) *cobra.Command {
	return &cobra.Command{
		Use: verb + " GROUP", Short: short, Args: cobra.ExactArgs(1),
		Long:      short + ". Groups: site-a, site-b, lb-1, lb-2, platform; a single process may be named too.",
		ValidArgs: []string{"site-a", "site-b", "lb-1", "lb-2", "platform"},
		RunE: s.run(func(cmd *cobra.Command, args []string) error {
			ctx, cancel := s.deadline(cmd.Context(), 2*time.Minute)
			defer cancel()
			f := local.Kill
			if verb == "start" {
				f = local.Start
			}
			if err := f(ctx, *o, args[0]); err != nil {
				return err
			}
			fmt.Fprintf(s.Out, "%s %s\n", args[0], done)
			return nil
		}),
	}
}

func (s *runner) localSite(verb, short string, do func(context.Context, local.Options, string) error, o *local.Options) *cobra.Command {
	return &cobra.Command{
		Use: verb + " SITE", Short: short, Args: cobra.ExactArgs(1), ValidArgs: []string{"site-a", "site-b"},
		RunE: s.run(func(cmd *cobra.Command, args []string) error {
			ctx, cancel := s.deadline(cmd.Context(), callTimeout)
			defer cancel()
			return do(ctx, *o, args[0])
		}),
	}
}

// localSupervise is what `local up` starts in the background.
func (s *runner) localSupervise(o *local.Options) *cobra.Command {
	return &cobra.Command{
		Use: "supervise", Hidden: true, Args: cobra.NoArgs,
		RunE: s.run(func(cmd *cobra.Command, _ []string) error { return local.Supervise(cmd.Context(), *o) }),
	}
}
