package api

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"gantry.dev/pkg/fault"
	"gantry.dev/pkg/names"
	gantryv1 "gantry.dev/proto/gen/gantry/v1"
	"gantry.dev/services/cluster-mgr/internal/store"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// maxSecretBytes bounds all values of a secret.
const maxSecretBytes = 256 << 10

// secretService never answers with what a secret contains (rule E2): that is
// only in the versions, which it does not read.
type secretService struct {
	gantryv1.UnimplementedSecretServiceServer
	*Services
}

// secretWish is what a request wants a secret to be.
type secretWish struct {
	name, etag string
	data       map[string][]byte
	// The version that data has.
	version      string
	validateOnly bool
	// Release the apps that use it.
	release bool
}

func (s *secretService) CreateSecret(ctx context.Context, r *gantryv1.CreateSecretRequest) (*gantryv1.Secret, error) {
	if err := own(r.GetParent(), r.GetSecret().GetName()); err != nil {
		return nil, err
	}
	wish, err := s.wish(r.GetSecret())
	if err != nil {
		return nil, err
	}
	wish.validateOnly = r.GetValidateOnly()
	r = proto.CloneOf(r)
	r.Secret = withoutContent(r.GetSecret(), wish)
	return once(ctx, s.Services, r, func() (*gantryv1.Secret, error) { return s.create(ctx, r, wish) })
}

func (s *secretService) UpdateSecret(ctx context.Context, r *gantryv1.UpdateSecretRequest) (*gantryv1.Secret, error) {
	wish, err := s.wish(r.GetSecret())
	if err != nil {
		return nil, err
	}
	wish.validateOnly, wish.release = r.GetValidateOnly(), r.GetReleaseApps()
	r = proto.CloneOf(r)
	r.Secret = withoutContent(r.GetSecret(), wish)
	return once(ctx, s.Services, r, func() (*gantryv1.Secret, error) {
		out, err := s.update(ctx, r, wish)
		if r.GetAllowMissing() && fault.HasReason(err, "SECRET_NOT_FOUND") {
			return s.create(ctx, r, wish)
		}
		return out, err
	})
}

// wish checks what a request brings.
func (s *secretService) wish(secret *gantryv1.Secret) (secretWish, error) {
	size := sizeOfAll(secret.GetData())
	switch {
	case len(secret.GetData()) == 0:
		return secretWish{}, invalid("secret.data", "a secret needs at least one key with a value")
	case size > maxSecretBytes:
		return secretWish{}, invalid("secret.data", "the values have %d bytes together, a secret may have %d; put large ones onto a volume", size, maxSecretBytes)
	}
	version, err := s.Vault.VersionOf(secret.GetName(), secret.GetData())
	return secretWish{name: secret.GetName(), etag: secret.GetEtag(), data: secret.GetData(), version: version}, err
}

func sizeOfAll(data map[string][]byte) int {
	size := 0
	for _, value := range data {
		size += len(value)
	}
	return size
}

// withoutContent is a request's secret as it may be remembered: by the keyed
// hash of its content, since anybody could try out texts on a plain one
// (rule S6).
func withoutContent(secret *gantryv1.Secret, wish secretWish) *gantryv1.Secret {
	return &gantryv1.Secret{Name: secret.GetName(), Etag: secret.GetEtag(), Version: wish.version}
}

func (s *secretService) create(ctx context.Context, r mutation, wish secretWish) (*gantryv1.Secret, error) {
	project, err := s.Store.Projects.Get(ctx, names.Parent(wish.name))
	if err != nil {
		return nil, err
	}
	if _, err := s.Store.Secrets.Get(ctx, wish.name); err == nil {
		return nil, fault.Exists("SECRET_EXISTS", "%s exists already; change it with UpdateSecret", wish.name)
	}
	item := store.Item[store.SecretRecord]{Name: wish.name, Value: wish.record(time.Now().UTC())}
	if wish.validateOnly {
		return shownSecret(item, nil), nil
	}
	change := store.NewChange()
	s.Store.Projects.Expect(change, project.Name, project.ModRevision)
	return s.put(ctx, r, change, item, wish)
}

func (w secretWish) record(created time.Time) store.SecretRecord {
	return store.SecretRecord{Name: w.name, Version: w.version, Keys: slices.Sorted(maps.Keys(w.data)), Bytes: sizeOfAll(w.data), CreateTime: created}
}

// put stores a record with the version that it names, and the answer.
func (s *secretService) put(ctx context.Context, r mutation, change *store.Change, item store.Item[store.SecretRecord], wish secretWish) (*gantryv1.Secret, error) {
	if _, err := s.Vault.Put(change, wish.name, wish.data); err != nil {
		return nil, err
	}
	s.Store.Secrets.Put(change, wish.name, item.Value, item.ModRevision)
	users, err := s.users(ctx, names.Parent(wish.name))
	if err != nil {
		return nil, err
	}
	item.ModRevision = 0
	shown := shownSecret(item, users[wish.name])
	etag, err := s.commit(ctx, change, r, shown)
	shown.Etag = etag
	return shown, err
}

