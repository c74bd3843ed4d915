package parts

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"gantry.dev/pkg/fault"
)

// checkout makes a repository with one module that holds one program.
func checkout(t *testing.T) (Store, Part, *bytes.Buffer) {
	t.Helper()
	repo := t.TempDir()
	files := map[string]string{
		"tools/x/go.mod":  "module x\n\ngo 1.26\n",
		"tools/x/go.sum":  "",
		"tools/x/main.go": "package main\n\nvar version = \"unset\"\n\nfunc main() { print(version) }\n",
	}
	for name, content := range files {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(repo, name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(repo, name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	var progress bytes.Buffer
	store := Store{Dir: filepath.Join(repo, ".local", "parts"), Repo: repo, Fake: true, Progress: &progress}
	if err := os.MkdirAll(filepath.Join(store.Dir, "bin"), 0o755); err != nil {
		t.Fatal(err)
	}
	return store, Part{Name: "x", Module: "tools/x", Package: ".", Flags: ldflags("-X main.version=v1")}, &progress
}

func TestBuildsOnlyWhatIsMissing(t *testing.T) {
	store, part, progress := checkout(t)
	step := func(name, want string) {
		t.Helper()
		progress.Reset()
		if err := store.ensure(t.Context(), part); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if !strings.Contains(progress.String(), want) {
			t.Errorf("%s: progress is %q, want %q", name, progress, want)
		}
	}
	step("first", "built in")
	step("second", "present")
	if err := os.WriteFile(filepath.Join(store.Repo, "tools/x/go.sum"), []byte("\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	step("other versions", "built in")
	part.Flags = ldflags("-X main.version=v2")
	step("other flags", "built in")
	if err := os.Remove(store.program(part)); err != nil {
		t.Fatal(err)
	}
	step("program deleted", "built in")
	step("last", "present")
}

func TestFailedBuildSaysWhy(t *testing.T) {
	store, part, _ := checkout(t)
	part.Package = "./nowhere"
	err := store.ensure(t.Context(), part)
	if !fault.HasReason(err, "PART_BUILD_FAILED") || !strings.Contains(err.Error(), "nowhere") {
		t.Errorf("error is %v", err)
	}
	if store.present(part) {
		t.Error("a failed build counts as present")
	}
}

// The versions in the flags must be those that are built.
func TestVersionsAgreeWithModules(t *testing.T) {
	repo := filepath.Join("..", "..", "..", "..", "..")
	tests := map[string]struct{ module, flags string }{
		"tools/kubernetes": {"k8s.io/kubernetes", kubeFlags},
		"tools/containerd": {"github.com/containerd/containerd/v2", containerdFlags},
		"tools/registry":   {"github.com/distribution/distribution/v3", registryFlags},
	}
	for folder, test := range tests {
		t.Run(folder, func(t *testing.T) {
			data, err := os.ReadFile(filepath.Join(repo, folder, "go.mod"))
			if err != nil {
				t.Fatal(err)
			}
			i := strings.LastIndex(test.flags, "=v")
			if i < 0 {
				t.Fatalf("no version in %s", test.flags)
			}
			if want := test.module + " " + test.flags[i+1:]; !strings.Contains(string(data), want) {
				t.Errorf("%s does not require %s", folder, want)
			}
		})
	}
}

func TestEveryPartHasItsModule(t *testing.T) {
	repo := filepath.Join("..", "..", "..", "..", "..")
	for _, fake := range []bool{false, true} {
		for _, p := range List(fake) {
			if _, err := os.Stat(filepath.Join(repo, p.Module, "go.mod")); err != nil {
				t.Errorf("%s: %v", p.Name, err)
			}
		}
	}
}

// nginx refuses to start with the other LuaJIT, which apt would choose.
func TestLuaJITIsNamed(t *testing.T) {
	if !slices.ContainsFunc(Packages(), func(p Package) bool { return p.Name == "libluajit2-5.1-2" }) {
		t.Error("libluajit2-5.1-2 must be asked for by name")
	}
}
