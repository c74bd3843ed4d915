package platform

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"gantry.dev/services/gantry/internal/local/kube"
	"gantry.dev/services/gantry/internal/local/layout"
	"gantry.dev/services/gantry/internal/local/pki"
	"gantry.dev/services/gantry/internal/local/supervisor"
	"go.uber.org/goleak"
	"sigs.k8s.io/yaml"
)

func TestMain(m *testing.M) {
	// The embedded etcd's own logger and file purger end a moment later.
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("gopkg.in/natefinch/lumberjack%2ev2.(*Logger).millRun"))
}

func specs() []supervisor.Spec {
	p := layout.Paths{Dir: "/srv/gantry/.local"}
	all := Specs(Config{Paths: p, Plan: layout.Real(), BinDir: "/srv/gantry/bin", AutoscaleInterval: 5 * time.Second})
	for _, s := range layout.Sites() {
		all = append(all, kube.Specs(p, s)...)
	}
	return all
}

func TestEverythingStartsInSomeOrder(t *testing.T) {
	levels, err := supervisor.Levels(specs())
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Contains(levels[0], "etcd") || slices.Contains(levels[0], "portal") {
		t.Errorf("levels are %v", levels)
	}
	for _, s := range specs() {
		if !slices.Contains(layout.Groups(), s.Group) {
			t.Errorf("%s is in the unknown group %q", s.Name, s.Group)
		}
	}
}

// A site or a balancer must be able to die without taking another along, and
// must start again while the other is dead.
func TestGroupsWaitOnlyForThePlatform(t *testing.T) {
	group := map[string]string{}
	for _, s := range specs() {
		group[s.Name] = s.Group
	}
	for _, s := range specs() {
		for _, dependency := range s.After {
			if g := group[dependency]; g != s.Group && g != layout.GroupPlatform {
				t.Errorf("%s of %s waits for %s of %s", s.Name, s.Group, dependency, g)
			}
		}
	}
}

func TestAgentsRunInTheirNodes(t *testing.T) {
	for _, n := range layout.Balancers() {
		i := slices.IndexFunc(specs(), func(s supervisor.Spec) bool { return s.Name == n.Name+"-ingress-agent" })
		s := specs()[i]
		args := strings.Join(s.Args, " ")
		if s.Namespace != n.Namespace || s.Group != n.Name || !strings.Contains(args, "--listen "+n.IP+":7300") ||
			!strings.Contains(args, "/pki/ingress-agent.main."+n.Name+".crt") || !strings.Contains(args, "--state-dir /srv/gantry/.local/data/"+n.Name) {
			t.Errorf("%s: %+v", n.Name, s)
		}
	}
}

func TestPrometheusAcceptsItsConfiguration(t *testing.T) {
	promtool, err := exec.LookPath("promtool")
	if err != nil {
		t.Skip("promtool is not installed (Debian package prometheus)")
	}
	p := layout.Paths{Dir: t.TempDir()}
	if err := pki.Ensure(p, layout.Real(), time.Now()); err != nil {
		t.Fatal(err)
	}
	if err := WriteConfig(p, layout.Real()); err != nil {
		t.Fatal(err)
	}
	file := p.Conf("prometheus.yml")
	if out, err := exec.CommandContext(t.Context(), promtool, "check", "config", file).CombinedOutput(); err != nil {
		t.Errorf("refused: %v: %s", err, out)
	}
	bad := filepath.Join(p.Dir, "bad.yml")
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(bad, []byte(strings.ReplaceAll(string(data), "metrics_path", "metrix_path")), 0o644); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.CommandContext(t.Context(), promtool, "check", "config", bad).CombinedOutput(); err == nil {
		t.Errorf("a misspelled field was accepted: %s", out)
	}
}

func TestAlertmanagerAcceptsItsConfiguration(t *testing.T) {
	amtool, err := exec.LookPath("amtool")
	if err != nil {
		t.Skip("amtool is not installed (Debian package prometheus-alertmanager)")
	}
	p := layout.Paths{Dir: t.TempDir()}
	if err := WriteConfig(p, layout.Real()); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.CommandContext(t.Context(), amtool, "check-config", p.Conf("alertmanager.yml")).CombinedOutput(); err != nil {
		t.Errorf("refused: %v: %s", err, out)
	}
}

func TestEverySampleOfAKubeletNamesItsCluster(t *testing.T) {
	data, err := yaml.Marshal(prometheusConfig(layout.Paths{Dir: "/x"}, layout.Real()))
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range layout.Sites() {
		for _, want := range []string{"cluster: " + s.Name, s.At(10250)} {
			if !strings.Contains(string(data), want) {
				t.Errorf("%q is missing in %s", want, data)
			}
		}
	}
}
