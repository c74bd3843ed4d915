// Package cli is the gantry command line. Data goes to standard output,
// progress and errors to standard error; the exit code tells a script why a
// command failed.
package cli

import (
	"context"
	"io"
	"time"

	"gantry.dev/pkg/fault"
	"gantry.dev/services/gantry/internal/client"
	"github.com/spf13/cobra"
)

// Config is the world around one run of the command line.
type Config struct {
	// Args are the arguments without the program's name.
	Args     []string
	In       io.Reader
	Out, Err io.Writer
	// Getenv is os.Getenv outside tests.
	Getenv func(string) string
	// Now is time.Now outside tests; only printed ages depend on it.
	Now func() time.Time
	// Zone in which times are shown; nil: the machine's.
	Zone *time.Location
	// PollInterval between two looks at what has no watch; 0: 1 s.
	PollInterval time.Duration
}

// Timeouts of a command when --timeout is not given.
const (
	callTimeout = 30 * time.Second
	waitTimeout = 10 * time.Minute
)

// runner is one run: what the global flags said, and the client.
type runner struct {
	Config

	configPath, context, project string
	timeout                      time.Duration

	// ran is true once a command's own code has begun; errors before that are
	// errors of usage.
	ran bool
}

// Run executes one command and returns its exit code. Cancel ctx to interrupt.
func Run(ctx context.Context, cfg Config) int {
	if cfg.Zone == nil {
		cfg.Zone = time.Local
	}
	if cfg.PollInterval == 0 {
		cfg.PollInterval = time.Second
	}
	s := &runner{Config: cfg}
	root := s.root()
	root.SetArgs(cfg.Args)
	root.SetIn(cfg.In)
	root.SetOut(cfg.Out)
	root.SetErr(cfg.Err)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitOK
	}
	if !s.ran {
		err = usageError{err}
	}
	s.report(err)
	return exitCode(err)
}

// run marks the border between errors of usage and others.
func (s *runner) run(f func(cmd *cobra.Command, args []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		s.ran = true
		return f(cmd, args)
	}
}

// withClient runs f with a connection to the chosen context and the command's
// deadline; standard counts when --timeout is not given, 0 means none.
func (s *runner) withClient(standard time.Duration, f func(ctx context.Context, c *client.Client, args []string) error) func(*cobra.Command, []string) error {
	return s.run(func(cmd *cobra.Command, args []string) error {
		c, err := s.dial()
		if err != nil {
			return err
		}
		defer c.Close()
		ctx, cancel := s.deadline(cmd.Context(), standard)
		defer cancel()
		return f(ctx, c, args)
	})
}

func (s *runner) deadline(ctx context.Context, standard time.Duration) (context.Context, context.CancelFunc) {
	if s.timeout > 0 {
		standard = s.timeout
	}
	if standard == 0 {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, standard)
}

func (s *runner) dial() (*client.Client, error) {
	path := s.configPath
	if path == "" {
		path = client.DefaultPath(s.Getenv)
	}
	cfg, err := client.Load(path, s.context)
	if err != nil {
		return nil, err
	}
	c, err := client.Dial(cfg)
	if err != nil {
		return nil, err
	}
	if s.project == "" {
		s.project = c.Project
	}
	return c, nil
}

// projectName returns "projects/pay" of -p or of the context.
func (s *runner) projectName() (string, error) {
	if s.project == "" {
		return "", fault.Invalid("PROJECT_MISSING", "no project is chosen; name one with -p PROJECT, or set `project` in the context")
	}
	return "projects/" + s.project, nil
}

// pause waits for the next look; false when ctx has ended.
func (s *runner) pause(ctx context.Context) bool {
	timer := time.NewTimer(s.PollInterval)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
