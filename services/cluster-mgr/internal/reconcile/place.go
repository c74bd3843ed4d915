package reconcile

import (
	"context"
	"time"

	gantryv1 "gantry.dev/proto/gen/gantry/v1"
	"gantry.dev/services/cluster-mgr/internal/decision"
	"gantry.dev/services/cluster-mgr/internal/fleet"
	"gantry.dev/services/cluster-mgr/internal/placement"
	"gantry.dev/services/cluster-mgr/internal/store"
	"golang.org/x/sync/errgroup"
)

// placed is an app with the assignment that this pass gives it.
type placed struct {
	app  *gantryv1.App
	last store.Item[store.Assignment]
	next store.Assignment
	in   placement.Input
	out  placement.Plan
	// changed: next is to be stored; decided: with the decision.
	changed, decided bool
}

// place decides where an app's replicas go, and takes the room for them from
// the draft.
func (l *Loop) place(draft fleet.Snapshot, app *gantryv1.App, there fleet.ImageThere, now time.Time) (placed, error) {
	last := draft.Assignments[app.GetName()]
	in, err := draft.Placement(app, last.Value.Desired, there)
	if err != nil {
		return placed{}, err
	}
	l.avoidStuck(draft, app, &in, now)
	out := placement.Decide(in)
	draft.Take(in, out)
	p := placed{app: app, last: last, next: last.Value, in: in, out: out}
	p.next.App = app.GetName()
	p.next.Release = int(app.GetStatus().GetRelease())
	p.next.Shortfall = ""
	if out.Shortfall != nil {
		p.next.Shortfall = out.Shortfall.Sentence
	}
	// A running operation puts dividing anew off: then it stays asked for.
	p.next.Rebalance = last.Value.Rebalance && !in.Rebalance
	moved := out.Changed() || len(last.Value.Shares) == 0 && p.next.Desired > 0
	p.decided = moved || in.Rebalance || p.next.Shortfall != last.Value.Shortfall
	p.changed = p.decided || p.next.Release != last.Value.Release
	if p.changed {
		p.next.Shares = fleet.Shares(out)
		p.next.Avoid = spots(last.Value.Avoid, in, out, now)
	}
	return p, nil
}

// commit stores the assignments of apps together with the decisions that made
// them, if this instance still leads (rule S1): all or none.
func (l *Loop) commit(ctx context.Context, batch []placed) error {
	change := store.NewChange().Guard(l.term.Guard())
	for _, p := range batch {
		if p.decided {
			p.next.Decision = decision.Placement(p.in, p.out).Epoch(l.term.Epoch).Put(l.Store, change)
		}
		if p.last.ModRevision == 0 { // else deleting the app takes what is replaced here
			l.Store.Apps.ExpectAny(change, p.app.GetName())
		}
		l.Store.Assignments.Put(change, p.app.GetName(), p.next, p.last.ModRevision)
	}
	_, err := l.Store.Commit(ctx, change)
	return err
}

// images asks for all apps at once whether each observed cluster has their
// image, so that a slow registry delays a pass once and not once per app.
func (l *Loop) images(s fleet.Snapshot) fleet.ImageThere {
	type answer struct {
		there  bool
		reason string
	}
	answers := make([]answer, len(s.Apps)*len(s.Clusters))
	index := make(map[target]int, len(answers))
	var group errgroup.Group
	group.SetLimit(inFlight)
	for _, c := range s.Clusters {
		if !s.Observed(c.Name) {
			continue
		}
		for _, app := range s.Apps {
			i := len(index)
			index[target{app.Name, c.Name}] = i
			group.Go(func() error {
				answers[i].there, answers[i].reason = l.Images(c.Value, app.Value)
				return nil
			})
		}
	}
	_ = group.Wait() // nothing fails
	return func(c *gantryv1.Cluster, app *gantryv1.App) (bool, string) {
		i, asked := index[target{app.GetName(), c.GetName()}]
		if !asked {
			return l.Images(c, app)
		}
		return answers[i].there, answers[i].reason
	}
}
