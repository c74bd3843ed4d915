package cli

import (
	"bytes"
	"path/filepath"
	"strings"

	"gantry.dev/pkg/fault"
	ingressv1 "gantry.dev/proto/gen/gantry/ingress/v1"
	gantryv1 "gantry.dev/proto/gen/gantry/v1"
	"gantry.dev/services/gantry/internal/manifest"
	"gantry.dev/services/gantry/internal/output"
	"gantry.dev/services/ingress-agent/offline"
	"github.com/spf13/cobra"
	"google.golang.org/protobuf/encoding/protojson"
)

func (s *runner) ingressCommand() *cobra.Command {
	return group("ingress", "See what load balancer nodes would serve", s.ingressRender())
}

// ingressOptions are the flags of `gantry ingress render`.
type ingressOptions struct {
	file, out string
	node      offline.Node
}

func (s *runner) ingressRender() *cobra.Command {
	o := ingressOptions{node: usualNode()}
	cmd := &cobra.Command{
		Use:   "render -f FILE -o DIR",
		Short: "Write the Nginx files of routes on this machine",
		Long: `Writes the files that an ingress-agent makes of routes, with the agent's code: the
directory of one generation with nginx.conf, a file per host, the balancer's Lua
and, where a gateway is given, keepalived.conf; below stream/ those of the Nginx of
TCP and UDP, a file per stream route. No server is asked.

FILE holds manifests of routes and stream routes of one gateway, as "gantry get
routes -o yaml" prints them, and may hold the gateway itself; other resources are passed over. Or
it is the JSON of a whole configuration, as an agent keeps it in config.json of
its state directory. A route that an agent would refuse is an error that names
its field, and nothing is written.

DIR is made if it is not there. It must be empty, or hold only what an earlier
"gantry ingress render" wrote; that is replaced. Nodes ask the platform for what is
not in the files: which pods there are, and keys of certificates. In a stream
route's file a server that is down stands for its pods.`,
		Example: `  (gantry get routes -o yaml; echo ---; gantry get streamroutes -o yaml) > routes.yaml
  gantry ingress render -f routes.yaml -o ./nginx
  diff -r ./nginx-before ./nginx
  sudo gantry ingress render -f /var/lib/gantry/ingress-agent/config.json --node lb-1 -o ./nginx`,
		Args: cobra.NoArgs,
	}
	flags := cmd.Flags()
	flags.StringVarP(&o.file, "filename", "f", "", "file with routes; - is standard input")
	flags.StringVarP(&o.out, "output", "o", "", "directory to write to")
	flags.StringVar(&o.node.Name, "node", "", "node of the gateway whose keepalived.conf is written (default its first)")
	flags.StringVar(&o.node.StateDir, "state-dir", o.node.StateDir, "state directory of the agent, as the files name it")
	flags.StringVar(&o.node.ModulesDir, "nginx-modules", o.node.ModulesDir, "directory of Nginx's dynamic modules")
	flags.StringVar(&o.node.Program, "agent", o.node.Program, "the agent's program, which Keepalived runs")
	flags.StringVar(&o.node.Interface, "interface", o.node.Interface, "network interface that carries the VIP")
	flags.IntVar(&o.node.HTTPPort, "http-port", o.node.HTTPPort, "port of HTTP")
	flags.IntVar(&o.node.HTTPSPort, "https-port", o.node.HTTPSPort, "port of HTTPS; 0: none")
	_ = cmd.MarkFlagFilename("filename", "yaml", "yml", "json") // the flag is there
	_ = cmd.MarkFlagDirname("output")                           // the flag is there
	cmd.RunE = s.run(func(*cobra.Command, []string) error { return s.renderIngress(o) })
	return cmd
}

// usualNode is a node as the platform's packages set it up.
func usualNode() offline.Node {
	return offline.Node{
		Dir: "/var/lib/gantry/ingress-agent/current", StateDir: "/var/lib/gantry/ingress-agent", ModulesDir: "/usr/lib/nginx/modules",
		Program: "/usr/bin/ingress-agent", Interface: "eth0", HTTPPort: 80, HTTPSPort: 443,
	}
}

