// Package planning answers the API's questions about what would happen:
// whether an app fits, and how traffic or work would move.
package planning

import (
	"context"
	"errors"
	"time"

	"gantry.dev/pkg/fault"
	gantryv1 "gantry.dev/proto/gen/gantry/v1"
	"gantry.dev/services/cluster-mgr/internal/fleet"
	"gantry.dev/services/cluster-mgr/internal/observe"
	"gantry.dev/services/cluster-mgr/internal/placement"
	"gantry.dev/services/cluster-mgr/internal/store"
)

// Viewer gives what was seen last.
type Viewer interface {
	View() observe.View
}

// Config is what New needs; all fields but FailBackAfter are required.
type Config struct {
	Store    *store.Store
	Observer Viewer
	Images   fleet.ImageThere
	// How long a cluster must have been healthy before work is brought back;
	// 0: at once.
	FailBackAfter time.Duration
}

// Planner plans on any instance of cluster-mgr, leading or not: it changes
// nothing but the operations it creates.
type Planner struct{ Config }

// New checks its Config.
func New(c Config) (*Planner, error) {
	if c.Store == nil || c.Observer == nil || c.Images == nil {
		return nil, errors.New("planning: store, observer and images are required")
	}
	return &Planner{c}, nil
}

// Fit refuses, with the shortfall, an app whose wanted replicas fit nowhere.
// CAPACITY_EXHAUSTED names what is missing; NO_CLUSTER when there is no
// cluster at all.
func (p *Planner) Fit(ctx context.Context, app *gantryv1.App, desired int) error {
	snapshot, err := fleet.Load(ctx, p.Store, p.Observer.View())
	if err != nil {
		return err
	}
	if len(snapshot.Clusters) == 0 {
		return fault.Precondition("NO_CLUSTER", "no cluster is registered, so nothing can run; an operator does it with `gantry cluster register`")
	}
	in, err := snapshot.Placement(app, desired, p.Images)
	if err != nil {
		return fault.Invalid("RESOURCES_INVALID", "%w", err)
	}
	if out := placement.Decide(in); out.Shortfall != nil {
		return fault.Exhausted("CAPACITY_EXHAUSTED", "%s", out.Shortfall.Sentence)
	}
	return nil
}
