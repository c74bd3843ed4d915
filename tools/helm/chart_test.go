package helm

import (
	"bytes"
	"errors"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	yamlv3 "go.yaml.in/yaml/v3"
	"helm.sh/helm/v4/pkg/chart/common"
	"helm.sh/helm/v4/pkg/chart/common/util"
	"helm.sh/helm/v4/pkg/chart/v2/lint"
	"helm.sh/helm/v4/pkg/chart/v2/lint/support"
	"helm.sh/helm/v4/pkg/chart/v2/loader"
	"helm.sh/helm/v4/pkg/engine"
	"sigs.k8s.io/yaml"
)

const (
	chartDir  = "../../deploy/helm/gantry"
	namespace = "gantry-system"
)

// object is one rendered Kubernetes object, or a part of one.
type object map[string]any

// values are those of testdata, with changes by dotted path.
func values(t *testing.T, changes map[string]any) map[string]any {
	t.Helper()
	data, err := os.ReadFile("testdata/values.yaml")
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]any{}
	if err := yaml.Unmarshal(data, &all); err != nil {
		t.Fatal(err)
	}
	for path, value := range changes {
		at := all
		names := strings.Split(path, ".")
		for _, name := range names[:len(names)-1] {
			next, ok := at[name].(map[string]any)
			if !ok {
				next = map[string]any{}
				at[name] = next
			}
			at = next
		}
		at[names[len(names)-1]] = value
	}
	return all
}

// render is `helm template`.
func render(values map[string]any, namespace string) ([]object, error) {
	chart, err := loader.Load(chartDir)
	if err != nil {
		return nil, err
	}
	release := common.ReleaseOptions{Name: "gantry", Namespace: namespace, Revision: 1, IsInstall: true}
	all, err := util.ToRenderValues(chart, values, release, common.DefaultCapabilities)
	if err != nil {
		return nil, err
	}
	files, err := engine.Render(chart, all)
	if err != nil {
		return nil, err
	}
	var objects []object
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if !strings.HasSuffix(name, ".yaml") {
			continue
		}
		more, err := parse(files[name])
		if err != nil {
			return nil, errors.New(name + ": " + err.Error())
		}
		objects = append(objects, more...)
	}
	return objects, nil
}

func parse(text string) ([]object, error) {
	var objects []object
	decoder := yamlv3.NewDecoder(bytes.NewBufferString(text))
	for {
		var o object
		err := decoder.Decode(&o)
		if errors.Is(err, io.EOF) {
			return objects, nil
		}
		if err != nil {
			return nil, err
		}
		if len(o) > 0 {
			objects = append(objects, o)
		}
	}
}

func rendered(t *testing.T) []object {
	t.Helper()
	objects, err := render(values(t, nil), namespace)
	if err != nil {
		t.Fatal(err)
	}
	return objects
}

func TestLint(t *testing.T) {
	for name, v := range map[string]map[string]any{"defaults": {}, "everything": values(t, nil)} {
		for _, m := range lint.RunAll(chartDir, v, namespace).Messages {
			// An icon is recommended; there is none.
			if m.Severity > support.InfoSev {
				t.Errorf("%s: %s", name, m)
			}
		}
	}
}

func TestNothingByDefault(t *testing.T) {
	objects, err := render(map[string]any{}, "default")
	if err != nil {
		t.Fatal(err)
	}
	if len(objects) > 0 {
		t.Errorf("the defaults install %v", objects)
	}
}

func TestWhatIsInstalled(t *testing.T) {
	got := map[string]int{}
	for _, o := range rendered(t) {
		got[text(o, "kind")+" "+text(o, "metadata", "name")]++
	}
	for _, want := range []string{
		"StatefulSet gantry-cluster-mgr", "Deployment gantry-portal", "Deployment gantry-ipaas",
		"Service gantry-cluster-mgr", "Service gantry-portal", "Service gantry-ipaas",
		"NetworkPolicy gantry-cluster-mgr", "NetworkPolicy gantry-portal", "NetworkPolicy gantry-ipaas",
		"ServiceAccount gantry-cluster-mgr", "ServiceAccount gantry-portal", "ServiceAccount gantry-ipaas",
	} {
		if got[want] != 1 {
			t.Errorf("%s is there %d times", want, got[want])
		}
	}
}

func TestIncompleteIsRefused(t *testing.T) {
	for _, tc := range []struct {
		path  string
		value any
		want  string
	}{
		{"clusterMgr.image.digest", "", "digest"},
		{"portal.image.digest", "latest", "digest"},
		{"ipaas.image.digest", "sha256:123", "digest"},
		{"clusterMgr.etcd", []any{}, "etcd"},
		{"clusterMgr.etcd", []any{"http://etcd:2379"}, "etcd"},
		{"clusterMgr.tlsSecret", "", "tlsSecret"},
		{"portal.token.issuer", "", "issuer"},
		{"portal.token.keyConfigMap", "", "keyConfigMap"},
		{"ipaas.cluster", "", "cluster"},
		{"ipaas.from", []any{}, "from"},
		{"ipaas.replcas", 3, "replcas"},
	} {
		_, err := render(values(t, map[string]any{tc.path: tc.value}), namespace)
		if err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s=%v: got %v", tc.path, tc.value, err)
		}
	}
	if _, err := render(values(t, nil), "elsewhere"); err == nil || !strings.Contains(err.Error(), namespace) {
		t.Errorf("another namespace: got %v", err)
	}
}

func TestPortalKnowsEveryManager(t *testing.T) {
	objects, err := render(values(t, map[string]any{"clusterMgr.replicas": 3}), namespace)
	if err != nil {
		t.Fatal(err)
	}
	want := "--cluster-mgr=gantry-cluster-mgr-0.gantry-cluster-mgr.gantry-system.svc:7000," +
		"gantry-cluster-mgr-1.gantry-cluster-mgr.gantry-system.svc:7000," +
		"gantry-cluster-mgr-2.gantry-cluster-mgr.gantry-system.svc:7000"
	for _, w := range workloads(objects) {
		if w.service == "portal" && !slices.Contains(w.args(), want) {
			t.Errorf("got %v", w.args())
		}
	}
}

// text is a string deep inside an object, "" when it is not there.
func text(o object, path ...string) string {
	s, _ := at(o, path...).(string)
	return s
}

// at is a value deep inside an object, nil when it is not there.
func at(o object, path ...string) any {
	var v any = o
	for _, name := range path {
		m, ok := v.(object)
		if !ok {
			return nil
		}
		v = m[name]
	}
	return v
}

// list is a list of objects deep inside an object.
func list(o object, path ...string) []object {
	items, _ := at(o, path...).([]any)
	var out []object
	for _, i := range items {
		if m, ok := i.(object); ok {
			out = append(out, m)
		}
	}
	return out
}
