package demo

import (
	"os"
	"path/filepath"

	"gantry.dev/pkg/fault"
	gantryv1 "gantry.dev/proto/gen/gantry/v1"
	"gantry.dev/services/gantry/internal/manifest"
	"google.golang.org/protobuf/proto"
)

// resources are the manifests of the sample app.
type resources struct {
	clusters []*gantryv1.Cluster
	project  *gantryv1.Project
	gateway  *gantryv1.Gateway
	app      *gantryv1.App
	route    *gantryv1.Route
}

func readResources(dir string) (*resources, error) {
	r := &resources{}
	for _, file := range []string{"clusters.yaml", "project.yaml", "gateway.yaml", "app.yaml", "route.yaml"} {
		name := filepath.Join(dir, file)
		data, err := os.ReadFile(name)
		if err != nil {
			return nil, fault.Precondition("DEMO_MANIFEST_MISSING", "run the demo in the repository's folder: %w", err)
		}
		documents, err := manifest.Parse(name, data, "")
		if err != nil {
			return nil, err
		}
		for _, d := range documents {
			r.keep(d.Resource)
		}
	}
	return r, r.check(dir)
}

func (r *resources) keep(m proto.Message) {
	switch m := m.(type) {
	case *gantryv1.Cluster:
		r.clusters = append(r.clusters, m)
	case *gantryv1.Project:
		r.project = m
	case *gantryv1.Gateway:
		r.gateway = m
	case *gantryv1.App:
		r.app = m
	case *gantryv1.Route:
		r.route = m
	}
}

// check makes sure of what the phases rely on.
func (r *resources) check(dir string) error {
	complete := r.project != nil && r.gateway != nil && r.app != nil && r.route != nil
	if !complete || len(r.clusters) != 2 || len(r.gateway.GetNodes()) != 2 || r.app.GetSpec().GetAutoscale() == nil {
		return fault.Precondition("DEMO_MANIFEST_INCOMPLETE",
			"the manifests in %s must hold two clusters, a project, a gateway with two nodes, an app with autoscale and a route", dir)
	}
	return nil
}

// registries are the registries of all clusters.
func (r *resources) registries() []string {
	var all []string
	for _, c := range r.clusters {
		all = append(all, c.GetRegistry())
	}
	return all
}

// lost is the cluster that is switched away from and killed; survivor keeps
// serving.
func (r *resources) lost() string     { return clusterName(r.clusters[1]) }
func (r *resources) survivor() string { return clusterName(r.clusters[0]) }

// withImage is the app in another version.
func (r *resources) withImage(image string) *gantryv1.App {
	app := proto.Clone(r.app).(*gantryv1.App)
	app.Spec.Image = image
	return app
}
