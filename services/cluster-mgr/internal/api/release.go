package api

import (
	"context"
	"slices"
	"strings"

	"buf.build/go/protovalidate"
	"gantry.dev/pkg/fault"
	"gantry.dev/pkg/names"
	gantryv1 "gantry.dev/proto/gen/gantry/v1"
	"gantry.dev/services/cluster-mgr/internal/fleet"
	"gantry.dev/services/cluster-mgr/internal/store"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// release is an app about to be stored.
type release struct {
	app *gantryv1.App
	// Revision of the stored app; 0: a new one.
	revision   int64
	assignment store.Item[store.Assignment]
	// Spec and wanted replicas before the change; nil: a new app.
	before        *gantryv1.AppSpec
	desiredBefore int
	// Digest and number of the release that is repeated; empty: none.
	digest string
	of     int32
}

// release checks an app and stores it, with a new release when what runs in a
// pod has changed, in one transaction.
func (s *appService) release(ctx context.Context, r mutation, next release, validateOnly bool) (*gantryv1.App, error) {
	if err := s.check(ctx, next.app.GetSpec()); err != nil {
		return nil, err
	}
	if err := s.checkRoutes(ctx, next.app); err != nil {
		return nil, err
	}
	app := next.app
	app.Etag = ""
	change := store.NewChange()
	if next.before == nil || next.of > 0 || !sameTemplate(next.before, app.GetSpec()) {
		digest, err := s.digest(ctx, next)
		if err != nil {
			return nil, err
		}
		app.Status = &gantryv1.AppStatus{Release: app.GetStatus().GetRelease() + 1, Digest: digest}
		s.Store.Releases.Put(change, releaseName(app.GetName(), app.GetStatus().GetRelease()), &gantryv1.Release{
			Name: releaseName(app.GetName(), app.GetStatus().GetRelease()), Number: app.GetStatus().GetRelease(), Spec: app.GetSpec(),
			Digest: digest, CreatedBy: user(ctx).User, CreateTime: timestamppb.Now(), RollbackOf: next.of,
		}, 0)
	}
	if next.grows() {
		if err := s.Fitter.Fit(ctx, app, next.assignment.Value.Desired); err != nil {
			return nil, err
		}
	}
	if validateOnly {
		return app, nil
	}
	s.Store.Apps.Put(change, app.GetName(), app, next.revision)
	s.Store.Assignments.Put(change, app.GetName(), next.assignment.Value, next.assignment.ModRevision)
	etag, err := s.commit(ctx, change, r, app)
	if err != nil {
		return nil, err
	}
	item, err := s.Store.Apps.Get(ctx, app.GetName())
	if err != nil {
		return nil, err
	}
	shown, err := s.shown(ctx, item)
	if err != nil {
		return nil, err
	}
	shown.Etag = etag
	return shown, nil
}

// grows tells whether a change needs room that the app does not have. What
// does not grow must go through also while capacity is short: a rollback, a
// repair, a smaller number.
func (r release) grows() bool {
	return r.before == nil || r.assignment.Value.Desired > r.desiredBefore ||
		!proto.Equal(r.before.GetResources(), r.app.GetSpec().GetResources()) ||
		!proto.Equal(r.before.GetPlacement(), r.app.GetSpec().GetPlacement())
}

// checkRoutes refuses to take away a port that a route leads to.
func (s *appService) checkRoutes(ctx context.Context, app *gantryv1.App) error {
	routes, _, err := s.Store.Routes.List(ctx, names.Parent(app.GetName())+"/")
	if err != nil {
		return err
	}
	for _, r := range routes {
		has := slices.ContainsFunc(app.GetSpec().GetPorts(), func(p *gantryv1.Port) bool { return p.GetPort() == r.Value.GetPort() })
		if r.Value.GetApp() == app.GetName() && !has {
			return fault.Precondition("PORT_IN_USE", "%s leads to port %d of %s; change or delete it first", r.Name, r.Value.GetPort(), app.GetName())
		}
	}
	return nil
}

// sameTemplate tells whether two specs make the same pods: how many there are,
// and where, does not matter.
func sameTemplate(a, b *gantryv1.AppSpec) bool {
	a, b = proto.CloneOf(a), proto.CloneOf(b)
	for _, spec := range []*gantryv1.AppSpec{a, b} {
		spec.Replicas, spec.Autoscale, spec.Placement = 0, nil, nil
	}
	return proto.Equal(a, b)
}

// check refuses what the fields' own rules cannot see.
func (s *appService) check(ctx context.Context, spec *gantryv1.AppSpec) error {
	if spec.GetImage() == "" {
		return invalid("app.spec.image", "an app needs an image, for example hello:v1")
	}
	if err := wellFormed(spec); err != nil {
		return err
	}
	ports := map[int32]bool{}
	for _, p := range spec.GetPorts() {
		ports[p.GetPort()] = true
	}
	for field, check := range map[string]*gantryv1.HealthCheck{"readiness": spec.GetReadiness(), "liveness": spec.GetLiveness()} {
		if check != nil && !ports[check.GetPort()] {
			return invalid("app.spec."+field+".port", "%d is none of the app's ports", check.GetPort())
		}
	}
	seen := map[string]bool{}
	for _, p := range spec.GetPlacement().GetClusters() {
		if seen[p.GetCluster()] {
			return invalid("app.spec.placement.clusters", "%s is listed twice", p.GetCluster())
		}
		seen[p.GetCluster()] = true
		if p.GetMax() > 0 && p.GetMin() > p.GetMax() {
			return invalid("app.spec.placement.clusters", "%s: min %d is larger than max %d", p.GetCluster(), p.GetMin(), p.GetMax())
		}
		if _, err := s.Store.Clusters.Get(ctx, p.GetCluster()); err != nil {
			return unknownCluster(p.GetCluster(), err)
		}
	}
	return nil
}

// wellFormed holds the rules of one spec by itself, also of one that a mask
// has put together.
func wellFormed(spec *gantryv1.AppSpec) error {
	if err := protovalidate.Validate(spec); err != nil {
		return fault.Invalid("INVALID_FIELDS", "app.spec: %w", err)
	}
	taken := map[any]string{}
	for _, p := range spec.GetPorts() {
		for _, key := range []any{p.GetPort(), p.GetName()} {
			if _, twice := taken[key]; twice {
				return invalid("app.spec.ports", "%v is listed twice", key)
			}
			taken[key] = p.GetName()
		}
	}
	env := map[string]bool{}
	for _, e := range spec.GetEnv() {
		if env[e.GetName()] {
			return invalid("app.spec.env", "%s is set twice", e.GetName())
		}
		env[e.GetName()] = true
	}
	return enough(spec.GetResources())
}

// enough refuses resources with which nothing runs.
func enough(r *gantryv1.Resources) error {
	per, err := fleet.PerReplica(r)
	if err != nil {
		return invalid("app.spec.resources", "%v", err)
	}
	if per.MilliCPU == 0 || per.MemoryBytes == 0 {
		return invalid("app.spec.resources", "cpu and memory must be more than 0")
	}
	limit, err := fleet.PerReplica(&gantryv1.Resources{Cpu: r.GetCpuLimit()})
	if err != nil {
		return invalid("app.spec.resources.cpu_limit", "%v", err)
	}
	if r.GetCpuLimit() != "" && limit.MilliCPU < per.MilliCPU {
		return invalid("app.spec.resources.cpu_limit", "%s is less than the request", r.GetCpuLimit())
	}
	return nil
}

func unknownCluster(name string, err error) error {
	if fault.Is(err, fault.KindNotFound) {
		return invalid("app.spec.placement.clusters", "there is no %s; `gantry get clusters` lists them", name)
	}
	return err
}

func invalid(field, format string, args ...any) error {
	f := fault.Invalid("INVALID_FIELDS", format, args...)
	f.Violations = []fault.Violation{{Field: field, Description: f.Message}}
	f.Message = field + ": " + f.Message
	return f
}

// digest finds the image in the registries of the clusters. One that has it is
// enough: the others get the release when they have the image (rule B5).
func (s *appService) digest(ctx context.Context, next release) (string, error) {
	if next.digest != "" {
		return next.digest, nil
	}
	clusters, _, err := s.Store.Clusters.List(ctx, "")
	if err != nil {
		return "", err
	}
	if len(clusters) == 0 {
		return "", fault.Precondition("NO_CLUSTER", "no cluster is registered, so nothing can run; an operator does it with `gantry cluster register`")
	}
	image := next.app.GetSpec().GetImage()
	var asked []string
	var last error
	for _, c := range clusters {
		digest, err := s.Resolve(ctx, c.Value.GetRegistry(), image)
		if err == nil {
			return digest, nil
		}
		asked = append(asked, c.Value.GetRegistry())
		if last == nil || !fault.Is(err, fault.KindNotFound) {
			last = err
		}
	}
	if !fault.Is(last, fault.KindNotFound) {
		return "", last
	}
	return "", fault.NotFound("IMAGE_NOT_FOUND", "no registry has the image %s (asked %s); push it there first", image, strings.Join(asked, ", ")).
		With(fault.Violation{Field: "app.spec.image", Description: "no registry has the image " + image})
}
