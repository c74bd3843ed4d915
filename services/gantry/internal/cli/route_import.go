package cli

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"gantry.dev/pkg/fault"
	"gantry.dev/services/gantry/internal/nginximport"
	"gantry.dev/services/gantry/internal/output"
	"github.com/spf13/cobra"
	"google.golang.org/protobuf/proto"
)

// importOptions are the flags of `gantry route import`.
type importOptions struct {
	out, gateway, secret string
	apps                 []string
}

func (s *runner) routeImport() *cobra.Command {
	var o importOptions
	cmd := &cobra.Command{
		Use:   "import FILE [-o OUT]",
		Short: "Make routes of an existing Nginx file",
		Long: `Reads an Nginx file and writes the routes that do the same as manifests; nothing
is sent to the platform. What does not fit into a route is listed on standard
error, each directive with its line and the reason. proxy_pass to http://web:8080
leads to port 8080 of the app web; --app says so of other names.`,
		Example: "  gantry route import nginx.conf -p pay --app backend=web:8080 --secret web-tls -o routes.yaml\n  gantry route diff -f routes.yaml",
		Args:    cobra.ExactArgs(1),
	}
	flags := cmd.Flags()
	flags.StringVarP(&o.out, "output", "o", "", "file to write the manifests to (default standard output)")
	flags.StringVar(&o.gateway, "gateway", "main", "gateway of the routes")
	flags.StringVar(&o.secret, "secret", "", "secret with the certificate of the servers that have one")
	flags.StringArrayVar(&o.apps, "app", nil, "app of a name in proxy_pass: backend=web:8080; may be repeated")
	cmd.RunE = func(_ *cobra.Command, args []string) error { return s.importRoutes(args[0], o) }
	return cmd
}

func (s *runner) importRoutes(file string, o importOptions) error {
	if s.project == "" { // that of the context
		c, err := s.dial()
		if err != nil {
			return err
		}
		defer c.Close()
	}
	parent, err := s.projectName()
	if err != nil {
		return err
	}
	apps := map[string]string{}
	for _, pair := range o.apps {
		name, app, ok := strings.Cut(pair, "=")
		if !ok || !strings.Contains(app, ":") {
			return usage("--app takes NAME=APP:PORT, not %q", pair)
		}
		apps[name] = app
	}
	data, err := s.readFile(file)
	if err != nil {
		return fault.Invalid("FILE_UNREADABLE", "cannot read the Nginx file: %w", err)
	}
	got, err := nginximport.Read(file, data, nginximport.Options{Project: output.Last(parent), Gateway: o.gateway, Apps: apps, Secret: o.secret})
	if err != nil {
		return err
	}
	for _, line := range got.Left {
		fmt.Fprintln(s.Err, line)
	}
	fmt.Fprintf(s.Err, "%d routes; %d of %d directives converted\n", len(got.Routes), got.Converted, got.Directives)
	text, err := manifests(got)
	if err != nil || len(text) == 0 {
		return err
	}
	if o.out == "" || o.out == "-" {
		_, err = s.Out.Write(text)
		return err
	}
	if err := os.WriteFile(filepath.Clean(o.out), text, 0o600); err != nil {
		return fault.Invalid("FILE_UNWRITABLE", "cannot write the manifests: %w", err)
	}
	return nil
}

// manifests are the routes as documents of one file.
func manifests(got nginximport.Result) ([]byte, error) {
	var out bytes.Buffer
	for i, r := range got.Routes {
		if i > 0 {
			out.WriteString("---\n")
		}
		var text bytes.Buffer
		printer := &output.Printer{Out: &text, Format: output.YAML}
		if err := printer.One(proto.Message(r)); err != nil {
			return nil, err
		}
		out.Write(text.Bytes())
	}
	return out.Bytes(), nil
}
