package local

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gantry.dev/pkg/fault"
)

// A second `down` must not sweep the machine for a folder of simulated nodes.
func TestLastNodes(t *testing.T) {
	o := Options{Dir: filepath.Join(t.TempDir(), "new"), Nodes: NodesFake}
	if got := o.lastNodes(); got != "" {
		t.Errorf("an absent folder had %q nodes", got)
	}
	if err := os.MkdirAll(filepath.Join(o.Dir, "data"), 0o755); err != nil {
		t.Fatal(err)
	}
	if got := o.lastNodes(); got != NodesReal {
		t.Errorf("data without a note is of %q nodes", got)
	}
	if err := o.noteNodes(); err != nil {
		t.Fatal(err)
	}
	if got := (Options{Dir: o.Dir, Nodes: NodesReal}).lastNodes(); got != NodesFake {
		t.Errorf("the note says %q", got)
	}
}

func TestDataOfOtherNodesIsRefused(t *testing.T) {
	for _, kinds := range [][2]string{{NodesFake, NodesReal}, {NodesReal, NodesFake}} {
		o := Options{Dir: t.TempDir(), Nodes: kinds[0]}
		if err := o.noteNodes(); err != nil {
			t.Fatal(err)
		}
		o.Nodes = kinds[1]
		problems := Preflight(t.Context(), o)
		if len(problems) != 1 || !strings.Contains(problems[0].Fix, "holds the data of --nodes="+kinds[0]) {
			t.Errorf("%v: %v", kinds, problems)
		}
		if err := Up(t.Context(), o); !fault.HasReason(err, "OTHER_NODES") {
			t.Errorf("%v: up said %v", kinds, err)
		}
	}
}

// Without root there are no namespaces, bridges or control groups, and no two
// processes may want one address.
func TestFakeNodesNeedNoRights(t *testing.T) {
	o, err := Options{Dir: t.TempDir(), Nodes: NodesFake}.complete()
	if err != nil {
		t.Fatal(err)
	}
	if groups, err := o.groups(); groups != nil || err != nil {
		t.Errorf("control groups: %v %v", groups, err)
	}
	seen := map[string]bool{}
	for _, address := range addresses(o.plan()) {
		if seen[address] || !strings.HasPrefix(address, "127.0.0.1:") {
			t.Errorf("address %s is shared or not on loopback", address)
		}
		seen[address] = true
	}
	names := map[string]bool{}
	for _, s := range o.specs() {
		names[s.Name] = true
		if s.Namespace != "" {
			t.Errorf("%s wants the namespace %s", s.Name, s.Namespace)
		}
	}
	for name, want := range map[string]bool{"site-a-kwok": true, "site-b-kwok": true, "site-a-registry": true, "site-a-kubelet": false, "site-a-containerd": false, "prometheus": false, "lb-1-ingress-agent": false} {
		if names[name] != want {
			t.Errorf("%s runs: %v", name, names[name])
		}
	}
}
