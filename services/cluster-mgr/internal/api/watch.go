package api

import (
	"context"
	"strconv"
	"sync"
	"time"

	"gantry.dev/pkg/fault"
	gantryv1 "gantry.dev/proto/gen/gantry/v1"
	"gantry.dev/services/cluster-mgr/internal/store"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
)

// statusInterval is the time between two looks for changed status.
const statusInterval = time.Second

// WatchApps sends what is stored and, since much of an app is not stored but
// seen, compares its status once a second.
func (s *appService) WatchApps(r *gantryv1.WatchAppsRequest, stream grpc.ServerStreamingServer[gantryv1.WatchAppsResponse]) error {
	from, err := revision(r.GetResourceVersion())
	if err != nil {
		return err
	}
	if err := s.inProject(stream.Context(), r.GetParent()); err != nil {
		return err
	}
	w := &appWatch{
		appService: s, stream: stream, sent: map[string]*gantryv1.App{}, prefix: below(r.GetParent()),
		seen: from, last: r.GetResourceVersion(), listed: from > 0,
	}
	group, ctx := errgroup.WithContext(stream.Context())
	group.Go(func() error {
		return s.Store.Apps.Watch(ctx, w.prefix, from, func(e store.Event[*gantryv1.App]) error { return w.event(ctx, e) })
	})
	group.Go(func() error { return w.follow(ctx) })
	return group.Wait()
}

func revision(version string) (int64, error) {
	if version == "" {
		return 0, nil
	}
	r, err := strconv.ParseInt(version, 10, 64)
	if err != nil || r < 0 {
		return 0, fault.Invalid("RESOURCE_VERSION_INVALID", "resource_version %q is not one that a watch has sent; begin without one", version)
	}
	return r, nil
}

// appWatch is one stream.
type appWatch struct {
	*appService
	stream grpc.ServerStreamingServer[gantryv1.WatchAppsResponse]
	prefix string

	mu   sync.Mutex
	sent map[string]*gantryv1.App
	// Revision of the last event, and the same as it is sent.
	seen int64
	last string
	// What is there at the beginning waits here until it is all there: their
	// assignments are then read at once.
	listed bool
	begins []store.Item[*gantryv1.App]
}

func (w *appWatch) event(ctx context.Context, e store.Event[*gantryv1.App]) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.seen = e.Revision
	if e.Synced {
		// Until all is sent there is no version that a watch could go on from.
		if err := w.begin(ctx); err != nil {
			return err
		}
	}
	if w.listed {
		w.last = strconv.FormatInt(e.Revision, 10)
	}
	switch {
	case e.Synced:
		return w.stream.Send(&gantryv1.WatchAppsResponse{Event: gantryv1.WatchAppsResponse_EVENT_BOOKMARK, ResourceVersion: w.last})
	case e.Deleted:
		delete(w.sent, e.Name)
		return w.stream.Send(&gantryv1.WatchAppsResponse{Event: gantryv1.WatchAppsResponse_EVENT_DELETE, App: &gantryv1.App{Name: e.Name}, ResourceVersion: w.last})
	}
	if !w.listed {
		w.begins = append(w.begins, e.Item)
		return nil
	}
	app, err := w.shown(ctx, e.Item)
	if err != nil {
		return err
	}
	return w.put(app)
}

// begin sends what is there at the beginning.
func (w *appWatch) begin(ctx context.Context) error {
	apps, err := w.allShown(ctx, w.begins)
	if err != nil {
		return err
	}
	w.listed, w.begins = true, nil
	for _, app := range apps {
		if err := w.put(app); err != nil {
			return err
		}
	}
	return nil
}

func (w *appWatch) put(app *gantryv1.App) error {
	if proto.Equal(w.sent[app.GetName()], app) {
		return nil
	}
	w.sent[app.GetName()] = app
	return w.stream.Send(&gantryv1.WatchAppsResponse{Event: gantryv1.WatchAppsResponse_EVENT_PUT, App: app, ResourceVersion: w.last})
}

// follow sends apps whose status has changed.
func (w *appWatch) follow(ctx context.Context) error {
	tick := time.NewTicker(statusInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
		if err := w.refresh(ctx); err != nil && !fault.Is(err, fault.KindUnavailable) {
			return err
		}
	}
}

// refresh compares all apps with what was sent. A list that is older than the
// last event says nothing new.
func (w *appWatch) refresh(ctx context.Context) error {
	items, revision, err := w.Store.Apps.List(ctx, w.prefix)
	if err != nil {
		return err
	}
	assignments, _, err := w.Store.Assignments.List(ctx, w.prefix)
	if err != nil {
		return err
	}
	shares, _, err := w.Store.Shares.Fresh(ctx)
	if err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if revision < w.seen {
		return nil
	}
	for _, app := range w.views(items, assignments, shares) {
		if err := w.put(app); err != nil {
			return err
		}
	}
	return nil
}
