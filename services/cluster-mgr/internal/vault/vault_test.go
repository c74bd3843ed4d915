package vault_test

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"testing"

	"gantry.dev/pkg/etcdkv/etcdtest"
	"gantry.dev/pkg/fault"
	"gantry.dev/pkg/seal"
	gantryv1 "gantry.dev/proto/gen/gantry/v1"
	"gantry.dev/services/cluster-mgr/internal/store"
	"gantry.dev/services/cluster-mgr/internal/vault"
	"github.com/google/go-cmp/cmp"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const db = "projects/pay/secrets/db"

type data = map[string][]byte

// safe is a vault over a real etcd.
type safe struct {
	t      *testing.T
	client *clientv3.Client
	store  *store.Store
	key    seal.Key
	*vault.Vault
}

func newSafe(t *testing.T) *safe {
	t.Helper()
	s := &safe{t: t, client: etcdtest.Start(t).Client(t), key: seal.New()}
	s.store = store.New(s.client)
	s.Vault = vault.New(s.store, s.key)
	return s
}

func (s *safe) ok(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

// set makes d the current content of a secret and gives its version.
func (s *safe) set(secret string, d data) string {
	s.t.Helper()
	change := store.NewChange()
	version, err := s.Put(change, secret, d)
	s.ok(err)
	s.store.Secrets.Put(change, secret, store.SecretRecord{Name: secret, Version: version}, store.Any)
	_, err = s.store.Commit(s.t.Context(), change)
	s.ok(err)
	return version
}

// release stores a release that has this version of db.
func (s *safe) release(number int32, version string) {
	s.t.Helper()
	name := store.ReleaseName("projects/pay/apps/web", number)
	change := store.NewChange()
	s.store.Releases.Put(change, name, &gantryv1.Release{Name: name, SecretVersions: map[string]string{db: version}}, 0)
	_, err := s.store.Commit(s.t.Context(), change)
	s.ok(err)
}

func TestWhatIsPutComesBack(t *testing.T) {
	s := newSafe(t)
	first := s.set(db, data{"user": []byte("ann"), "binary": {0, 255, 10}})
	second := s.set(db, data{"user": []byte("bob")})
	version, got, err := s.Current(t.Context(), db)
	s.ok(err)
	if diff := cmp.Diff(data{"user": []byte("bob")}, got); diff != "" || version != second {
		t.Errorf("current %s (-want +got):\n%s", version, diff)
	}
	old, err := s.Version(t.Context(), db, first)
	s.ok(err)
	if diff := cmp.Diff(data{"user": []byte("ann"), "binary": {0, 255, 10}}, old); diff != "" {
		t.Errorf("the first version (-want +got):\n%s", diff)
	}
	if again := s.set(db, data{"binary": {0, 255, 10}, "user": []byte("ann")}); again != first {
		t.Errorf("the same content is %s and %s", first, again)
	}
	if other := s.set("projects/pay/secrets/other", data{"user": []byte("bob")}); other == second {
		t.Error("the version tells that two secrets are equal")
	}
}

// rule S6
func TestTheStoreSeesNothing(t *testing.T) {
	s := newSafe(t)
	const text = "correct horse battery staple"
	s.set(db, data{"password": []byte(text)})
	all, err := s.client.Get(t.Context(), "/", clientv3.WithPrefix())
	s.ok(err)
	for _, kv := range all.Kvs {
		if bytes.Contains(kv.Value, []byte("battery")) || bytes.Contains(kv.Value, []byte("Y29ycmVjdCBob3JzZS")) { // in base64
			t.Errorf("%s holds the text: %s", kv.Key, kv.Value)
		}
	}
	first, err := s.store.SecretVersions.Get(t.Context(), s.versionName(db))
	s.ok(err)
	s.set(db, data{"password": []byte(text)})
	second, err := s.store.SecretVersions.Get(t.Context(), s.versionName(db))
	s.ok(err)
	if bytes.Equal(first.Value.SealedKey, second.Value.SealedKey) || bytes.Equal(first.Value.Sealed, second.Value.Sealed) {
		t.Error("two versions share a key")
	}
}

func (s *safe) versionName(secret string) string {
	s.t.Helper()
	record, err := s.store.Secrets.Get(s.t.Context(), secret)
	s.ok(err)
	return store.SecretVersionName(secret, record.Value.Version)
}

// rule S6: nothing opens with another key, in another place, or without a key;
// a new key in front of the old one opens what the old one sealed.
func TestWhatDoesNotOpen(t *testing.T) {
	s := newSafe(t)
	version := s.set(db, data{"a": []byte("1")})
	moved := "projects/pay/secrets/other"
	item, err := s.store.SecretVersions.Get(t.Context(), store.SecretVersionName(db, version))
	s.ok(err)
	change := store.NewChange()
	s.store.SecretVersions.Put(change, store.SecretVersionName(moved, version), item.Value, 0)
	_, err = s.store.Commit(t.Context(), change)
	s.ok(err)
	rotated, err := seal.Parse(seal.New().String() + s.key.String())
	s.ok(err)
	for _, tc := range []struct {
		name, secret, reason string
		vault                *vault.Vault
	}{
		{"another key", db, "SECRET_UNREADABLE", vault.New(s.store, seal.New())},
		{"another place", moved, "SECRET_UNREADABLE", s.Vault},
		{"no key", db, "SECRET_KEY_MISSING", vault.New(s.store, seal.Key{})},
		{"no such version", "projects/pay/secrets/none", "SECRET_VERSION_NOT_FOUND", s.Vault},
		{"a new key in front", db, "", vault.New(s.store, rotated)},
	} {
		_, err := tc.vault.Version(t.Context(), tc.secret, version)
		if tc.reason == "" && err != nil || tc.reason != "" && !fault.HasReason(err, tc.reason) {
			t.Errorf("%s: %v, want %q", tc.name, err, tc.reason)
		}
	}
	if _, _, err := s.Current(t.Context(), "projects/pay/secrets/none"); !fault.HasReason(err, "SECRET_NOT_FOUND") {
		t.Errorf("no such secret: %v", err)
	}
	if _, err := vault.New(s.store, seal.Key{}).Put(store.NewChange(), db, nil); !fault.HasReason(err, "SECRET_KEY_MISSING") || !strings.Contains(err.Error(), "--secret-key") {
		t.Errorf("sealing without a key: %v", err)
	}
}

// Versions stay as long as a release could be rolled back to.
func TestOldVersionsGoWhenNothingNamesThem(t *testing.T) {
	s := newSafe(t)
	var versions []string
	for n := range 4 {
		versions = append(versions, s.set(db, data{"n": []byte(fmt.Sprint(n))}))
	}
	s.release(1, versions[1])
	s.set(db+"-2", data{"n": nil}) // its versions sort next to these
	left := func() []string {
		items, _, err := s.store.SecretVersions.List(t.Context(), "")
		s.ok(err)
		var out []string
		for _, item := range items {
			for n, v := range versions {
				if item.Name == store.SecretVersionName(db, v) {
					out = append(out, fmt.Sprint(n))
				}
			}
		}
		return out
	}
	s.ok(s.Prune(t.Context(), db))
	if got := left(); len(got) != 2 {
		t.Errorf("left %v, want 1 (a release has it) and 3 (current)", got)
	}
	if _, err := s.Version(t.Context(), db, versions[1]); err != nil {
		t.Errorf("a rollback does not find its version: %v", err)
	}
	if _, _, err := s.Current(t.Context(), db+"-2"); err != nil {
		t.Errorf("another secret lost its version: %v", err)
	}
}

// A release made while versions are dropped keeps its own.
func TestAReleaseMeanwhileStopsPruning(t *testing.T) {
	s := newSafe(t)
	first := s.set(db, data{"n": []byte("0")})
	s.set(db, data{"n": []byte("1")})
	kv := s.client.KV
	s.client.KV = &meanwhile{KV: kv, do: func() { s.client.KV = kv; s.release(1, first) }}
	if err := s.Prune(t.Context(), db); !fault.HasReason(err, "CHANGED_MEANWHILE") {
		t.Errorf("%v, want CHANGED_MEANWHILE", err)
	}
	if _, err := s.Version(t.Context(), db, first); err != nil {
		t.Errorf("the release lost its version: %v", err)
	}
}

// meanwhile does something before the next transaction.
type meanwhile struct {
	clientv3.KV
	do func()
}

func (m *meanwhile) Txn(ctx context.Context) clientv3.Txn {
	m.do()
	return m.KV.Txn(ctx)
}