func (s *runner) renderIngress(o ingressOptions) error {
	if o.out == "" {
		return usage("name a directory with -o DIR")
	}
	data, err := s.offlineFile("-f FILE", o.file)
	if err != nil {
		return err
	}
	model, err := s.ingressModel(o.file, data)
	if err != nil {
		return err
	}
	if o.node.Dir, err = filepath.Abs(o.out); err != nil {
		return fault.Invalid("DIRECTORY_INVALID", "find the directory: %w", err)
	}
	if o.node.Name == "" && len(model.config.GetNodes()) > 0 {
		o.node.Name = model.config.GetNodes()[0].GetName()
	}
	rendered, err := offline.Render(model.config, o.node)
	if err != nil {
		return fault.Invalid("NOT_RENDERED", "%w", err)
	}
	if err := model.problems(rendered); err != nil {
		return err
	}
	return writeRendered(o.node.Dir, rendered.Files)
}

// ingressModel is a configuration and where its routes stand.
type ingressModel struct {
	config *ingressv1.GatewayConfig
	file   string
	// By route; empty where the file is a whole configuration.
	documents map[string]manifest.Document
}

func (s *runner) ingressModel(file string, data []byte) (ingressModel, error) {
	if bytes.HasPrefix(bytes.TrimSpace(data), []byte("{")) {
		config := &ingressv1.GatewayConfig{}
		if err := protojson.Unmarshal(data, config); err != nil {
			return ingressModel{}, fault.Invalid("CONFIG_INVALID", "%s is no configuration of a gateway: %s", file, plainError(err))
		}
		return ingressModel{config: config, file: file}, nil
	}
	docs, err := manifest.Parse(file, data, s.project)
	if err != nil {
		return ingressModel{}, err
	}
	return modelOf(file, docs)
}

// plainError takes off what protojson varies on purpose.
func plainError(err error) string {
	return strings.ReplaceAll(strings.TrimPrefix(strings.TrimPrefix(err.Error(), "proto:"), "\u00a0"), "\u00a0", " ")
}

func modelOf(file string, docs []manifest.Document) (ingressModel, error) {
	m := ingressModel{file: file, documents: map[string]manifest.Document{}}
	var gateway *gantryv1.Gateway
	var routes []*gantryv1.Route
	var streams []*gantryv1.StreamRoute
	name := ""
	belongs := func(d manifest.Document, field, to string) error {
		if name != "" && name != to {
			e := d.Locate(field)
			e.Problem = "the file is of " + name + " already, not of " + to + "; render each gateway for itself"
			return fault.Invalid("SEVERAL_GATEWAYS", "%s", e.Error())
		}
		name = to
		return nil
	}
	for _, d := range docs {
		switch r := d.Resource.(type) {
		case *gantryv1.Gateway:
			if err := belongs(d, "name", r.GetName()); err != nil {
				return m, err
			}
			gateway = r
		case *gantryv1.Route:
			if err := belongs(d, "gateway", r.GetGateway()); err != nil {
				return m, err
			}
			routes, m.documents[r.GetName()] = append(routes, r), d
		case *gantryv1.StreamRoute:
			if err := belongs(d, "gateway", r.GetGateway()); err != nil {
				return m, err
			}
			streams, m.documents[r.GetName()] = append(streams, r), d
		}
	}
	m.config = offline.Config(gateway, output.Last(name), routes, streams)
	return m, nil
}

// problems is an error with a line per route that an agent would refuse.
func (m ingressModel) problems(r offline.Rendered) error {
	var lines []string
	for _, p := range r.Problems {
		e := manifest.Error{File: m.file}
		if d, ok := m.documents[p.Route]; ok {
			field, _, _ := strings.Cut(p.Reason, " ")
			e = d.Locate(strings.TrimSuffix(field, ":"))
		}
		e.Field, e.Problem = p.Route, p.Reason
		lines = append(lines, e.Error())
	}
	if r.VRRPProblem != "" {
		lines = append(lines, manifest.Error{File: m.file, Problem: r.VRRPProblem}.Error())
	}
	if len(lines) == 0 {
		return nil
	}
	return fault.Invalid("NOT_SERVED", "%s", strings.Join(lines, "\n"))
}
