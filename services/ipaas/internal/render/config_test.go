package render_test

import (
	"math/rand"
	"strings"
	"testing"

	"gantry.dev/pkg/fault"
	gantryv1 "gantry.dev/proto/gen/gantry/v1"
	"gantry.dev/services/ipaas/internal/labels"
	"gantry.dev/services/ipaas/internal/render"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"k8s.io/apimachinery/pkg/util/validation"
	"pgregory.net/rapid"
)

var web = labels.ID{Project: "pay", App: "web"}

func file(path, content string) *gantryv1.ConfigFile {
	return &gantryv1.ConfigFile{Path: path, Content: content}
}

// drawFiles gives files with different paths, none below another.
func drawFiles(t *rapid.T) []*gantryv1.ConfigFile {
	var files []*gantryv1.ConfigFile
	for path, content := range rapid.MapOfN(rapid.StringMatching(`/etc/[a-z]{1,3}\.[a-z]`), rapid.StringN(0, 20, -1), 1, 5).Draw(t, "files") {
		files = append(files, file(path, content))
	}
	return files
}

// The same files have the same name in any order, other files another one: so
// a rollback finds what it had, and a change replaces the pods.
func TestTheNameTellsTheContent(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		files := drawFiles(t)
		name := render.ConfigName(web, files)
		if errs := validation.IsDNS1123Subdomain(name); len(errs) > 0 || !strings.HasPrefix(name, "web-") {
			t.Fatalf("%q: %v", name, errs)
		}
		before, err := render.Config(web.Name(), 3, files)
		if err != nil {
			t.Fatal(err)
		}
		rand.Shuffle(len(files), func(i, j int) { files[i], files[j] = files[j], files[i] })
		after, err := render.Config(web.Name(), 3, files)
		if err != nil || *after.Name != name {
			t.Fatalf("in another order: %v %v, want %s", after, err, name)
		}
		if diff := cmp.Diff(before, after); diff != "" {
			t.Fatalf("in another order:\n%s", diff)
		}
		for key := range after.Data {
			if errs := validation.IsConfigMapKey(key); len(errs) > 0 {
				t.Fatalf("key %q: %v", key, errs)
			}
		}
		changed := proto.CloneOf(files[0])
		changed.Content += "x"
		if other := render.ConfigName(web, append([]*gantryv1.ConfigFile{changed}, files[1:]...)); other == name {
			t.Fatalf("another content has the name %s, too", name)
		}
	})
}

func TestNamesOfTextsThatLookTheSame(t *testing.T) {
	a := render.ConfigName(web, []*gantryv1.ConfigFile{file("/a", "b/c"), file("/d", "")})
	b := render.ConfigName(web, []*gantryv1.ConfigFile{file("/a", "b"), file("/c/d", "")})
	if a == b || render.ConfigName(web, nil) != "" {
		t.Errorf("%s and %s, without files %q", a, b, render.ConfigName(web, nil))
	}
}

// Every file is mounted alone, from the key that holds its content.
func TestEveryFileIsMounted(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := least()
		w.Spec.Files = drawFiles(t)
		o, err := render.Render("site-a", w)
		if err != nil {
			t.Fatal(err)
		}
		pod := o.Deployment.Spec.Template.Spec
		if *pod.Volumes[0].ConfigMap.Name != *o.Config.Name {
			t.Fatalf("the pod mounts %s, applied is %s", *pod.Volumes[0].ConfigMap.Name, *o.Config.Name)
		}
		got := map[string]string{}
		for _, m := range pod.Containers[0].VolumeMounts {
			got[*m.MountPath] = o.Config.Data[*m.SubPath]
		}
		for _, f := range w.GetSpec().GetFiles() {
			if content, ok := got[f.GetPath()]; !ok || content != f.GetContent() {
				t.Fatalf("%s holds %q, want %q", f.GetPath(), content, f.GetContent())
			}
		}
	})
}

func TestFilesThatAreRefused(t *testing.T) {
	for name, tc := range map[string]struct {
		files  []*gantryv1.ConfigFile
		reason string
	}{
		"twice":            {[]*gantryv1.ConfigFile{file("/a", "1"), file("/a", "2")}, "CONFIG_PATH"},
		"below a file":     {[]*gantryv1.ConfigFile{file("/a/b/c", ""), file("/a", "")}, "CONFIG_PATH"},
		"the kernel's":     {[]*gantryv1.ConfigFile{file("/proc/sys/kernel", "")}, "CONFIG_PATH"},
		"a device":         {[]*gantryv1.ConfigFile{file("/dev/null", "")}, "CONFIG_PATH"},
		"not clean":        {[]*gantryv1.ConfigFile{file("/a/../b", "")}, "CONFIG_PATH"},
		"relative":         {[]*gantryv1.ConfigFile{file("a", "")}, "CONFIG_PATH"},
		"the root":         {[]*gantryv1.ConfigFile{file("/", "")}, "CONFIG_PATH"},
		"large together":   {[]*gantryv1.ConfigFile{file("/a", strings.Repeat("x", 1<<19)), file("/b", strings.Repeat("x", 1<<19+1))}, "CONFIG_TOO_LARGE"},
		"":                 {[]*gantryv1.ConfigFile{file("/a", strings.Repeat("x", 1<<20)), file("/ab", "")}, ""},
		"of a device tool": {[]*gantryv1.ConfigFile{file("/devices", "")}, ""},
	} {
		_, err := render.Config(web.Name(), 1, tc.files)
		if tc.reason == "" && err != nil || tc.reason != "" && !fault.HasReason(err, tc.reason) {
			t.Errorf("%q: %v, want %q", name, err, tc.reason)
		}
	}
}

// A rollout waits one period of the readiness check for each new pod, but not
// for long.
func TestMinReadySeconds(t *testing.T) {
	for period, want := range map[int32]int32{0: 5, 1: 1, 7: 7, 300: 10} {
		w := least()
		w.Spec.Readiness = &gantryv1.HealthCheck{Port: 80, PeriodSeconds: period}
		o, err := render.Render("site-a", w)
		if err != nil || *o.Deployment.Spec.MinReadySeconds != want {
			t.Errorf("period %d: %v, want %d", period, err, want)
		}
	}
}
