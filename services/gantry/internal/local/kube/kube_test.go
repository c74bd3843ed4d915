package kube

import (
	"encoding/json"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"gantry.dev/services/gantry/internal/local/layout"
	"gantry.dev/services/gantry/internal/local/supervisor"
	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	rbacv1 "k8s.io/api/rbac/v1"
	"sigs.k8s.io/yaml"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var update = flag.Bool("update", false, "write the golden files anew")

func paths() layout.Paths { return layout.Paths{Dir: "/srv/gantry/.local"} }

func TestGoldenConfiguration(t *testing.T) {
	files, err := render(paths(), layout.Sites()[1])
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		name := strings.NewReplacer("/", "_", ":", "_").Replace(strings.TrimPrefix(f.path, paths().Conf("site-b")+"/"))
		if name == "roles.yaml" {
			continue
		}
		t.Run(name, func(t *testing.T) {
			golden := filepath.Join("testdata", name)
			if *update {
				if err := os.WriteFile(golden, f.data, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), string(f.data)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestSpecsHaveAnOrder(t *testing.T) {
	s := layout.Sites()[0]
	specs := Specs(paths(), s)
	if _, err := supervisor.Levels(specs); err != nil {
		t.Fatal(err)
	}
	for _, spec := range specs {
		if spec.Group != s.Name || !strings.HasPrefix(spec.Name, s.Name+"-") || spec.Probe == nil {
			t.Errorf("%s: group %s, probe %v", spec.Name, spec.Group, spec.Probe != nil)
		}
	}
}

// Whatever a site listens on or keeps is its own: killing one never touches
// the other.
func TestSitesShareNothing(t *testing.T) {
	own := regexp.MustCompile(`127\.0\.0\.1:\d+|secure-port=\d+|/srv/\S*/data/\S+|10\.11\d\.0\.1:\d+`)
	seen := map[string]string{}
	for _, s := range layout.Sites() {
		for _, spec := range Specs(paths(), s) {
			for _, found := range own.FindAllString(strings.Join(spec.Args, " "), -1) {
				if other := seen[found]; other != "" && other != s.Name && found != "secure-port=6443" {
					t.Errorf("%s is used by %s and %s", found, other, s.Name)
				}
				seen[found] = s.Name
			}
		}
	}
}

func TestPodsGetNoDefaultRoute(t *testing.T) {
	data, err := json.Marshal(networkConfig(paths(), layout.Sites()[0]))
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(data), "0.0.0.0/0") || !strings.Contains(string(data), `"routes":[{"dst":"10.110.0.0/24","gw":"10.111.0.1"}]`) {
		t.Errorf("network is %s", data)
	}
}

// The role must not let ipaas take over the cluster.
func TestRolesAreSmall(t *testing.T) {
	seen := 0
	for doc := range strings.SplitSeq(roles, "\n---\n") {
		var role rbacv1.ClusterRole
		if err := yaml.Unmarshal([]byte(doc), &role); err != nil {
			t.Fatal(err)
		}
		for _, rule := range role.Rules {
			seen++
			for _, word := range slices.Concat(rule.Verbs, rule.Resources, rule.APIGroups) {
				if word == "*" || word == "nodes/proxy" || word == "escalate" || word == "bind" || word == "impersonate" ||
					strings.HasSuffix(word, "roles") || strings.HasSuffix(word, "bindings") || word == "serviceaccounts/token" {
					t.Errorf("%s grants %q", role.Name, word)
				}
			}
		}
	}
	if seen < 10 {
		t.Errorf("only %d rules read", seen)
	}
}

// part finds a built program, from an earlier `make parts`.
func part(t *testing.T, name string) string {
	t.Helper()
	file, err := filepath.Abs("../../../../../.local/parts/bin/" + name)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(file); err != nil {
		t.Skipf("the part %s is not built: %v", name, err)
	}
	return file
}

// The real program's verdict, and that it refuses what is wrong.
func TestContainerdAcceptsItsConfiguration(t *testing.T) {
	program := part(t, "containerd")
	if os.Geteuid() != 0 {
		t.Skip("containerd reads its configuration only as root")
	}
	good := containerdConfig(layout.Paths{Dir: t.TempDir()}, layout.Sites()[0])
	tests := map[string]struct {
		config string
		ok     bool
	}{
		"good":            {good, true},
		"not TOML":        {good + "\n[", false},
		"unknown version": {strings.Replace(good, "version = 3", "version = 99", 1), false},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "containerd.toml")
			if err := os.WriteFile(file, []byte(test.config), 0o644); err != nil {
				t.Fatal(err)
			}
			out, err := exec.CommandContext(t.Context(), program, "--config", file, "config", "dump").CombinedOutput()
			if (err == nil) != test.ok {
				t.Fatalf("accepted %v, want %v: %s", err == nil, test.ok, out)
			}
			if test.ok && !strings.Contains(string(out), "restrict_oom_score_adj = true") {
				t.Errorf("the setting is lost: %s", out)
			}
		})
	}
}
