package cli

import (
	"context"
	"os"
	"path/filepath"

	"gantry.dev/pkg/fault"
	"gantry.dev/services/gantry/internal/client"
	"gantry.dev/services/gantry/internal/demo"
	"gantry.dev/services/gantry/internal/load"
	"gantry.dev/services/gantry/internal/local"
	"github.com/spf13/cobra"
)

// demoTimeout covers a first run that builds all parts.
const demoTimeout = 2 * upTimeout

// demoOptions are the flags of `gantry demo`.
type demoOptions struct {
	local local.Options
	demo  demo.Config
	down  bool
}

func (s *runner) demoCommand() *cobra.Command {
	o := &demoOptions{}
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Start the local platform and do the main job on it, under load",
		Long: `Starts the local platform, deploys a sample app over two clusters, scales,
releases, switches traffic, kills a cluster and a load balancer node, and reports
what the clients saw. Exit code 0 only if every expectation held.`,
		Args: cobra.NoArgs,
	}
	flags := cmd.Flags()
	flags.StringVar(&o.local.Dir, "dir", ".local", "folder of the local platform; demo.json and demo.html go there too")
	flags.StringVar(&o.local.BinDir, "bin-dir", "", "folder of the services' programs (default that of this program)")
	flags.StringVar(&o.demo.Example, "example", "", "folder of the sample app (default examples/hello)")
	flags.Float64Var(&o.demo.Rate, "rate", 0, "requests per second (default 200)")
	flags.BoolVar(&o.down, "down", false, "stop the platform at the end")
	cmd.RunE = s.run(func(cmd *cobra.Command, _ []string) error {
		ctx, cancel := s.deadline(cmd.Context(), demoTimeout)
		defer cancel()
		return s.demo(ctx, o)
	})
	return cmd
}

func (s *runner) demo(ctx context.Context, o *demoOptions) error {
	o.local.Progress = s.Err
	if err := local.Up(ctx, o.local); err != nil {
		return err
	}
	cfg, err := client.Load(filepath.Join(o.local.Dir, "gantry.yaml"), "")
	if err != nil {
		return err
	}
	c, err := client.Dial(cfg)
	if err != nil {
		return err
	}
	defer c.Close()
	self, err := os.Executable()
	if err != nil {
		return fault.Internal("NO_EXECUTABLE", "the path of the running program is unknown: %w", err)
	}
	o.demo.Client, o.demo.Platform = c, demo.LocalPlatform(o.local)
	o.demo.OutputDir, o.demo.Keep = o.local.Dir, !o.down
	o.demo.LoadCommand = []string{self, "load"}
	o.demo.Progress, o.demo.Out = s.Err, s.Out
	return demo.Run(ctx, o.demo)
}

// loadCommand is what the demo runs in the clients' network namespace.
func (s *runner) loadCommand() *cobra.Command {
	return &cobra.Command{
		Use: "load", Hidden: true, Args: cobra.NoArgs,
		RunE: s.run(func(cmd *cobra.Command, _ []string) error { return load.Serve(cmd.Context(), s.In, s.Out) }),
	}
}
