// Package image makes container images of Go programs without a container
// tool: the program alone, FROM scratch, the same bytes each time.
package image

import (
	"archive/tar"
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"time"

	"gantry.dev/pkg/fault"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

const (
	program = "app"         // file name of the program in the image
	nobody  = "65532:65532" // user and group that the program runs as
)

// Source says what to build.
type Source struct {
	// Folder of package main, the root of its own module.
	Dir string
	// Version becomes the linker's main.version and the image's label.
	Version string
	// Title is the image's label, for example "hello".
	Title string
	// Arch is a GOARCH; empty: this machine's. The system is always Linux.
	Arch string
}

// Build compiles the program and puts it into an image. The same source and
// toolchain give the same digest, wherever and whenever it is built.
func Build(ctx context.Context, s Source) (v1.Image, error) {
	if s.Arch == "" {
		s.Arch = runtime.GOARCH
	}
	binary, err := compile(ctx, s)
	if err != nil {
		return nil, err
	}
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return archive(binary) },
		tarball.WithMediaType(types.OCILayer), tarball.WithCompressedCaching)
	if err != nil {
		return nil, fmt.Errorf("make the image's layer: %w", err)
	}
	return assemble(layer, s)
}

func compile(ctx context.Context, s Source) ([]byte, error) {
	dir, err := os.MkdirTemp("", "gantry-image-")
	if err != nil {
		return nil, fmt.Errorf("make a folder to build in: %w", err)
	}
	defer func() { _ = os.RemoveAll(dir) }() // a few megabytes in the system's own temporary folder
	file := filepath.Join(dir, program)
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false",
		"-ldflags", "-s -w -buildid= -X main.version="+s.Version, "-o", file, ".")
	cmd.Dir = s.Dir
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH="+s.Arch, "GOWORK=off", "GOFLAGS=", "GOTOOLCHAIN=local")
	if out, err := cmd.CombinedOutput(); err != nil {
		return nil, fault.Precondition("IMAGE_BUILD_FAILED",
			"go build in %s failed (%w); it needs Go in PATH:\n%s", s.Dir, err, bytes.TrimSpace(out))
	}
	return os.ReadFile(file)
}

// archive holds the program alone, owned by root, from the year 1970.
func archive(binary []byte) (io.ReadCloser, error) {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	err := w.WriteHeader(&tar.Header{
		Typeflag: tar.TypeReg, Name: program, Mode: 0o555, Size: int64(len(binary)),
		ModTime: time.Unix(0, 0), Format: tar.FormatUSTAR,
	})
	if err != nil {
		return nil, fmt.Errorf("write the layer: %w", err)
	}
	if _, err := w.Write(binary); err != nil {
		return nil, fmt.Errorf("write the layer: %w", err)
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("write the layer: %w", err)
	}
	return io.NopCloser(&b), nil
}

func assemble(layer v1.Layer, s Source) (v1.Image, error) {
	base := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	img, err := mutate.AppendLayers(base, layer)
	if err != nil {
		return nil, fmt.Errorf("append the image's layer: %w", err)
	}
	config, err := img.ConfigFile()
	if err != nil {
		return nil, fmt.Errorf("read the image's configuration: %w", err)
	}
	config = config.DeepCopy()
	config.OS, config.Architecture = "linux", s.Arch
	config.Config = v1.Config{
		Entrypoint: []string{"/" + program},
		User:       nobody,
		WorkingDir: "/",
		Labels: map[string]string{
			"org.opencontainers.image.title":   s.Title,
			"org.opencontainers.image.version": s.Version,
		},
	}
	img, err = mutate.ConfigFile(img, config)
	if err != nil {
		return nil, fmt.Errorf("write the image's configuration: %w", err)
	}
	return img, nil
}
