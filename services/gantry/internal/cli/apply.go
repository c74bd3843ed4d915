package cli

import (
	"context"
	"fmt"
	"io"
	"os"

	"gantry.dev/pkg/fault"
	gantryv1 "gantry.dev/proto/gen/gantry/v1"
	"gantry.dev/services/gantry/internal/client"
	"gantry.dev/services/gantry/internal/manifest"
	"gantry.dev/services/gantry/internal/output"
	"github.com/spf13/cobra"
)

// applyOptions are the flags of `gantry apply`.
type applyOptions struct {
	files  []string
	dryRun bool
	wait   bool
}

func (s *runner) applyCommand() *cobra.Command {
	var o applyOptions
	cmd := &cobra.Command{
		Use:   "apply -f FILE",
		Short: "Create or change resources as files say",
		Long: `Creates or changes the resources of YAML files. All files are read and checked
before anything is changed; the first resource that the platform refuses ends
the command.`,
		Example: "  gantry apply -f app.yaml --wait\n  cat app.yaml | gantry apply -f - --dry-run",
		Args:    cobra.NoArgs,
	}
	flags := cmd.Flags()
	filesFlag(cmd, &o.files)
	flags.BoolVar(&o.dryRun, "dry-run", false, "let the platform check everything, change nothing")
	flags.BoolVar(&o.wait, "wait", false, "wait until the apps run everywhere as wanted")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		standard := callTimeout
		if o.wait {
			standard = waitTimeout
		}
		return s.withClient(standard, func(ctx context.Context, c *client.Client, _ []string) error {
			return s.apply(ctx, c, o)
		})(cmd, args)
	}
	return cmd
}

func filesFlag(cmd *cobra.Command, files *[]string) {
	cmd.Flags().StringArrayVarP(files, "filename", "f", nil, "YAML file; - is standard input; may be repeated")
	_ = cmd.MarkFlagFilename("filename", "yaml", "yml") // the flag is there
}

func (s *runner) apply(ctx context.Context, c *client.Client, o applyOptions) error {
	if len(o.files) == 0 {
		return usage("name a file with -f FILE")
	}
	docs, err := s.readFiles(o.files)
	if err != nil {
		return err
	}
	var apps []string
	for _, d := range docs {
		outcome, err := applyOne(ctx, c, d, o.dryRun)
		if err != nil {
			return locate(d, err)
		}
		if o.dryRun {
			outcome += " (dry run)"
		}
		fmt.Fprintf(s.Out, "%s %s\n", output.ShortName(d.Resource), outcome)
		if app, ok := d.Resource.(*gantryv1.App); ok {
			apps = append(apps, app.GetName())
		}
	}
	if !o.wait || o.dryRun {
		return nil
	}
	for _, app := range apps {
		if err := s.followApp(ctx, c, app); err != nil {
			return err
		}
	}
	return nil
}

// readFiles reads all files before anything is done with one.
func (s *runner) readFiles(files []string) ([]manifest.Document, error) {
	var all []manifest.Document
	for _, file := range files {
		data, err := s.readFile(file)
		if err != nil {
			return nil, fault.Invalid("FILE_UNREADABLE", "cannot read the manifest: %w", err)
		}
		docs, err := manifest.Parse(file, data, s.project)
		if err != nil {
			return nil, err
		}
		for _, d := range docs {
			for _, w := range d.Warnings {
				fmt.Fprintln(s.Err, w)
			}
		}
		all = append(all, docs...)
	}
	return all, nil
}

func (s *runner) readFile(file string) ([]byte, error) {
	if file == "-" {
		return io.ReadAll(io.LimitReader(s.In, manifest.MaxBytes+1))
	}
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, manifest.MaxBytes+1))
}

// locate says where in the file the platform's complaints belong.
func locate(d manifest.Document, err error) error {
	f := fault.From(err)
	if len(f.Violations) == 0 {
		return fmt.Errorf("%s: %w", output.ShortName(d.Resource), f)
	}
	text := ""
	for i, v := range f.Violations {
		if i > 0 {
			text += "\n"
		}
		text += d.Locate(v.Field).Error() + v.Description
	}
	return fault.New(f.Kind, f.Reason, "%s", text)
}
