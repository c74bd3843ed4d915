package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const materials = `kind: App
name: web
spec:
  image: hello:v1
  replicas: 2
  env:
    - name: PASSWORD
      secret: {secret: db, key: password}
  files:
    - path: /etc/web/key.pem
      secret: {secret: db, key: key.pem}
  volumes:
    - {volume: data, path: /data}
---
kind: Volume
name: data
capacity: 10Gi
sources:
  - cluster: site-a
    nfs: {server: 10.0.0.9, path: /exports/pay}
  - cluster: site-b
    csi: {driver: cephfs.csi.ceph.com, volumeHandle: x1, attributes: {fsName: pay}}
---
kind: Secret
name: db
data:
  password: "correct horse"
  key.pem: !!binary AAH/
`

func TestSecrets(t *testing.T) {
	p, config := startPlatform(t)
	file := filepath.Join(t.TempDir(), "key.pem")
	if err := os.WriteFile(file, []byte("one\ntwo\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name, in string
		args     []string
		code     int
		out, err string
	}{
		{"dry run", "", []string{"secret", "set", "db", "--from-literal", "user=pay", "--dry-run"}, 0, "secret/db created (dry run)\n", ""},
		{"make", "s3cret", []string{"secret", "set", "db", "--from-literal", "user=a=b", "--from-file", "password=-", "--from-file", file}, 0, "secret/db created\n", ""},
		{"again", "s3cret", []string{"secret", "set", "secret/db", "--from-literal", "user=a=b", "--from-file", "password=-", "--from-file", file}, 0, "secret/db unchanged\n", ""},
		{"replace", "", []string{"secret", "set", "db", "--from-literal", "user=x"}, 0, "secret/db configured\n", "takes effect with the next release of app/web; --release-apps makes one\n"},
		{"release", "", []string{"secret", "set", "db", "--from-literal", "user=y", "--release-apps"}, 0, "secret/db configured\n", "released with it: app/web\n"},
		{"nothing", "", []string{"secret", "set", "db"}, 2, "", "--from-literal KEY=VALUE"},
		{"no value", "", []string{"secret", "set", "db", "--from-literal", "hush"}, 2, "", "write --from-literal KEY=VALUE"},
		{"twice", "", []string{"secret", "set", "db", "--from-literal", "a=1", "--from-literal", "a=2"}, 2, "", "the key a is given twice"},
		{"no file", "", []string{"secret", "set", "db", "--from-file", "a=/does/not/exist"}, 1, "", "cannot read the value"},
		{"delete", "", []string{"delete", "secret", "db"}, 0, "secret/db deleted\n", ""},
	} {
		got := gantry(t, config, tt.in, tt.args...)
		if got.code != tt.code || got.out != tt.out || !strings.Contains(got.err, tt.err) || strings.Contains(got.err, "hush") {
			t.Errorf("%s: got %d\nout: %s\nerr: %s", tt.name, got.code, got.out, got.err)
		}
		if tt.name == "make" {
			want := map[string][]byte{"user": []byte("a=b"), "password": []byte("s3cret"), "key.pem": []byte("one\ntwo\n")}
			if diff := cmp.Diff(want, p.contents["projects/hello/secrets/db"]); diff != "" {
				t.Errorf("content (-want +got):\n%s", diff)
			}
		}
	}
	if !p.released {
		t.Error("--release-apps was not asked for")
	}
}

// What apps refer to is applied first; text is as it is written, the rest by
// !!binary.
func TestSecretsAndVolumesFromAFile(t *testing.T) {
	p, config := startPlatform(t)
	got := gantry(t, config, materials, "apply", "-f", "-")
	if got.code != 0 || got.out != "volume/data created\nsecret/db created\napp/web created\n" {
		t.Fatalf("%+v", got)
	}
	want := map[string][]byte{"password": []byte("correct horse"), "key.pem": {0, 1, 255}}
	if diff := cmp.Diff(want, p.contents["projects/hello/secrets/db"]); diff != "" {
		t.Errorf("content (-want +got):\n%s", diff)
	}
	spec := p.apps["projects/hello/apps/web"].GetSpec()
	if spec.GetEnv()[0].GetSecret().GetSecret() != "projects/hello/secrets/db" || spec.GetVolumes()[0].GetVolume() != "projects/hello/volumes/data" {
		t.Errorf("short names in %v", spec)
	}
	if got := gantry(t, config, materials, "apply", "-f", "-"); got.out != "volume/data unchanged\nsecret/db unchanged\napp/web unchanged\n" {
		t.Errorf("again: %+v", got)
	}
	for args, want := range map[string]string{
		"get secrets": "secrets", "get secret db -o yaml": "secret-yaml",
		"get volumes -o wide": "volumes-wide", "get volume data -o yaml": "volume-yaml",
	} {
		got := gantry(t, config, "", strings.Fields(args)...)
		if got.code != 0 {
			t.Errorf("%s: %+v", args, got)
		}
		golden(t, want, got.out)
	}
	volume := gantry(t, config, "", "get", "volume", "data", "-o", "yaml")
	if back := gantry(t, config, volume.out, "apply", "-f", "-"); back.out != "volume/data unchanged\n" {
		t.Errorf("what was shown is not what it was: %+v", back)
	}
	if got := gantry(t, config, materials, "delete", "-f", "-"); got.code != 0 || len(p.volumes)+len(p.secrets) != 0 {
		t.Errorf("%+v", got)
	}
	for _, tt := range []struct{ in, want string }{
		{"kind: Secret\nname: a\ndata: [x]\n", "-:3:7: data: expected names with values (a mapping), found a list"},
		{"kind: Secret\nname: a\ndata: {pin: 1234}\n", `data.pin: expected text, found the number 1234; put it in quotes: "1234"`},
		{"kind: Secret\nname: a\ndata: {a: x, a: y}\n", "data.a: this name is set twice"},
		{"kind: Secret\nname: a\ndata: {a: !!binary '%'}\n", "data.a: this is not base64"},
	} {
		if got := gantry(t, config, tt.in, "apply", "-f", "-"); got.code != 1 || !strings.Contains(got.err, tt.want) {
			t.Errorf("%s: %+v", tt.in, got)
		}
	}
}
