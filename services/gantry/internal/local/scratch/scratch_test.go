package scratch

import (
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/google/go-containerregistry/pkg/v1/remote"
)

func TestImageIsReproducibleAndRuns(t *testing.T) {
	program := filepath.Join(t.TempDir(), "program")
	if err := os.WriteFile(program, []byte("#!"), 0o755); err != nil {
		t.Fatal(err)
	}
	image, err := Image(program, "pause")
	if err != nil {
		t.Fatal(err)
	}
	again, err := Image(program, "pause")
	if err != nil {
		t.Fatal(err)
	}
	first, err := image.Digest()
	if err != nil {
		t.Fatal(err)
	}
	if second, err := again.Digest(); err != nil || second != first {
		t.Errorf("digest %v, then %v %v", first, second, err)
	}
	config, err := image.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(config.Config.Entrypoint, " "); got != "/pause" || config.Config.User != "65532" || config.OS != "linux" {
		t.Errorf("runs %q as %q on %q", got, config.Config.User, config.OS)
	}

	server := httptest.NewServer(registry.New())
	defer server.Close()
	reference := strings.TrimPrefix(server.URL, "http://") + "/gantry/pause:1"
	for range 2 {
		if err := Push(t.Context(), image, reference); err != nil {
			t.Fatal(err)
		}
	}
	ref, err := name.ParseReference(reference, name.Insecure)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := remote.Head(ref); err != nil || got.Digest != first {
		t.Errorf("the registry has %v %v, want %v", got, err, first)
	}
}

func TestRefuses(t *testing.T) {
	if _, err := Image(filepath.Join(t.TempDir(), "missing"), "x"); err == nil {
		t.Error("a missing program made an image")
	}
}
