package api

import (
	"context"

	gantryv1 "gantry.dev/proto/gen/gantry/v1"
	"gantry.dev/services/cluster-mgr/internal/store"
	"google.golang.org/protobuf/proto"
)

// once is the once of all services, for apps: a first answer that is given
// again tells the app's present state.
func (s *appService) once(ctx context.Context, r mutation, change func() (*gantryv1.App, error)) (*gantryv1.App, error) {
	var made *gantryv1.App
	app, err := once(ctx, s.Services, r, func() (*gantryv1.App, error) {
		var err error
		made, err = change()
		return made, err
	})
	if err != nil || app == made {
		return app, err
	}
	return s.replay(ctx, app)
}

// replay completes a kept answer by what was left out of it.
func (s *appService) replay(ctx context.Context, kept *gantryv1.App) (*gantryv1.App, error) {
	if len(kept.GetSpec().GetFiles()) > 0 {
		// Nobody is served worse when the release has gone with its app.
		of, err := s.Store.Releases.GetMany(ctx, []string{store.ReleaseName(kept.GetName(), kept.GetStatus().GetRelease())})
		if err != nil {
			return nil, err
		}
		for _, release := range of {
			kept.Spec.Files = release.Value.GetSpec().GetFiles()
		}
	}
	shown, err := s.shown(ctx, store.Item[*gantryv1.App]{Name: kept.GetName(), Value: kept})
	if err != nil {
		return nil, err
	}
	return shown, nil
}

// withoutFiles is an app as it is kept with a request id: its files, which the
// release holds too, would make the transaction too large for etcd.
func withoutFiles(app *gantryv1.App) *gantryv1.App {
	if len(app.GetSpec().GetFiles()) == 0 {
		return app
	}
	out := proto.CloneOf(app)
	for _, f := range out.GetSpec().GetFiles() {
		f.Content = ""
	}
	return out
}
