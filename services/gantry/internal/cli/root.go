package cli

import (
	"github.com/spf13/cobra"
)

func (s *runner) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "gantry",
		Short: "A container cloud over several Kubernetes clusters",
		Long: `gantry runs apps over several Kubernetes clusters as one.

Exit codes: 0 ok, 1 error, 2 usage, 3 not found, 4 denied, 5 conflict, 6 timed out, 7 unavailable.`,
		SilenceErrors: true,
		SilenceUsage:  true,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usage("there is no command %q%s", args[0], suggestion(cmd, args[0]))
			}
			return cmd.Help()
		},
		Args: cobra.ArbitraryArgs,
	}
	flags := root.PersistentFlags()
	flags.StringVar(&s.configPath, "config", "", "config file (default $GANTRY_CONFIG, ./.local/gantry.yaml, ~/.config/gantry/config.yaml)")
	flags.StringVar(&s.context, "context", "", "context of the config file (default its current_context)")
	flags.StringVarP(&s.project, "project", "p", "", "project (default that of the context)")
	flags.DurationVar(&s.timeout, "timeout", 0, "give up after this time (default 30s; 10m while waiting)")
	root.AddGroup(&cobra.Group{ID: "apps", Title: "Apps:"}, &cobra.Group{ID: "platform", Title: "Platform:"}, &cobra.Group{ID: "machine", Title: "This machine:"})
	add(root, "apps", s.getCommand(), s.applyCommand(), s.deleteCommand(), s.scaleCommand(), s.rollbackCommand(), s.appCommand(), s.logsCommand(), s.trafficCommand(), s.routeCommand(), s.autoscaleCommand(), s.secretCommand(), s.explainCommand())
	add(root, "platform", s.clusterCommand(), s.gatewayCommand(), s.operationCommand())
	add(root, "machine", s.localCommand(), s.demoCommand(), s.loadCommand(), s.placementCommand(), s.failoverCommand(), s.ingressCommand(), s.configCommand(), s.versionCommand())
	root.SetHelpCommandGroupID("machine")
	root.SetCompletionCommandGroupID("machine")
	for _, flag := range []string{"context", "project"} {
		_ = root.RegisterFlagCompletionFunc(flag, s.completeFlag(flag)) // fails only for a flag that is not there
	}
	return root
}

func add(root *cobra.Command, group string, commands ...*cobra.Command) {
	for _, c := range commands {
		c.GroupID = group
		root.AddCommand(c)
	}
}

// group is a command that only holds others.
func group(name, short string, commands ...*cobra.Command) *cobra.Command {
	g := &cobra.Command{
		Use:   name,
		Short: short,
		Args:  cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usage("there is no command %q%s", cmd.CommandPath()+" "+args[0], suggestion(cmd, args[0]))
			}
			return cmd.Help()
		},
	}
	g.AddCommand(commands...)
	return g
}

func suggestion(cmd *cobra.Command, arg string) string {
	cmd.SuggestionsMinimumDistance = 2
	if near := cmd.SuggestionsFor(arg); len(near) > 0 {
		return "; did you mean " + near[0] + "?"
	}
	return ""
}
