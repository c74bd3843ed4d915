package cli

import (
	"fmt"
	"path"
	"strings"

	"gantry.dev/services/gantry/internal/image"
	"gantry.dev/services/gantry/internal/local"
	"github.com/spf13/cobra"
)

// localImage is for machines without a container tool, and for simulated nodes,
// where the demo does not run.
func (s *runner) localImage(o *local.Options) *cobra.Command {
	return &cobra.Command{
		Use: "image DIR NAME:TAG", Short: "Build a Go program's image and push it to every local registry", Args: cobra.ExactArgs(2),
		Long: `Builds the Go program in DIR (package main, root of its own module), puts it FROM scratch
into an image, and pushes it to the registries of all local clusters.`,
		Example: "  gantry local image examples/hello hello:v1",
		RunE: s.run(func(cmd *cobra.Command, args []string) error {
			ctx, cancel := s.deadline(cmd.Context(), waitTimeout)
			defer cancel()
			repository, tag, found := strings.Cut(args[1], ":")
			if !found || repository == "" || tag == "" {
				return usage("%q is no NAME:TAG, as hello:v1 is", args[1])
			}
			registries, err := local.Registries(*o)
			if err != nil {
				return err
			}
			img, err := image.Build(ctx, image.Source{Dir: args[0], Version: tag, Title: path.Base(repository)})
			if err != nil {
				return err
			}
			digest, err := image.Push(ctx, img, args[1], registries...)
			if err != nil {
				return err
			}
			fmt.Fprintf(s.Out, "%s pushed to %s (%s)\n", args[1], strings.Join(registries, " and "), digest)
			return nil
		}),
	}
}
