package api

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"gantry.dev/pkg/fault"
	"gantry.dev/pkg/names"
	gantryv1 "gantry.dev/proto/gen/gantry/v1"
	"gantry.dev/services/cluster-mgr/internal/fleet"
	"gantry.dev/services/cluster-mgr/internal/store"
	"google.golang.org/protobuf/proto"
)

// maxSecretsBytes bounds all secrets of an app: they go to a cluster in one
// message.
const maxSecretsBytes = 2 << 20

// secretUse is one value that an app wants of a secret, and where it says so.
type secretUse struct {
	field string
	key   *gantryv1.SecretKey
}

func secretUses(spec *gantryv1.AppSpec) []secretUse {
	var out []secretUse
	for i, e := range spec.GetEnv() {
		if e.GetSecret() != nil {
			out = append(out, secretUse{fmt.Sprintf("app.spec.env[%d].secret", i), e.GetSecret()})
		}
	}
	for i, f := range spec.GetFiles() {
		if f.GetSecret() != nil {
			out = append(out, secretUse{fmt.Sprintf("app.spec.files[%d].secret", i), f.GetSecret()})
		}
	}
	return out
}

// materials checks that the secrets and volumes of a new release are there,
// makes the change depend on them, and gives the version that the release
// takes of each secret: the present one, or that of the release it repeats.
func (s *appService) materials(ctx context.Context, change *store.Change, next release) (map[string]string, error) {
	if err := s.checkVolumes(ctx, change, next.app); err != nil {
		return nil, err
	}
	records := map[string]store.Item[store.SecretRecord]{}
	for _, use := range secretUses(next.app.GetSpec()) {
		record, err := s.secretOf(ctx, records, next.app, use)
		if err != nil {
			return nil, err
		}
		if !slices.Contains(record.Value.Keys, use.key.GetKey()) && next.of == 0 {
			return nil, invalid(use.field+".key", "%s has no key %q, it has %s", record.Name, use.key.GetKey(), strings.Join(record.Value.Keys, ", "))
		}
	}
	versions, size := map[string]string{}, 0
	for name, record := range records {
		versions[name] = record.Value.Version
		size += record.Value.Bytes
		s.Store.Secrets.Expect(change, name, record.ModRevision)
	}
	if size > maxSecretsBytes {
		return nil, invalid("app.spec", "the secrets of an app may have %d bytes together, these have %d; put large ones onto a volume", maxSecretsBytes, size)
	}
	if next.of == 0 {
		return versions, nil
	}
	return next.versions, s.kept(ctx, change, next)
}

// secretOf reads a secret that an app names, once for all its uses.
func (s *appService) secretOf(ctx context.Context, records map[string]store.Item[store.SecretRecord], app *gantryv1.App, use secretUse) (store.Item[store.SecretRecord], error) {
	name := use.key.GetSecret()
	if record, ok := records[name]; ok {
		return record, nil
	}
	if names.Parent(name) != names.Parent(app.GetName()) {
		return store.Item[store.SecretRecord]{}, invalid(use.field+".secret", "%s is not in %s; an app uses the secrets of its own project", name, names.Parent(app.GetName()))
	}
	record, err := s.Store.Secrets.Get(ctx, name)
	if fault.Is(err, fault.KindNotFound) {
		return record, invalid(use.field+".secret", "there is no %s; make it with `gantry secret set %s`", name, names.ID(name))
	}
	records[name] = record
	return record, err
}

// kept makes sure that the versions of a release that is repeated are there.
func (s *appService) kept(ctx context.Context, change *store.Change, next release) error {
	for secret, version := range next.versions {
		item, err := s.Store.SecretVersions.Get(ctx, store.SecretVersionName(secret, version))
		if fault.Is(err, fault.KindNotFound) {
			return fault.Precondition("SECRET_VERSION_GONE", "release %d has a version of %s that was deleted with the secret; deploy with the present one instead", next.of, secret)
		}
		if err != nil {
			return err
		}
		s.Store.SecretVersions.Expect(change, item.Name, item.ModRevision)
	}
	return nil
}

func (s *appService) checkVolumes(ctx context.Context, change *store.Change, app *gantryv1.App) error {
	for i, m := range app.GetSpec().GetVolumes() {
		field := fmt.Sprintf("app.spec.volumes[%d].volume", i)
		if names.Parent(m.GetVolume()) != names.Parent(app.GetName()) {
			return invalid(field, "%s is not in %s; an app mounts the volumes of its own project", m.GetVolume(), names.Parent(app.GetName()))
		}
		item, err := s.Store.Volumes.Get(ctx, m.GetVolume())
		if fault.Is(err, fault.KindNotFound) {
			return invalid(field, "there is no %s; `gantry get volumes` lists them", m.GetVolume())
		}
		if err != nil {
			return err
		}
		s.Store.Volumes.Expect(change, item.Name, item.ModRevision)
	}
	return nil
}

// releaseApps makes a new release of every app whose release has another
// version of a secret. One that cannot be released does not keep the others
// from it.
func (s *secretService) releaseApps(ctx context.Context, secret store.Item[store.SecretRecord]) error {
	apps, _, err := s.Store.Apps.List(ctx, names.Parent(secret.Name)+"/")
	if err != nil {
		return err
	}
	var failed []error
	for _, app := range apps {
		if !slices.Contains(fleet.SecretNames(app.Value.GetSpec()), secret.Name) {
			continue
		}
		_, err := again(ctx, func() (*gantryv1.App, error) {
			return (&appService{Services: s.Services}).renew(ctx, app.Name, secret)
		})
		if err != nil && !fault.HasReason(err, "APP_NOT_FOUND") { // deleted meanwhile
			failed = append(failed, fmt.Errorf("%s: %w", app.Name, err))
		}
	}
	if len(failed) == 0 {
		return nil
	}
	f := fault.From(errors.Unwrap(failed[0]))
	return fault.New(f.Kind, f.Reason, "%s is stored, but not every app has a release with it; repeat this when the cause is gone: %w", secret.Name, errors.Join(failed...))
}

// renew makes a release that differs only in the versions of its secrets; nil
// when the last one has that of this secret.
func (s *appService) renew(ctx context.Context, name string, secret store.Item[store.SecretRecord]) (*gantryv1.App, error) {
	item, assignment, err := s.assigned(ctx, name, "")
	if err != nil {
		return nil, err
	}
	if !slices.Contains(fleet.SecretNames(item.Value.GetSpec()), secret.Name) {
		return nil, nil // not any more
	}
	last, err := s.Store.Releases.Get(ctx, store.ReleaseName(name, item.Value.GetStatus().GetRelease()))
	if err != nil || last.Value.GetSecretVersions()[secret.Name] == secret.Value.Version {
		return nil, err
	}
	return s.release(ctx, &gantryv1.UpdateAppRequest{}, release{
		app: proto.CloneOf(item.Value), revision: item.ModRevision, assignment: assignment,
		before: item.Value.GetSpec(), desiredBefore: assignment.Value.Desired, digest: item.Value.GetStatus().GetDigest(), renewed: true,
	}, false)
}
