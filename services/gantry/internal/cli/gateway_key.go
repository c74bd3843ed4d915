package cli

import (
	"fmt"

	"gantry.dev/pkg/seal"
	"gantry.dev/services/gantry/internal/output"
	"github.com/spf13/cobra"
)

// gatewayKey needs no platform: it derives what cluster-mgr derives.
func (s *runner) gatewayKey() *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use:   "key GATEWAY --secret-key FILE",
		Short: "Make the key with which a gateway's nodes open their certificates",
		Long: `Derives the key of a gateway from the key of the secrets, which cluster-mgr has,
and prints it. Put it, readable for root only, on each load balancer node of the
gateway and name it with --gateway-key of ingress-agent. It opens the gateway's
certificates and no secret.`,
		Example: "  gantry gateway key main --secret-key secret.key > gateway-main.key",
		Args:    cobra.ExactArgs(1),
	}
	cmd.Flags().StringVar(&file, "secret-key", "", "file of cluster-mgr's --secret-key")
	cmd.RunE = s.run(func(_ *cobra.Command, args []string) error {
		if file == "" {
			return usage("say where the key of the secrets is with --secret-key FILE")
		}
		key, err := seal.Read(file)
		if err != nil {
			return err
		}
		fmt.Fprintln(s.Out, key.Derive("gateway/"+output.Last(args[0])).String())
		return nil
	})
	return cmd
}
