package kube

import (
	"path/filepath"
	"strings"
	"testing"

	"gantry.dev/services/gantry/internal/local/layout"
	"sigs.k8s.io/yaml"
)

// kwok and kubectl refuse a file that is not YAML only after the start.
func TestFakeFilesAreManifests(t *testing.T) {
	for _, s := range layout.Fake().Sites {
		files, err := renderFake(layout.Paths{Dir: "/x"}, s)
		if err != nil {
			t.Fatal(err)
		}
		kinds := map[string]int{}
		for _, f := range files {
			if name := filepath.Base(f.path); name == "nodes.yaml" || name == "stages.yaml" {
				countKinds(t, string(f.data), kinds)
			}
		}
		if kinds["Node"] != fakeNodes || kinds["Stage"] != 3 {
			t.Errorf("%s has %v", s.Name, kinds)
		}
	}
}

func countKinds(t *testing.T, documents string, kinds map[string]int) {
	t.Helper()
	for document := range strings.SplitSeq(documents, "---\n") {
		var object struct {
			Kind     string
			Metadata struct{ Name string }
		}
		if err := yaml.Unmarshal([]byte(document), &object); err != nil {
			t.Errorf("%v in\n%s", err, document)
		}
		if object.Metadata.Name != "" {
			kinds[object.Kind]++
		}
	}
}
