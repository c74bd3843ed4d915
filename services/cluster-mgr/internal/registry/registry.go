// Package registry asks image registries what they hold.
package registry

import (
	"context"
	"errors"
	"net/http"
	"time"

	"gantry.dev/pkg/fault"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
)

// patience bounds one question.
const patience = 3 * time.Second

// Resolve gives the digest ("sha256:…") of an image ("hello:v1") in a registry
// ("10.111.0.1:5000"). IMAGE_NOT_FOUND when the registry does not have it,
// REGISTRY_UNREACHABLE when it does not say.
func Resolve(ctx context.Context, registry, image string) (string, error) {
	ref, err := name.ParseReference(registry+"/"+image, name.Insecure)
	if err != nil {
		return "", fault.Invalid("IMAGE_INVALID", "image %q: %w", image, err)
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	d, err := remote.Head(ref, remote.WithContext(ctx), remote.WithRetryPredicate(func(error) bool { return false }))
	if err == nil {
		return d.Digest.String(), nil
	}
	var answer *transport.Error
	if errors.As(err, &answer) && answer.StatusCode == http.StatusNotFound {
		return "", fault.NotFound("IMAGE_NOT_FOUND", "registry %s has no image %s; push it there first", registry, image)
	}
	return "", fault.Unavailable("REGISTRY_UNREACHABLE", "registry %s does not answer for %s: %w", registry, image, err)
}
