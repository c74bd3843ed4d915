package render_test

import (
	"path/filepath"
	"strings"
	"testing"

	"gantry.dev/pkg/fault"
	ipaasv1 "gantry.dev/proto/gen/gantry/ipaas/v1"
	gantryv1 "gantry.dev/proto/gen/gantry/v1"
	"gantry.dev/services/ipaas/internal/render"
	"k8s.io/apimachinery/pkg/util/validation"
	"pgregory.net/rapid"
	"sigs.k8s.io/yaml"
)

const db = "projects/pay/secrets/db"

func versionOf(digit string) string { return "sha256:" + strings.Repeat(digit, 64) }

// stocked is an app with secrets and volumes.
func stocked() *ipaasv1.Workload {
	w := least()
	w.SecretVersions = map[string]string{db: versionOf("a"), "projects/pay/secrets/tls": versionOf("b")}
	w.Spec.Env = []*gantryv1.EnvVar{{Name: "PASSWORD", Secret: &gantryv1.SecretKey{Secret: db, Key: "password"}}}
	w.Spec.Files = []*gantryv1.ConfigFile{
		{Path: "/etc/web/web.toml", Content: "mode = \"fast\"\n"},
		{Path: "/etc/tls/key.pem", Secret: &gantryv1.SecretKey{Secret: "projects/pay/secrets/tls", Key: "tls.key"}},
		{Path: "/etc/tls/crt.pem", Secret: &gantryv1.SecretKey{Secret: "projects/pay/secrets/tls", Key: "tls.crt"}},
	}
	w.Spec.Volumes = []*gantryv1.VolumeMount{
		{Volume: "projects/pay/volumes/data", Path: "/data"}, {Volume: "projects/pay/volumes/models", Path: "/models", ReadOnly: true},
	}
	return w
}

func TestGoldenOfWhatIsBrought(t *testing.T) {
	objects, err := render.Render("site-a", stocked())
	if err != nil {
		t.Fatal(err)
	}
	compare(t, filepath.Join("testdata", "stocked.yaml"), text(t, objects))
	b, err := render.Bring(&ipaasv1.ApplyConfigRequest{
		App: least().GetApp(), Release: 3, Files: stocked().GetSpec().GetFiles(),
		Secrets: []*ipaasv1.SecretContent{{Name: db, Version: versionOf("a"), Data: map[string][]byte{"password": []byte("pw")}}},
		Volumes: []*gantryv1.Volume{{Name: "projects/pay/volumes/data", Capacity: "5Gi", Sources: []*gantryv1.VolumeSource{{
			Cluster: "clusters/site-a", Source: &gantryv1.VolumeSource_Nfs{Nfs: &gantryv1.NfsVolume{Server: "10.0.0.9", Path: "/exports/pay"}},
		}}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	var documents []string
	for _, object := range []any{b.Config, b.Secrets[0], b.Volumes[0].Volume, b.Volumes[0].Claim} {
		document, err := yaml.Marshal(object)
		if err != nil {
			t.Fatal(err)
		}
		documents = append(documents, string(document))
	}
	compare(t, filepath.Join("testdata", "brought.yaml"), strings.Join(documents, "---\n"))
}

// The object's name tells the version, and Kubernetes takes it.
func TestNamesOfSecrets(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		id := rapid.StringMatching(`[a-z]([-a-z0-9]{0,38}[a-z0-9])?`)
		secret := "projects/pay/secrets/" + id.Draw(t, "secret")
		app := web
		app.App = id.Draw(t, "app")
		a, b := render.SecretName(app, secret, versionOf("a")), render.SecretName(app, secret, versionOf("b"))
		if errs := validation.IsDNS1123Subdomain(a); len(errs) > 0 || a == b {
			t.Fatalf("%q and %q: %v", a, b, errs)
		}
	})
}

func TestMaterialsThatAreRefused(t *testing.T) {
	for name, tc := range map[string]struct {
		change func(*ipaasv1.Workload)
		reason string
	}{
		"no version":             {func(w *ipaasv1.Workload) { w.SecretVersions = nil }, "SECRET_VERSION"},
		"no hash":                {func(w *ipaasv1.Workload) { w.SecretVersions[db] = "sha256:../../x" }, "SECRET_VERSION"},
		"a secret of others":     {func(w *ipaasv1.Workload) { w.Spec.Env[0].Secret.Secret = "projects/shop/secrets/db" }, "SECRET_NAME"},
		"a volume of others":     {func(w *ipaasv1.Workload) { w.Spec.Volumes[0].Volume = "projects/shop/volumes/data" }, "VOLUME_NAME"},
		"a file in a volume":     {func(w *ipaasv1.Workload) { w.Spec.Volumes[0].Path = "/etc" }, "CONFIG_PATH"},
		"a volume in a volume":   {func(w *ipaasv1.Workload) { w.Spec.Volumes[1].Path = "/data/models" }, "CONFIG_PATH"},
		"two at one path":        {func(w *ipaasv1.Workload) { w.Spec.Volumes[1].Path = "/data" }, "CONFIG_PATH"},
		"a volume of the kernel": {func(w *ipaasv1.Workload) { w.Spec.Volumes[0].Path = "/proc/x" }, "CONFIG_PATH"},
		"all is well":            {func(*ipaasv1.Workload) {}, ""},
	} {
		w := stocked()
		tc.change(w)
		_, err := render.Render("site-a", w)
		if tc.reason == "" && err != nil || tc.reason != "" && !fault.HasReason(err, tc.reason) {
			t.Errorf("%s: %v, want %q", name, err, tc.reason)
		}
	}
	two := &gantryv1.Volume{Name: "projects/pay/volumes/data", Sources: []*gantryv1.VolumeSource{{}, {}}}
	if _, err := render.VolumeOf(web, two); !fault.HasReason(err, "VOLUME_SOURCE") {
		t.Errorf("two sources: %v", err)
	}
}