// update sets the content, then releases the apps. The answer is kept with the
// last step only: whoever repeats a request that broke off carries it to its
// end. That is why the etag does not count once the content is as wanted.
func (s *secretService) update(ctx context.Context, r *gantryv1.UpdateSecretRequest, wish secretWish) (*gantryv1.Secret, error) {
	item, err := s.Store.Secrets.Get(ctx, wish.name)
	if err != nil {
		return nil, err
	}
	fresh := item.Value.Version != wish.version
	if fresh {
		if err := current(item, wish.etag); err != nil {
			return nil, err
		}
		item.Value = wish.record(item.Value.CreateTime)
	}
	change := store.NewChange()
	if fresh {
		if err := s.stillServable(ctx, change, wish.name, wish.data); err != nil {
			return nil, err
		}
	}
	if wish.validateOnly {
		return s.shown(ctx, item)
	}
	if !fresh {
		return s.finish(ctx, r, item, wish)
	}
	if !wish.release {
		defer s.prune(ctx, wish.name)
		return s.put(ctx, r, change, item, wish)
	}
	if _, err := s.put(ctx, &gantryv1.UpdateSecretRequest{}, change, item, wish); err != nil {
		return nil, err
	}
	if item, err = s.Store.Secrets.Get(ctx, wish.name); err != nil {
		return nil, err
	}
	defer s.prune(ctx, wish.name)
	return s.finish(ctx, r, item, wish)
}

// finish does what is left once the content is stored.
func (s *secretService) finish(ctx context.Context, r *gantryv1.UpdateSecretRequest, item store.Item[store.SecretRecord], wish secretWish) (*gantryv1.Secret, error) {
	if wish.release {
		if err := s.releaseApps(ctx, item); err != nil {
			return nil, err
		}
	}
	shown, err := s.shown(ctx, item)
	if err != nil {
		return nil, err
	}
	return shown, s.unchanged(ctx, r, shown, func(ch *store.Change) { s.Store.Secrets.Expect(ch, item.Name, item.ModRevision) })
}

// prune drops versions that nobody can need any more. What fails now, the next
// change of the secret does.
func (s *Services) prune(ctx context.Context, secret string) {
	if err := s.Vault.Prune(ctx, secret); err != nil {
		s.Logger.Info("old versions of a secret stay for now", "secret", secret, "error", err.Error())
	}
}

func (s *secretService) GetSecret(ctx context.Context, r *gantryv1.GetSecretRequest) (*gantryv1.Secret, error) {
	item, err := s.Store.Secrets.Get(ctx, r.GetName())
	if err != nil {
		return nil, err
	}
	return s.shown(ctx, item)
}

func (s *secretService) ListSecrets(ctx context.Context, r *gantryv1.ListSecretsRequest) (*gantryv1.ListSecretsResponse, error) {
	if err := s.inProject(ctx, r.GetParent()); err != nil {
		return nil, err
	}
	page, err := s.Store.Secrets.Page(ctx, below(r.GetParent()), sizeOf(r), r.GetPageToken(), false)
	if err != nil {
		return nil, err
	}
	users, err := s.users(ctx, r.GetParent())
	out := &gantryv1.ListSecretsResponse{NextPageToken: page.Next}
	for _, item := range page.Items {
		out.Secrets = append(out.Secrets, shownSecret(item, users[item.Name]))
	}
	return out, err
}

func (s *secretService) shown(ctx context.Context, item store.Item[store.SecretRecord]) (*gantryv1.Secret, error) {
	users, err := s.users(ctx, names.Parent(item.Name))
	return shownSecret(item, users[item.Name]), err
}

func shownSecret(item store.Item[store.SecretRecord], usedBy []string) *gantryv1.Secret {
	out := &gantryv1.Secret{
		Name: item.Value.Name, Keys: item.Value.Keys, Version: item.Value.Version, UsedBy: usedBy,
		CreateTime: timestamppb.New(item.Value.CreateTime),
	}
	if item.ModRevision != 0 {
		out.Etag = item.ETag()
	}
	return out
}

func (s *secretService) DeleteSecret(ctx context.Context, r *gantryv1.DeleteSecretRequest) (*emptypb.Empty, error) {
	return again(ctx, func() (*emptypb.Empty, error) { return &emptypb.Empty{}, s.delete(ctx, r) })
}

func (s *secretService) delete(ctx context.Context, r *gantryv1.DeleteSecretRequest) error {
	item, err := s.Store.Secrets.Get(ctx, r.GetName())
	if err != nil {
		return err
	}
	if err := current(item, r.GetEtag()); err != nil {
		return err
	}
	change := store.NewChange()
	if err := s.unused(ctx, change, item.Name, "SECRET_IN_USE"); err != nil {
		return err
	}
	s.Store.Secrets.Delete(change, item.Name, item.ModRevision)
	s.Store.SecretVersions.DeleteAll(change, store.SecretVersionName(item.Name, ""))
	if _, err = s.Store.Commit(ctx, change); err != nil {
		return fmt.Errorf("delete %s: %w", item.Name, err)
	}
	return nil
}
