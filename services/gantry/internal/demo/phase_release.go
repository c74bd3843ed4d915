package demo

import (
	"context"
	"fmt"
	"time"

	gantryv1 "gantry.dev/proto/gen/gantry/v1"
	"gantry.dev/services/gantry/internal/load"
)

// release replaces version 1 by version 2 under load.
func release(ctx context.Context, s *stage) (outcome, error) {
	if err := s.load.Set(load.Control{Burn: burnFor(quietMilli, s.cfg.Rate)}); err != nil {
		return outcome{}, err
	}
	if err := s.buildImage(ctx, "v2"); err != nil {
		return outcome{}, err
	}
	before, err := s.getApp(ctx)
	if err != nil {
		return outcome{}, err
	}
	s.command("gantry apply -f %s   # now with image: hello:v2", s.manifest("app"))
	s.mark(eventAction, "release v2", "hello:v2 is applied")
	if _, err := s.applyApp(ctx, s.res.withImage("hello:v2")); err != nil {
		return outcome{}, err
	}
	app, err := s.awaitApp(ctx, "all replicas to be of the new release", func(a *gantryv1.App) bool {
		return a.GetStatus().GetRelease() > before.GetStatus().GetRelease() && settled(a)
	})
	if err != nil {
		return outcome{}, err
	}
	s.say("%s", describeApp(app))
	if err := s.load.Set(load.Control{Phase: "release/after"}); err != nil {
		return outcome{}, err
	}
	if err := pause(ctx, 3*time.Second); err != nil {
		return outcome{}, err
	}
	return outcome{
		detail: fmt.Sprintf("release %d → %d on %d replicas", before.GetStatus().GetRelease(), app.GetStatus().GetRelease(), app.GetStatus().GetUpdatedReplicas()),
		checks: []check{noneFailed, onlyVersion("v2", "release/after"),
			fact("all replicas are of the new release", settled(app), "%s", describeApp(app))},
	}, nil
}
