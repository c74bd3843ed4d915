package image

import (
	"context"
	"io"
	"log"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gantry.dev/pkg/fault"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/validate"
)

func writeProgram(t *testing.T, body string) string {
	t.Helper()
	dir := t.TempDir()
	for file, content := range map[string]string{
		"go.mod":  "module example\n\ngo 1.26.0\n",
		"main.go": "package main\n\nvar version = \"dev\"\n\nfunc main() { " + body + " }\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, file), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func build(t *testing.T, s Source) v1.Image {
	t.Helper()
	img, err := Build(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	return img
}

func startRegistry(t *testing.T) string {
	t.Helper()
	s := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	t.Cleanup(s.Close)
	return strings.TrimPrefix(s.URL, "http://")
}

func TestSameSourceSameDigestInEveryRegistry(t *testing.T) {
	registries := []string{startRegistry(t), startRegistry(t)}
	var digests []string
	for range 2 { // in different folders, at different times
		img := build(t, Source{Dir: writeProgram(t, "println(version)"), Version: "v1", Title: "hello"})
		digest, err := Push(t.Context(), img, "hello:v1", registries...)
		if err != nil {
			t.Fatal(err)
		}
		digests = append(digests, digest)
	}
	if digests[0] != digests[1] {
		t.Errorf("two builds differ: %v", digests)
	}
	for _, r := range registries {
		got := pull(t, r+"/hello:v1")
		if digest, err := got.Digest(); err != nil || digest.String() != digests[0] {
			t.Errorf("%s holds %s, want %s (%v)", r, digest, digests[0], err)
		}
		if err := validate.Image(got); err != nil {
			t.Errorf("%s: %v", r, err)
		}
	}
}

func pull(t *testing.T, reference string) v1.Image {
	t.Helper()
	tag, err := name.NewTag(reference, name.Insecure)
	if err != nil {
		t.Fatal(err)
	}
	img, err := remote.Image(tag, remote.WithContext(t.Context()))
	if err != nil {
		t.Fatal(err)
	}
	return img
}

func TestAnotherVersionIsAnotherImage(t *testing.T) {
	dir := writeProgram(t, "println(version)")
	one, two := build(t, Source{Dir: dir, Version: "v1"}), build(t, Source{Dir: dir, Version: "v2"})
	a, _ := one.Digest()
	b, _ := two.Digest()
	if a == b {
		t.Error("v1 and v2 have the same digest")
	}
}

func TestConfiguration(t *testing.T) {
	img := build(t, Source{Dir: writeProgram(t, ""), Version: "v3", Title: "hello", Arch: "arm64"})
	got, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	want := v1.Config{
		Entrypoint: []string{"/app"}, User: "65532:65532", WorkingDir: "/",
		Labels: map[string]string{"org.opencontainers.image.title": "hello", "org.opencontainers.image.version": "v3"},
	}
	if diff := cmp.Diff(want, got.Config); diff != "" || got.OS != "linux" || got.Architecture != "arm64" {
		t.Errorf("%s/%s (-want +got):\n%s", got.OS, got.Architecture, diff)
	}
}

func TestErrorsSayWhatToDo(t *testing.T) {
	_, err := Build(t.Context(), Source{Dir: writeProgram(t, "undefined()"), Version: "v1"})
	if !fault.HasReason(err, "IMAGE_BUILD_FAILED") || !strings.Contains(err.Error(), "undefined: undefined") {
		t.Errorf("got %v", err)
	}
	img := build(t, Source{Dir: writeProgram(t, ""), Version: "v1"})
	if _, err := Push(t.Context(), img, "Not A Name", startRegistry(t)); !fault.HasReason(err, "IMAGE_NAME_INVALID") {
		t.Errorf("got %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Push(ctx, img, "hello:v1", "127.0.0.1:1"); !fault.HasReason(err, "IMAGE_PUSH_FAILED") {
		t.Errorf("got %v", err)
	}
}
