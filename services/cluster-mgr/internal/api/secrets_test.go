package api_test

import (
	"bytes"
	"strings"
	"testing"

	"gantry.dev/pkg/fault"
	"gantry.dev/pkg/seal"
	gantryv1 "gantry.dev/proto/gen/gantry/v1"
	"gantry.dev/services/cluster-mgr/internal/store"
	"github.com/google/go-cmp/cmp"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

const db = "projects/pay/secrets/db"

func (h *harness) secrets() gantryv1.SecretServiceClient {
	return gantryv1.NewSecretServiceClient(h.conn)
}

// set gives db these keys and values.
func (h *harness) set(pairs ...string) *gantryv1.Secret {
	h.t.Helper()
	out, err := h.secrets().UpdateSecret(h.as("ann"), &gantryv1.UpdateSecretRequest{Secret: secret(pairs...), AllowMissing: true})
	h.ok(err)
	return out
}

func secret(pairs ...string) *gantryv1.Secret {
	out := &gantryv1.Secret{Name: db, Data: map[string][]byte{}}
	for i := 0; i < len(pairs); i += 2 {
		out.Data[pairs[i]] = []byte(pairs[i+1])
	}
	return out
}

// withSecret takes a key of a secret as a variable and as a file.
func withSecret(name, key string) func(*gantryv1.AppSpec) {
	return func(s *gantryv1.AppSpec) {
		s.Env = []*gantryv1.EnvVar{{Name: "MODE", Value: "fast"}, {Name: "PASSWORD", Secret: &gantryv1.SecretKey{Secret: name, Key: key}}}
		s.Files = []*gantryv1.ConfigFile{{Path: "/etc/plain", Content: "x"}, {Path: "/etc/password", Secret: &gantryv1.SecretKey{Secret: name, Key: key}}}
	}
}

// versions are those of db that the app's releases have, the newest first.
func (h *harness) versions() []string {
	h.t.Helper()
	list, err := gantryv1.NewAppServiceClient(h.conn).ListReleases(h.as("ann"), &gantryv1.ListReleasesRequest{Parent: web().GetName()})
	h.ok(err)
	var out []string
	for _, r := range list.GetReleases() {
		out = append(out, r.GetSecretVersions()[db])
	}
	return out
}

// rules E2, S6
func TestNoAnswerTellsASecret(t *testing.T) {
	h := newHarness(t)
	h.platform()
	const text = "correct horse battery staple"
	var answers []proto.Message
	add := func(m proto.Message, err error) { h.ok(err); answers = append(answers, m) }
	add(h.secrets().CreateSecret(h.as("ann"), &gantryv1.CreateSecretRequest{Parent: "projects/pay", Secret: secret("password", text, "user", "ann"), RequestId: "1"}))
	add(h.secrets().CreateSecret(h.as("ann"), &gantryv1.CreateSecretRequest{Parent: "projects/pay", Secret: secret("password", text, "user", "ann"), RequestId: "1"}))
	add(h.secrets().UpdateSecret(h.as("ann"), &gantryv1.UpdateSecretRequest{Secret: secret("password", text+"!", "user", "ann"), RequestId: "2"}))
	add(h.secrets().UpdateSecret(h.as("ann"), &gantryv1.UpdateSecretRequest{Secret: secret("password", text), ValidateOnly: true}))
	add(h.secrets().GetSecret(h.as("vic"), &gantryv1.GetSecretRequest{Name: db}))
	add(h.secrets().ListSecrets(h.as("vic"), &gantryv1.ListSecretsRequest{Parent: "projects/pay"}))
	add(h.apply(web(withSecret(db, "password"))))
	for _, m := range answers {
		if b, err := protojson.Marshal(m); err != nil || strings.Contains(string(b), "battery") || strings.Contains(string(b), "Y29ycmVjdCBob3JzZS") {
			t.Errorf("%s: %v", b, err)
		}
	}
	all, err := h.client.Get(t.Context(), "/", clientv3.WithPrefix())
	h.ok(err)
	for _, kv := range all.Kvs {
		if bytes.Contains(kv.Value, []byte("battery")) {
			t.Errorf("%s holds the text", kv.Key)
		}
	}
	got, err := h.secrets().GetSecret(h.as("vic"), &gantryv1.GetSecretRequest{Name: db})
	h.ok(err)
	if diff := cmp.Diff([]string{"password", "user"}, got.GetKeys()); diff != "" || len(got.GetData()) > 0 || got.GetCreateTime() == nil || got.GetEtag() == "" {
		t.Errorf("shown as %v", got)
	}
	if diff := cmp.Diff([]string{web().GetName()}, got.GetUsedBy()); diff != "" {
		t.Errorf("used by:\n%s", diff)
	}
}

// rule S6: who reads the store cannot try out texts on what is kept of a
// request; the same id for another content is still noticed.
func TestARequestIsRememberedByAKeyedHash(t *testing.T) {
	h := newHarness(t)
	h.platform()
	r := &gantryv1.CreateSecretRequest{Parent: "projects/pay", Secret: secret("pin", "1234"), RequestId: "x"}
	_, err := h.secrets().CreateSecret(h.as("ann"), r)
	h.ok(err)
	kept, err := h.store.Requests.Get(t.Context(), "ann/x")
	h.ok(err)
	other := newHarness(t)
	other.platform()
	_, err = other.secrets().CreateSecret(other.as("ann"), r)
	other.ok(err)
	elsewhere, err := other.store.Requests.Get(t.Context(), "ann/x")
	other.ok(err)
	if bytes.Equal(kept.Value.Request, elsewhere.Value.Request) {
		t.Error("under another key the request looks the same")
	}
	r.Secret = secret("pin", "1235")
	_, err = h.secrets().CreateSecret(h.as("ann"), r)
	h.refused(err, "REQUEST_ID_REUSED")
}

func TestSecretsOnlyForWhoMay(t *testing.T) {
	h := newHarness(t)
	h.platform()
	h.set("a", "1")
	_, err := h.secrets().UpdateSecret(h.as("vic"), &gantryv1.UpdateSecretRequest{Secret: secret("a", "2")})
	h.refused(err, "PERMISSION_DENIED")
	_, err = h.secrets().DeleteSecret(h.as("vic"), &gantryv1.DeleteSecretRequest{Name: db})
	h.refused(err, "PERMISSION_DENIED")
	_, err = h.secrets().GetSecret(h.as("eve"), &gantryv1.GetSecretRequest{Name: db})
	h.refused(err, "PROJECT_NOT_FOUND")
	_, err = h.secrets().CreateSecret(h.as("ann"), &gantryv1.CreateSecretRequest{Parent: "projects/pay", Secret: secret("a", "1")})
	h.refused(err, "SECRET_EXISTS")
	_, err = h.secrets().UpdateSecret(h.as("ann"), &gantryv1.UpdateSecretRequest{Secret: &gantryv1.Secret{Name: db}})
	h.refused(err, "INVALID_FIELDS")
	_, err = h.secrets().UpdateSecret(h.as("ann"), &gantryv1.UpdateSecretRequest{Secret: secret("a", strings.Repeat("x", 256<<10), "b", "x")})
	h.refused(err, "INVALID_FIELDS")
	stale := secret("a", "3")
	stale.Etag = "1"
	_, err = h.secrets().UpdateSecret(h.as("ann"), &gantryv1.UpdateSecretRequest{Secret: stale})
	h.refused(err, "ETAG_MISMATCH")
	_, err = h.secrets().UpdateSecret(h.as("ann"), &gantryv1.UpdateSecretRequest{Secret: &gantryv1.Secret{Name: "projects/pay/secrets/none", Data: map[string][]byte{"a": nil}}})
	h.refused(err, "SECRET_NOT_FOUND")
}

func TestWithoutAKeyThereAreNoSecrets(t *testing.T) {
	h := newHarnessWith(t, seal.Key{})
	h.platform()
	_, err := h.secrets().CreateSecret(h.as("ann"), &gantryv1.CreateSecretRequest{Parent: "projects/pay", Secret: secret("a", "1")})
	h.refused(err, "SECRET_KEY_MISSING")
	if !strings.Contains(err.Error(), "--secret-key") {
		t.Errorf("%v does not say what to do", err)
	}
	_, err = h.apply(web())
	h.ok(err)
}

// A release takes the present version, a change of size keeps it, a rollback
// brings the old one back.
func TestAReleaseHasItsVersionsOfSecrets(t *testing.T) {
	h := newHarness(t)
	h.platform()
	first := h.set("password", "1").GetVersion()
	app := web(withSecret(db, "password"))
	_, err := h.apply(app)
	h.ok(err)
	second := h.set("password", "2").GetVersion()
	app.Spec.Replicas = 3
	_, err = h.apply(app)
	h.ok(err)
	if diff := cmp.Diff([]string{first}, h.versions()); diff != "" {
		t.Errorf("after a change of size:\n%s", diff)
	}
	app.Spec.Image = "hello:v2"
	_, err = h.apply(app)
	h.ok(err)
	h.set("key", "3") // the release to go back to has a key that this one lacks
	_, err = gantryv1.NewAppServiceClient(h.conn).RollbackApp(h.as("ann"), &gantryv1.RollbackAppRequest{Name: app.GetName(), Release: 1})
	h.ok(err)
	if diff := cmp.Diff([]string{first, second, first}, h.versions()); diff != "" {
		t.Errorf("after a rollback:\n%s", diff)
	}
	for _, version := range []string{first, second} {
		if _, err := h.vault.Version(t.Context(), db, version); err != nil {
			t.Errorf("a version that a release has is gone: %v", err)
		}
	}
}

func TestVersionsGoWithTheLastAppThatHasThem(t *testing.T) {
	h := newHarness(t)
	h.platform()
	first := h.set("password", "1").GetVersion()
	_, err := h.apply(web(withSecret(db, "password")))
	h.ok(err)
	second := h.set("password", "2").GetVersion()
	_, err = h.vault.Version(t.Context(), db, first)
	h.ok(err)
	_, err = gantryv1.NewAppServiceClient(h.conn).DeleteApp(h.as("ann"), &gantryv1.DeleteAppRequest{Name: web().GetName()})
	h.ok(err)
	_, err = h.vault.Version(t.Context(), db, first)
	h.refused(err, "SECRET_VERSION_NOT_FOUND")
	_, err = h.vault.Version(t.Context(), db, second)
	h.ok(err)
}

func TestReleasingTheAppsOfASecret(t *testing.T) {
	h := newHarness(t)
	h.platform()
	h.set("password", "1")
	_, err := h.apply(web(withSecret(db, "password")))
	h.ok(err)
	other := web()
	other.Name = "projects/pay/apps/other"
	_, err = h.apply(other)
	h.ok(err)
	h.images["site-a:5000/hello:v1"] = "sha256:moved" // the app did not ask for another image
	update := func(id string) *gantryv1.Secret {
		t.Helper()
		out, err := h.secrets().UpdateSecret(h.as("ann"), &gantryv1.UpdateSecretRequest{Secret: secret("password", "2"), ReleaseApps: true, RequestId: id})
		h.ok(err)
		return out
	}
	version := update("a").GetVersion()
	list, err := gantryv1.NewAppServiceClient(h.conn).ListReleases(h.as("ann"), &gantryv1.ListReleasesRequest{Parent: web().GetName()})
	h.ok(err)
	newest := list.GetReleases()[0]
	if newest.GetNumber() != 2 || newest.GetSecretVersions()[db] != version || newest.GetDigest() != "sha256:1111" {
		t.Errorf("released %v", newest)
	}
	update("a")
	update("b")
	if got := len(h.versions()); got != 2 {
		t.Errorf("%d releases, want no more than 2", got)
	}
	untouched, err := gantryv1.NewAppServiceClient(h.conn).GetApp(h.as("ann"), &gantryv1.GetAppRequest{Name: other.GetName()})
	h.ok(err)
	if untouched.GetStatus().GetRelease() != 1 {
		t.Error("an app that does not use the secret was released")
	}
}

// What broke off between the secret and the releases, a repeat of the request
// completes (rule S5).
func TestAReleaseThatBrokeOffIsCompleted(t *testing.T) {
	h := newHarness(t)
	h.platform()
	first := h.set("password", "1")
	_, err := h.apply(web(withSecret(db, "password")))
	h.ok(err)
	wish := secret("password", "2")
	wish.Etag = first.GetEtag()
	// The process died when only this was stored.
	change := store.NewChange()
	version, err := h.vault.Put(change, db, wish.GetData())
	h.ok(err)
	h.store.Secrets.Put(change, db, store.SecretRecord{Name: db, Version: version, Keys: []string{"password"}}, store.Any)
	_, err = h.store.Commit(t.Context(), change)
	h.ok(err)
	_, err = h.secrets().UpdateSecret(h.as("ann"), &gantryv1.UpdateSecretRequest{Secret: wish, ReleaseApps: true, RequestId: "a"})
	h.ok(err)
	if diff := cmp.Diff([]string{version, first.GetVersion()}, h.versions()); diff != "" {
		t.Errorf("releases have:\n%s", diff)
	}
}

func TestSecretsInUseStay(t *testing.T) {
	h := newHarness(t)
	h.platform()
	h.set("password", "1")
	_, err := h.apply(web(withSecret(db, "password")))
	h.ok(err)
	remove := func() error {
		_, err := h.secrets().DeleteSecret(h.as("ann"), &gantryv1.DeleteSecretRequest{Name: db})
		return err
	}
	h.refused(remove(), "SECRET_IN_USE")
	_, err = gantryv1.NewProjectServiceClient(h.conn).DeleteProject(h.admin(), &gantryv1.DeleteProjectRequest{Name: "projects/pay"})
	h.refused(err, "PROJECT_NOT_EMPTY")
	_, err = h.apply(web())
	h.ok(err)
	h.meanwhile(func() {
		_, err := h.apply(web(withSecret(db, "password")))
		h.ok(err)
	})
	h.refused(remove(), "SECRET_IN_USE")
	_, err = h.apply(web())
	h.ok(err)
	h.ok(remove())
	if versions, _, err := h.store.SecretVersions.List(t.Context(), ""); err != nil || len(versions) > 0 {
		t.Errorf("%d versions outlive their secret: %v", len(versions), err)
	}
	_, err = gantryv1.NewAppServiceClient(h.conn).RollbackApp(h.as("ann"), &gantryv1.RollbackAppRequest{Name: web().GetName(), Release: 1})
	h.refused(err, "INVALID_FIELDS")
	h.set("password", "1") // the same again, yet not that of the release
	h.set("password", "2")
	_, err = gantryv1.NewAppServiceClient(h.conn).RollbackApp(h.as("ann"), &gantryv1.RollbackAppRequest{Name: web().GetName(), Release: 1})
	h.ok(err)
}

func TestSpecsWithSecretsAndVolumesThatAreRefused(t *testing.T) {
	h := newHarness(t)
	h.platform()
	h.set("password", "1")
	h.volume(dataVolume())
	mount := func(mounts ...*gantryv1.VolumeMount) func(*gantryv1.AppSpec) {
		return func(s *gantryv1.AppSpec) {
			s.Files, s.Volumes = []*gantryv1.ConfigFile{{Path: "/etc/web/web.toml"}}, mounts
		}
	}
	at := func(path string) *gantryv1.VolumeMount {
		return &gantryv1.VolumeMount{Volume: dataVolume().GetName(), Path: path}
	}
	for _, tc := range []struct {
		name   string
		change func(*gantryv1.AppSpec)
		field  string
	}{
		{"no such secret", withSecret("projects/pay/secrets/none", "password"), "app.spec.env[1].secret.secret"},
		{"a secret of others", withSecret("projects/shop/secrets/db", "password"), "app.spec.env[1].secret.secret"},
		{"no such key", withSecret(db, "none"), "app.spec.env[1].secret.key"},
		{"no such key for a file", func(s *gantryv1.AppSpec) {
			withSecret(db, "none")(s)
			s.Env = nil
		}, "app.spec.files[1].secret.key"},
		{"a value and a secret", func(s *gantryv1.AppSpec) { withSecret(db, "password")(s); s.Env[1].Value = "x" }, "app.spec.env[1]"},
		{"no such volume", mount(&gantryv1.VolumeMount{Volume: "projects/pay/volumes/none", Path: "/data"}), "app.spec.volumes[0].volume"},
		{"a volume of others", mount(&gantryv1.VolumeMount{Volume: "projects/shop/volumes/data", Path: "/data"}), "app.spec.volumes[0].volume"},
		{"two at one path", mount(at("/data"), at("/data")), "app.spec.volumes[1].path"},
		{"a volume in a volume", mount(at("/data"), at("/data/x")), "app.spec.volumes[1].path"},
		{"a volume over a file", mount(at("/etc/web/web.toml")), "app.spec.volumes[0].path"},
		{"a file in a volume", mount(at("/etc/web")), "app.spec.volumes[0].path"},
		{"a volume of the system", mount(at("/proc/x")), "app.spec.volumes[0].path"},
	} {
		_, err := h.apply(web(tc.change))
		h.refused(err, "INVALID_FIELDS")
		if v := fault.From(err).Violations; len(v) == 0 || v[0].Field != tc.field || v[0].Description == "" {
			t.Errorf("%s: %v names %v, want %s", tc.name, err, v, tc.field)
		}
	}
}
