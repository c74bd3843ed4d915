// Package registry asks image registries what they hold.
package registry

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"time"

	"gantry.dev/pkg/fault"
	"gantry.dev/pkg/gather"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
)

// patience bounds one question.
const patience = 3 * time.Second

// Registries asks any registry. Who asks the same at the same time shares an
// answer that is as new as an own one. Safe for concurrent use.
type Registries struct {
	mu sync.Mutex
	// Knows how each repository wants to be spoken to.
	puller *remote.Puller
	// Questions that somebody waits for.
	questions map[question]*asking
}

type question struct{ registry, image string }

// asking is a question and how many wait for its answer.
type asking struct {
	answers *gather.Reader[string]
	waiting int
}

// New makes one; nobody is asked yet.
func New() (*Registries, error) {
	puller, err := newPuller()
	return &Registries{puller: puller, questions: map[question]*asking{}}, err
}

func newPuller() (*remote.Puller, error) {
	return remote.NewPuller(remote.WithRetryPredicate(func(error) bool { return false }))
}

// Resolve gives the digest ("sha256:…") of an image ("hello:v1") in a registry
// ("10.111.0.1:5000"). IMAGE_NOT_FOUND when the registry does not have it,
// REGISTRY_UNREACHABLE when it does not say.
func (r *Registries) Resolve(ctx context.Context, registry, image string) (string, error) {
	q := question{registry, image}
	digest, err := r.join(q).Get(ctx)
	r.leave(q)
	if err != nil && ctx.Err() != nil {
		err = unreachable(q, err)
	}
	return digest, err
}

func (r *Registries) join(q question) *gather.Reader[string] {
	r.mu.Lock()
	defer r.mu.Unlock()
	a := r.questions[q]
	if a == nil {
		a = &asking{answers: gather.New(func(ctx context.Context) (string, error) { return r.ask(ctx, q) })}
		r.questions[q] = a
	}
	a.waiting++
	return a.answers
}

func (r *Registries) leave(q question) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.questions[q].waiting--; r.questions[q].waiting == 0 {
		delete(r.questions, q)
	}
}

func (r *Registries) ask(ctx context.Context, q question) (string, error) {
	ref, err := name.ParseReference(q.registry+"/"+q.image, name.Insecure)
	if err != nil {
		return "", fault.Invalid("IMAGE_INVALID", "image %q: %w", q.image, err)
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	d, err := r.known().Head(ctx, ref)
	if err == nil {
		return d.Digest.String(), nil
	}
	var answer *transport.Error
	if errors.As(err, &answer) && answer.StatusCode == http.StatusNotFound {
		return "", fault.NotFound("IMAGE_NOT_FOUND", "registry %s has no image %s; push it there first", q.registry, q.image)
	}
	r.relearn()
	return "", unreachable(q, err)
}

func unreachable(q question, err error) error {
	return fault.Unavailable("REGISTRY_UNREACHABLE", "registry %s does not answer for %s: %w", q.registry, q.image, err)
}

func (r *Registries) known() *remote.Puller {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.puller
}

// relearn drops what is known: a registry that gives trouble may want to be
// spoken to in another way now.
func (r *Registries) relearn() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if p, err := newPuller(); err == nil {
		r.puller = p
	}
}
