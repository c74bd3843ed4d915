package app

import (
	"context"
	"fmt"
	"sync"
	"time"

	gantryv1 "gantry.dev/proto/gen/gantry/v1"
	"gantry.dev/services/cluster-mgr/internal/reconcile"
)

// missingAge is how long a missing image is believed to be missing.
const missingAge = 5 * time.Second

// askTime bounds one question to a registry.
const askTime = 3 * time.Second

// images remembers which registry holds which digest: what is there stays,
// what is missing is asked for again.
type images struct {
	resolve func(ctx context.Context, registry, image string) (string, error)

	mu      sync.Mutex
	present map[string]bool
	missing map[string]time.Time
}

func newImages(resolve func(context.Context, string, string) (string, error)) *images {
	return &images{resolve: resolve, present: map[string]bool{}, missing: map[string]time.Time{}}
}

// there tells whether a cluster's registry holds an app's image (rule B5).
func (i *images) there(cluster *gantryv1.Cluster, app *gantryv1.App) (bool, string) {
	digest := app.GetStatus().GetDigest()
	if digest == "" {
		return true, "" // not released yet: the API has looked
	}
	reference := reconcile.ImageReference(cluster.GetRegistry(), app.GetSpec().GetImage(), digest)
	reason := fmt.Sprintf("has no image %s in its registry", app.GetSpec().GetImage())
	i.mu.Lock()
	present, missing := i.present[reference], i.missing[reference]
	i.mu.Unlock()
	if present {
		return true, ""
	}
	if time.Since(missing) < missingAge {
		return false, reason
	}
	ctx, cancel := context.WithTimeout(context.Background(), askTime)
	defer cancel()
	_, err := i.resolve(ctx, cluster.GetRegistry(), reference[len(cluster.GetRegistry())+1:])
	i.mu.Lock()
	defer i.mu.Unlock()
	if err != nil {
		i.missing[reference] = time.Now()
		return false, reason
	}
	i.present[reference] = true
	return true, ""
}
