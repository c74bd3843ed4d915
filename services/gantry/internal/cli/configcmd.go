package cli

import (
	"fmt"
	"text/tabwriter"

	"gantry.dev/services/gantry/internal/client"
	"github.com/spf13/cobra"
)

func (s *runner) configCommand() *cobra.Command {
	getContexts := &cobra.Command{
		Use: "get-contexts", Short: "List the contexts of the config file", Args: cobra.NoArgs,
		RunE: s.run(func(*cobra.Command, []string) error { return s.getContexts() }),
	}
	useContext := &cobra.Command{
		Use: "use-context NAME", Short: "Make a context the current one", Args: cobra.ExactArgs(1),
		RunE:              s.run(func(_ *cobra.Command, args []string) error { return s.useContext(args[0]) }),
		ValidArgsFunction: s.completeFlag("context"),
	}
	return group("config", "Contexts: which platform, as which user", getContexts, useContext)
}

func (s *runner) configFile() (*client.File, error) {
	path := s.configPath
	if path == "" {
		path = client.DefaultPath(s.Getenv)
	}
	return client.ReadFile(path)
}

func (s *runner) getContexts() error {
	file, err := s.configFile()
	if err != nil {
		return err
	}
	w := tabwriter.NewWriter(s.Out, 0, 0, 3, ' ', 0)
	fmt.Fprintln(w, "CURRENT\tNAME\tSERVER\tPROJECT\tTOKEN FILE")
	for _, c := range file.Contexts {
		mark, project := "", c.Project
		if c.Name == file.CurrentContext {
			mark = "*"
		}
		if project == "" {
			project = "-"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", mark, c.Name, c.Server, project, c.TokenFile)
	}
	return w.Flush()
}

func (s *runner) useContext(name string) error {
	file, err := s.configFile()
	if err != nil {
		return err
	}
	if _, err := file.Choose(name); err != nil {
		return err
	}
	file.CurrentContext = name
	if err := file.Save(); err != nil {
		return err
	}
	fmt.Fprintf(s.Out, "the current context is %s\n", name)
	return nil
}
