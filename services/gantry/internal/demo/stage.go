package demo

import (
	"context"
	"path"
	"sync"
	"time"

	gantryv1 "gantry.dev/proto/gen/gantry/v1"
	"gantry.dev/services/gantry/internal/client"
)

// stage is what the phases play on.
type stage struct {
	*narrator
	cfg Config
	api *client.Client
	res *resources
	// load is set by the deploy phase and runs to the end.
	load    traffic
	figures figures
	// previous is the name of the phase that was played last.
	previous string
	// When the steady load began and ended.
	loadBegan, loadEnded time.Time

	mu     sync.Mutex
	events []event
}

// figures are measured by the phases; nil: not measured.
type figures struct {
	takeover, detected, recovered *time.Duration
}

// event is something to mark on the time axis.
type event struct {
	at   time.Time
	kind string
	// One or two words, and a sentence.
	short, text string
}

// Kinds of events.
const (
	eventDecision = "decision"
	eventHealth   = "health"
	eventFault    = "fault"
	eventAction   = "action"
	eventPhase    = "phase"
)

func (s *stage) mark(kind, short, text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.events = append(s.events, event{time.Now(), kind, short, text})
}

func (s *stage) marked() []event {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]event(nil), s.events...)
}

// getApp reads the sample app.
func (s *stage) getApp(ctx context.Context) (*gantryv1.App, error) {
	return s.api.Apps.GetApp(ctx, &gantryv1.GetAppRequest{Name: s.res.app.GetName()})
}

// awaitApp waits until the app is as wanted and returns it.
func (s *stage) awaitApp(ctx context.Context, what string, so func(*gantryv1.App) bool) (*gantryv1.App, error) {
	var app *gantryv1.App
	err := await(ctx, patience, what, func(ctx context.Context) (bool, string, error) {
		got, err := s.getApp(ctx)
		if err != nil {
			return false, "", err
		}
		app = got
		return so(got), describeApp(got), nil
	})
	return app, err
}

// settled is true when everything runs as wanted everywhere.
func settled(a *gantryv1.App) bool {
	st := a.GetStatus()
	return !st.GetProgressing() && st.GetDesiredReplicas() > 0 &&
		st.GetReadyReplicas() == st.GetDesiredReplicas() && st.GetUpdatedReplicas() == st.GetDesiredReplicas()
}

func (s *stage) getCluster(ctx context.Context, name string) (*gantryv1.Cluster, error) {
	return s.api.Clusters.GetCluster(ctx, &gantryv1.GetClusterRequest{Name: "clusters/" + name})
}

// awaitHealthy waits until a cluster is Healthy.
func (s *stage) awaitHealthy(ctx context.Context, name string) error {
	return await(ctx, patience, name+" to be healthy", func(ctx context.Context) (bool, string, error) {
		c, err := s.getCluster(ctx, name)
		if err != nil {
			return false, "", err
		}
		h := c.GetHealth()
		return h.GetState() == gantryv1.ClusterHealth_STATE_HEALTHY, stateWord(h.GetState()) + ": " + h.GetReason(), nil
	})
}

// replicasOn returns how many replicas a cluster was given and has ready.
func replicasOn(a *gantryv1.App, cluster string) (wanted, ready int32) {
	for _, part := range a.GetStatus().GetAssignments() {
		if path.Base(part.GetCluster()) == cluster {
			return part.GetReplicas(), part.GetReadyReplicas()
		}
	}
	return 0, 0
}
