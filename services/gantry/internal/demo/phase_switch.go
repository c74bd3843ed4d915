package demo

import (
	"context"
	"fmt"
	"time"

	"gantry.dev/services/gantry/internal/load"
)

// Tags of the requests while the cluster has no traffic, and afterwards.
const (
	tagAway = "switch/away"
	tagBack = "switch/back"
)

// switchOver takes all traffic from a cluster and gives it back, as one does
// before work on it.
func switchOver(ctx context.Context, s *stage) (outcome, error) {
	cluster := s.res.lost()
	s.command("gantry cluster switch %s --away --step %d", cluster, switchStep)
	s.mark(eventAction, cluster+" to 0 %", "traffic leaves "+cluster)
	begin := time.Now()
	if err := s.switchTraffic(ctx, cluster, 0); err != nil {
		return outcome{}, err
	}
	away := time.Since(begin)
	s.say("%s has no traffic since %s; its replicas stay", cluster, round(away))
	if err := s.watchTagged(ctx, tagAway); err != nil {
		return outcome{}, err
	}
	s.command("gantry cluster switch %s --back --step %d", cluster, switchStep)
	s.mark(eventAction, cluster+" to 100 %", "traffic comes back to "+cluster)
	if err := s.load.Set(load.Control{Phase: "switch"}); err != nil {
		return outcome{}, err
	}
	if err := s.switchTraffic(ctx, cluster, 100); err != nil {
		return outcome{}, err
	}
	if err := s.watchTagged(ctx, tagBack); err != nil {
		return outcome{}, err
	}
	return outcome{
		detail: fmt.Sprintf("%s emptied in %s, and back", cluster, round(away)),
		checks: []check{noneFailed, notAnsweredBy(cluster, tagAway), answeredBy(cluster, tagBack)},
	}, nil
}

// watchTagged looks at the requests of 5 s under a tag of their own.
func (s *stage) watchTagged(ctx context.Context, tag string) error {
	if err := s.load.Set(load.Control{Phase: tag}); err != nil {
		return err
	}
	if err := pause(ctx, 5*time.Second); err != nil {
		return err
	}
	s.say("answers now come from: %s", shares(load.Answered(tagged(s.load.Buckets(), tag))))
	return nil
}
