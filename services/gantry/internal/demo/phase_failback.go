package demo

import (
	"context"
	"fmt"
	"time"

	gantryv1 "gantry.dev/proto/gen/gantry/v1"
)

// failback starts the lost cluster and gives it its work back.
func failback(ctx context.Context, s *stage) (outcome, error) {
	cluster := s.res.lost()
	s.command("gantry local start %s", cluster)
	begin := time.Now()
	s.mark(eventAction, "start "+cluster, cluster+" is started again")
	if err := s.cfg.Platform.Start(ctx, cluster); err != nil {
		return outcome{}, err
	}
	if err := s.awaitHealthy(ctx, cluster); err != nil {
		return outcome{}, err
	}
	healthy := time.Since(begin)
	s.say("%s is healthy %s after its start", cluster, round(healthy))
	s.command("gantry cluster failback %s", cluster)
	s.mark(eventAction, "fail back", "replicas and traffic go back to "+cluster)
	if err := s.failBack(ctx, cluster); err != nil {
		return outcome{}, err
	}
	app, err := s.awaitApp(ctx, "replicas in both clusters", func(a *gantryv1.App) bool {
		wanted, _ := replicasOn(a, cluster)
		return wanted > 0 && settled(a)
	})
	if err != nil {
		return outcome{}, err
	}
	s.say("%s", describeApp(app))
	if err := s.awaitAlert(ctx, "ClusterDown", cluster, false); err != nil {
		return outcome{}, err
	}
	s.say("the alarm is over, in Alertmanager too")
	if err := pause(ctx, 5*time.Second); err != nil {
		return outcome{}, err
	}
	wanted, ready := replicasOn(app, cluster)
	return outcome{
		detail: fmt.Sprintf("healthy after %s; %s", round(healthy), division(app)),
		checks: []check{noneFailed, fact("replicas are back", wanted > 0 && ready == wanted, "%s", division(app))},
	}, nil
}
