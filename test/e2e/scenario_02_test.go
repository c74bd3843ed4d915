package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// manifest is the sample app's, with one thing replaced.
func manifest(t *testing.T, old, replacement string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(repo, "examples", "hello", "app.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(b), old) {
		t.Fatalf("the sample's manifest has no %q", old)
	}
	return strings.Replace(string(b), old, replacement, 1)
}

func Test02BadInput(t *testing.T) {
	platform(t)
	before := settled(t)
	other := strings.NewReplacer("projects/demo/", "projects/other/")
	must(t, "apply", "-f", writeFile(t, "kind: Project\nname: projects/other\n"))
	// Another project's app and route to the sample's host.
	b, err := os.ReadFile(filepath.Join(repo, "examples", "hello", "route.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	small := strings.Replace(manifest(t, "replicas: 4", "replicas: 1"), "minReplicas: 4", "minReplicas: 1", 1)
	must(t, "apply", "-f", writeFile(t, other.Replace(small)))
	tests := []struct {
		name  string
		stdin string
		args  []string
		code  int
		says  []string
	}{
		{"a typo names field and line", manifest(t, "replicas:", "replcas:"), []string{"apply", "-f", "-"}, 1, []string{"replcas", ":6:", "replicas"}},
		{"an unknown cluster", manifest(t, "  drainSeconds: 5", "  placement:\n    clusters:\n      - cluster: clusters/nowhere"), []string{"apply", "-f", "-"}, 1, []string{"clusters/nowhere"}},
		{"an image that no registry has", manifest(t, "image: hello:v1", "image: hello:v99"), []string{"apply", "-f", "-"}, 3, []string{"hello:v99"}},
		{"replicas that fit nowhere", strings.Replace(manifest(t, "memory: 64Mi", "memory: 512Gi"), "hello", "giant", 1), []string{"apply", "-f", "-"}, 1, []string{"short by"}},
		{"the same cluster under another name", "", []string{"cluster", "register", "site-c", "--ipaas", "10.111.0.1:7100", "--registry", "10.111.0.1:5000"}, 7, []string{"site-c"}},
		{"two projects claiming one host", other.Replace(string(b)), []string{"apply", "-f", "-"}, 5, []string{"another project"}},
		{"no permission", "", []string{"cluster", "switch", "site-b", "--away", "--context", "dev"}, 4, []string{"clusters.switch"}},
		{"another's project does not exist", "", []string{"get", "apps", "-p", "demo", "--context", "dev"}, 3, []string{"projects/demo"}},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			r := gantry(t, tc.stdin, tc.args...)
			if r.code != tc.code {
				t.Errorf("exit code %d, want %d", r.code, tc.code)
			}
			for _, s := range tc.says {
				if !strings.Contains(r.err, s) {
					t.Errorf("%q does not say %q", r.err, s)
				}
			}
		})
	}
	if after := settled(t); after.Etag != before.Etag || after.Status.Release != before.Status.Release {
		t.Errorf("a refused request changed the app: %+v, then %+v", before, after)
	}
	must(t, "delete", "app", "hello", "-p", "other")
}

func writeFile(t *testing.T, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "manifest.yaml")
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
