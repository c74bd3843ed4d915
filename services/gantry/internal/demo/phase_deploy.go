package demo

import (
	"context"
	"net"
	"path"
	"time"

	gantryv1 "gantry.dev/proto/gen/gantry/v1"
	"gantry.dev/services/gantry/internal/image"
	"gantry.dev/services/gantry/internal/load"
)

const probePhase = "probe" // requests sent before the route is served

// deploy registers the clusters and brings the app to its users.
func deploy(ctx context.Context, s *stage) (outcome, error) {
	if err := s.startEverything(ctx); err != nil {
		return outcome{}, err
	}
	s.command("gantry apply -f %s", s.manifest("clusters"))
	if err := s.applyClusters(ctx); err != nil {
		return outcome{}, err
	}
	if err := s.tidy(ctx); err != nil {
		return outcome{}, err
	}
	s.say("both clusters are registered and healthy")
	s.command("gantry apply -f %s -f %s", s.manifest("project"), s.manifest("gateway"))
	if err := s.applyProject(ctx); err != nil {
		return outcome{}, err
	}
	if err := s.applyGateway(ctx); err != nil {
		return outcome{}, err
	}
	if err := s.removeLopsided(ctx); err != nil {
		return outcome{}, err
	}
	app, err := s.deployApp(ctx)
	if err != nil {
		return outcome{}, err
	}
	if err := s.serve(ctx); err != nil {
		return outcome{}, err
	}
	s.say("watching the requests for 5 s")
	if err := pause(ctx, 5*time.Second); err != nil {
		return outcome{}, err
	}
	return outcome{
		detail: division(app),
		checks: []check{noneFailed, eachAnswers(s.res), fact("all replicas are ready", settled(app), "%s", describeApp(app))},
	}, nil
}

func (s *stage) deployApp(ctx context.Context) (*gantryv1.App, error) {
	if err := s.buildImage(ctx, "v1"); err != nil {
		return nil, err
	}
	s.command("gantry apply -f %s", s.manifest("app"))
	if _, err := s.applyApp(ctx, s.res.withImage("hello:v1")); err != nil {
		return nil, err
	}
	// An earlier run may have left more replicas: without load they go.
	fewest := s.res.app.GetSpec().GetAutoscale().GetMinReplicas()
	app, err := s.awaitApp(ctx, "all replicas to be ready", func(a *gantryv1.App) bool {
		return settled(a) && a.GetStatus().GetDesiredReplicas() == fewest
	})
	if err != nil {
		return nil, err
	}
	s.say("%s", describeApp(app))
	for _, part := range app.GetStatus().GetAssignments() {
		s.say("%s gets %d: %s", path.Base(part.GetCluster()), part.GetReplicas(), part.GetReason())
	}
	s.mark(eventAction, "v1 ready", "release with hello:v1 is ready: "+division(app))
	return app, nil
}

// buildImage makes the sample app's image and puts it into every registry.
func (s *stage) buildImage(ctx context.Context, version string) error {
	begin := time.Now()
	digest, err := s.cfg.publishImage(ctx, s.cfg.Example, version, s.res.registries())
	if err != nil {
		return err
	}
	s.say("built hello:%s from %s and pushed it to %d registries in %s (%.19s…)",
		version, s.cfg.Example, len(s.res.clusters), round(time.Since(begin)), digest)
	return nil
}

func publishImage(ctx context.Context, dir, version string, registries []string) (string, error) {
	img, err := image.Build(ctx, image.Source{Dir: dir, Version: version, Title: "hello"})
	if err != nil {
		return "", err
	}
	return image.Push(ctx, img, "hello:"+version, registries...)
}

// serve creates the route, waits until the VIP answers and begins the steady
// load that lasts until the end.
func (s *stage) serve(ctx context.Context) error {
	s.command("gantry apply -f %s", s.manifest("route"))
	if err := s.applyRoute(ctx); err != nil {
		return err
	}
	run, err := s.cfg.startLoad(ctx, load.Config{
		Address: net.JoinHostPort(s.res.gateway.GetVip(), "80"), Host: s.res.route.GetHost(),
		Connections: 32, Rate: 10, Phase: probePhase,
		Namespace: s.cfg.ClientNamespace, Command: s.cfg.LoadCommand,
	})
	if err != nil {
		return err
	}
	s.load = run
	begin := time.Now()
	err = await(ctx, briefPatience, "the VIP to answer", func(context.Context) (bool, string, error) {
		return answersWell(run.Buckets()), "failed so far: " + classes(run.Buckets()), run.Err()
	})
	if err != nil {
		return err
	}
	s.say("http://%s/ on the VIP %s answers, %s after the route", s.res.route.GetHost(), s.res.gateway.GetVip(), round(time.Since(begin)))
	s.say("from now on: %.0f requests/s, GET and POST, over 32 keep-alive connections, counted at the client", s.cfg.Rate)
	s.loadBegan = time.Now()
	return run.Set(load.Control{Rate: s.cfg.Rate, Burn: burnFor(quietMilli, s.cfg.Rate), Phase: "deploy"})
}

// answersWell is true when the last two seconds brought only good answers.
func answersWell(buckets []load.Bucket) bool {
	if len(buckets) < 2 {
		return false
	}
	requests, failed := load.Count(buckets[len(buckets)-2:])
	return requests > 0 && failed == 0
}

func eachAnswers(res *resources) check {
	return func(phase []load.Bucket) Expectation {
		by := load.Answered(phase)
		return Expectation{"both clusters answer", by[res.lost()] > 0 && by[res.survivor()] > 0, shares(by)}
	}
}
