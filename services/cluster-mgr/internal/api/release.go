package api

import (
	"context"
	"slices"
	"strings"

	"gantry.dev/pkg/fault"
	gantryv1 "gantry.dev/proto/gen/gantry/v1"
	"gantry.dev/services/cluster-mgr/internal/fleet"
	"gantry.dev/services/cluster-mgr/internal/store"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// release is an app about to be stored.
type release struct {
	app *gantryv1.App
	// Revision of the stored app; 0: a new one, in this project.
	revision   int64
	project    store.Item[*gantryv1.Project]
	assignment store.Item[store.Assignment]
	// Spec and wanted replicas before the change; nil: a new app.
	before        *gantryv1.AppSpec
	desiredBefore int
	// Digest of the image; empty: that which the registries have now.
	digest string
	// Number of the release that is repeated, and its versions of secrets; 0:
	// none.
	of       int32
	versions map[string]string
	// A new release although the spec is the same.
	renewed bool
}

// anew tells whether other pods are wanted than before.
func (r release) anew() bool {
	return r.before == nil || r.of > 0 || r.renewed || !sameTemplate(r.before, r.app.GetSpec())
}

// release checks an app and stores it, with a new release when what runs in a
// pod has changed, in one transaction.
func (s *appService) release(ctx context.Context, r mutation, next release, validateOnly bool) (*gantryv1.App, error) {
	if err := s.check(ctx, next.app.GetSpec()); err != nil {
		return nil, err
	}
	change := store.NewChange()
	if err := s.checkRoutes(ctx, change, next.app); err != nil {
		return nil, err
	}
	app := next.app
	app.Etag = ""
	if next.anew() {
		if err := s.number(ctx, change, next); err != nil {
			return nil, err
		}
	}
	if next.grows() {
		if err := s.fits(ctx, app, next.assignment.Value.Desired); err != nil {
			return nil, err
		}
	}
	if validateOnly {
		return app, nil
	}
	if next.revision == 0 {
		s.Store.Projects.Expect(change, next.project.Name, next.project.ModRevision)
	}
	s.Store.Apps.Put(change, app.GetName(), app, next.revision)
	s.Store.Assignments.Put(change, app.GetName(), next.assignment.Value, next.assignment.ModRevision)
	etag, err := s.commit(ctx, change, r, withoutFiles(app))
	if err != nil {
		return nil, err
	}
	shown := s.view(store.Item[*gantryv1.App]{Name: app.GetName(), Value: app}, next.assignment.Value)
	shown.Etag = etag
	return shown, s.led(ctx, shown)
}

// number gives an app its next release, with the image and the versions of the
// secrets that it takes.
func (s *appService) number(ctx context.Context, change *store.Change, next release) error {
	versions, err := s.materials(ctx, change, next)
	if err != nil {
		return err
	}
	digest, err := s.digest(ctx, next)
	if err != nil {
		return err
	}
	number := next.app.GetStatus().GetRelease() + 1
	next.app.Status = &gantryv1.AppStatus{Release: number, Digest: digest}
	name := store.ReleaseName(next.app.GetName(), number)
	s.Store.Releases.Put(change, name, &gantryv1.Release{
		Name: name, Number: number, Spec: next.app.GetSpec(), Digest: digest, SecretVersions: versions,
		CreatedBy: user(ctx).User, CreateTime: timestamppb.Now(), RollbackOf: next.of,
	}, 0)
	return nil
}

// grows tells whether a change needs room that the app does not have. What
// does not grow must go through also while capacity is short: a rollback, a
// repair, a smaller number.
func (r release) grows() bool {
	return r.before == nil || r.assignment.Value.Desired > r.desiredBefore ||
		!proto.Equal(r.before.GetResources(), r.app.GetSpec().GetResources()) ||
		!proto.Equal(r.before.GetPlacement(), r.app.GetSpec().GetPlacement()) ||
		!slices.Equal(fleet.VolumeNames(r.before), fleet.VolumeNames(r.app.GetSpec()))
}

// checkRoutes refuses to take away a port that a route leads to, also one that
// is made meanwhile.
func (s *appService) checkRoutes(ctx context.Context, change *store.Change, app *gantryv1.App) error {
	leads, err := s.leadingTo(ctx, change, app.GetName())
	if err != nil {
		return err
	}
	for _, l := range leads {
		if !hasPort(app, l.port) {
			return fault.Precondition("PORT_IN_USE", "%s leads to port %d of %s; change or delete it first", l.from, l.port, app.GetName())
		}
	}
	return nil
}

// sameTemplate tells whether two specs make the same pods: how many there are,
// and where, does not matter.
func sameTemplate(a, b *gantryv1.AppSpec) bool {
	a, b = proto.CloneOf(a), proto.CloneOf(b)
	for _, spec := range []*gantryv1.AppSpec{a, b} {
		keepSize(spec, &gantryv1.AppSpec{})
	}
	return proto.Equal(a, b)
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
