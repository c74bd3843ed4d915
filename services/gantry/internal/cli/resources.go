package cli

import (
	"context"
	"slices"
	"strings"

	"gantry.dev/pkg/fault"
	gantryv1 "gantry.dev/proto/gen/gantry/v1"
	"gantry.dev/services/gantry/internal/client"
	"gantry.dev/services/gantry/internal/output"
	"google.golang.org/protobuf/proto"
)

// pageSize of lists; the server may give less.
const pageSize = 500

// scope is where a list looks.
type scope struct {
	// parent is "projects/pay", or "projects/-" for all; only of what lives in
	// a project.
	parent string
	// app is the full name of the app whose releases or pods are asked for.
	app string
	// unreachable collects clusters that could not be asked.
	unreachable []string
}

// resource is a type that `gantry get` knows.
type resource struct {
	// names, the plural first.
	names []string
	// inProject: the scope needs a parent; ofApp: it needs an app.
	inProject, ofApp bool
	list             func(ctx context.Context, c *client.Client, s *scope) ([]proto.Message, error)
	// get is nil where only a list can be asked for.
	get func(ctx context.Context, c *client.Client, name string) (proto.Message, error)
}

func (r resource) plural() string { return r.names[0] }

func resources() []resource {
	return []resource{
		{names: []string{"apps", "app"}, inProject: true, list: listApps,
			get: func(ctx context.Context, c *client.Client, name string) (proto.Message, error) {
				return c.Apps.GetApp(ctx, &gantryv1.GetAppRequest{Name: name})
			}},
		{names: []string{"releases", "release"}, inProject: true, ofApp: true, list: listReleases},
		{names: []string{"pods", "pod", "po"}, inProject: true, ofApp: true, list: listPods},
		{names: []string{"routes", "route"}, inProject: true, list: listRoutes,
			get: func(ctx context.Context, c *client.Client, name string) (proto.Message, error) {
				return c.Routes.GetRoute(ctx, &gantryv1.GetRouteRequest{Name: name})
			}},
		{names: []string{"streamRoutes", "streamroute", "streamroutes", "stream"}, inProject: true, list: listStreamRoutes,
			get: func(ctx context.Context, c *client.Client, name string) (proto.Message, error) {
				return c.Streams.GetStreamRoute(ctx, &gantryv1.GetStreamRouteRequest{Name: name})
			}},
		{names: []string{"secrets", "secret"}, inProject: true, list: listSecrets,
			get: func(ctx context.Context, c *client.Client, name string) (proto.Message, error) {
				return c.Secrets.GetSecret(ctx, &gantryv1.GetSecretRequest{Name: name})
			}},
		{names: []string{"volumes", "volume", "vol"}, inProject: true, list: listVolumes,
			get: func(ctx context.Context, c *client.Client, name string) (proto.Message, error) {
				return c.Volumes.GetVolume(ctx, &gantryv1.GetVolumeRequest{Name: name})
			}},
		{names: []string{"projects", "project"}, list: listProjects,
			get: func(ctx context.Context, c *client.Client, name string) (proto.Message, error) {
				return c.Projects.GetProject(ctx, &gantryv1.GetProjectRequest{Name: name})
			}},
		{names: []string{"clusters", "cluster"}, list: listClusters,
			get: func(ctx context.Context, c *client.Client, name string) (proto.Message, error) {
				return c.Clusters.GetCluster(ctx, &gantryv1.GetClusterRequest{Name: name})
			}},
		{names: []string{"gateways", "gateway", "gw"}, list: listGateways,
			get: func(ctx context.Context, c *client.Client, name string) (proto.Message, error) {
				return c.Gateways.GetGateway(ctx, &gantryv1.GetGatewayRequest{Name: name})
			}},
		{names: []string{"operations", "operation", "op"}, list: listOperations,
			get: func(ctx context.Context, c *client.Client, name string) (proto.Message, error) {
				return c.Operations.GetOperation(ctx, &gantryv1.GetOperationRequest{Name: name})
			}},
		{names: []string{"decisions", "decision"}, list: listDecisions,
			get: func(ctx context.Context, c *client.Client, name string) (proto.Message, error) {
				return c.Decisions.GetDecision(ctx, &gantryv1.GetDecisionRequest{Name: name})
			}},
		{names: []string{"alarms", "alarm"}, list: listAlarms},
	}
}

// findResource finds a type by any of its names.
func findResource(name string) (resource, error) {
	var known []string
	for _, r := range resources() {
		if slices.Contains(r.names, strings.ToLower(name)) {
			return r, nil
		}
		known = append(known, r.plural())
	}
	return resource{}, usage("there is no resource type %q; the types are %s", name, strings.Join(known, ", "))
}

// fullName completes the name of one resource of this type.
func (r resource) fullName(name, parent string) string {
	switch {
	case strings.Contains(name, "/"):
		return name
	case r.inProject:
		return parent + "/" + r.plural() + "/" + name
	}
	return r.plural() + "/" + name
}

// find gets one resource, from the list where there is nothing better.
func (r resource) find(ctx context.Context, c *client.Client, s *scope, name string) (proto.Message, error) {
	if r.get != nil {
		return r.get(ctx, c, r.fullName(name, s.parent))
	}
	items, err := r.list(ctx, c, s)
	if err != nil {
		return nil, err
	}
	for _, m := range items {
		if n, ok := m.(interface{ GetName() string }); ok && output.Last(n.GetName()) == output.Last(name) {
			return m, nil
		}
	}
	return nil, fault.NotFound("NOT_FOUND", "there is no %s %s", r.names[1], name)
}

// pages collects all pages of a list as messages.
func pages[T proto.Message](page func(token string) (items []T, next string, err error)) ([]proto.Message, error) {
	var all []proto.Message
	for token := ""; ; {
		items, next, err := page(token)
		if err != nil {
			return nil, err
		}
		for _, m := range items {
			all = append(all, m)
		}
		if next == "" || next == token {
			return all, nil
		}
		token = next
	}
}
