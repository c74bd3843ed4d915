package image

import (
	"context"
	"fmt"

	"gantry.dev/pkg/fault"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"golang.org/x/sync/errgroup"
)

// Push copies an image as repository:tag ("hello:v1") to each registry
// (host:port, plain HTTP allowed) and returns its digest, "sha256:…". What a
// registry has already is not sent again.
func Push(ctx context.Context, img v1.Image, repositoryTag string, registries ...string) (string, error) {
	digest, err := img.Digest()
	if err != nil {
		return "", fmt.Errorf("compute the image's digest: %w", err)
	}
	g, ctx := errgroup.WithContext(ctx)
	for _, registry := range registries {
		g.Go(func() error { return pushTo(ctx, img, registry+"/"+repositoryTag) })
	}
	return digest.String(), g.Wait()
}

func pushTo(ctx context.Context, img v1.Image, reference string) error {
	tag, err := name.NewTag(reference, name.Insecure, name.StrictValidation)
	if err != nil {
		return fault.Invalid("IMAGE_NAME_INVALID", "%q is no image name of the form host:port/repository:tag: %w", reference, err)
	}
	if err := remote.Write(tag, img, remote.WithContext(ctx)); err != nil {
		return fault.Unavailable("IMAGE_PUSH_FAILED", "cannot push %s; does its registry run? %w", reference, err)
	}
	return nil
}
