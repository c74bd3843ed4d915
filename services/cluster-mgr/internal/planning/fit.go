// Package planning answers the API's questions about what would happen:
// whether an app fits, and how traffic or work would move.
package planning

import (
	"context"
	"errors"
	"time"

	"gantry.dev/pkg/fault"
	"gantry.dev/pkg/gather"
	gantryv1 "gantry.dev/proto/gen/gantry/v1"
	"gantry.dev/services/cluster-mgr/internal/fleet"
	"gantry.dev/services/cluster-mgr/internal/observe"
	"gantry.dev/services/cluster-mgr/internal/placement"
	"gantry.dev/services/cluster-mgr/internal/store"
	"gantry.dev/services/cluster-mgr/internal/survival"
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
type Planner struct {
	Config
	// Who asks at the same time whether something fits shares a look.
	looks *gather.Reader[look]
}

// look is the fleet, and how it is when everybody has what is due. Nobody who
// asks takes anything from it.
type look struct{ now, settled fleet.Snapshot }

// New checks its Config.
func New(c Config) (*Planner, error) {
	if c.Store == nil || c.Observer == nil || c.Images == nil {
		return nil, errors.New("planning: store, observer and images are required")
	}
	p := &Planner{Config: c}
	p.looks = gather.New(p.look)
	return p, nil
}

func (p *Planner) look(ctx context.Context) (look, error) {
	snapshot, err := fleet.Load(ctx, p.Store, p.Observer.View())
	if err != nil {
		return look{}, err
	}
	return look{now: snapshot, settled: snapshot.Settled("", p.Images)}, nil
}

// except is the fleet with what is due to everybody but an app.
func (l look) except(app string, there fleet.ImageThere) fleet.Snapshot {
	if l.now.Unplaced(app) {
		return l.now.Settled(app, there)
	}
	return l.settled
}

// Fit refuses, with the shortfall, an app whose wanted replicas fit nowhere.
// What other apps were promised is theirs, placed or not. CAPACITY_EXHAUSTED
// names what is missing; NO_CLUSTER when there is no cluster at all.
func (p *Planner) Fit(ctx context.Context, app *gantryv1.App, desired int) error {
	out, err := p.Division(ctx, app, desired, false)
	if err == nil && out.Shortfall != nil {
		return fault.Exhausted("CAPACITY_EXHAUSTED", "%s", out.Shortfall.Sentence)
	}
	return err
}

// Division is how the replicas of an app would be divided now; with rebalance,
// all of them anew. Nothing is changed. NO_CLUSTER when there is no cluster,
// RESOURCES_INVALID when the app's size cannot be read.
func (p *Planner) Division(ctx context.Context, app *gantryv1.App, desired int, rebalance bool) (placement.Plan, error) {
	seen, err := p.looks.Get(ctx)
	if err != nil {
		return placement.Plan{}, err
	}
	if len(seen.now.Clusters) == 0 {
		return placement.Plan{}, fault.Precondition("NO_CLUSTER", "no cluster is registered, so nothing can run; an operator does it with `gantry cluster register`")
	}
	in, err := seen.except(app.GetName(), p.Images).Placement(app, desired, p.Images)
	if err != nil {
		return placement.Plan{}, fault.Invalid("RESOURCES_INVALID", "%w", err)
	}
	in.Rebalance = rebalance
	return placement.Decide(seen.now.Grown(in)), nil
}

// Survival says for each cluster what would find no place if it died now.
func (p *Planner) Survival(ctx context.Context) (*gantryv1.SurvivalReport, error) {
	snapshot, err := fleet.Load(ctx, p.Store, p.Observer.View())
	if err != nil {
		return nil, err
	}
	in, err := snapshot.Survival(p.Images)
	if err != nil {
		return nil, fault.Internal("RESOURCES_INVALID", "%w", err)
	}
	return snapshot.SurvivalReport(survival.Decide(in)), nil
}
