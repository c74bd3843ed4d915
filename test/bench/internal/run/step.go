package run

import (
	"context"
	"fmt"
	"slices"
	"time"

	"gantry.dev/test/bench/internal/hpa"
	"gantry.dev/test/bench/internal/kube"
	promv1 "github.com/prometheus/client_golang/api/prometheus/v1"
	"github.com/prometheus/common/model"
)

// When an overload shows is looked for within this time, this exactly.
const (
	visibleTime = 30 * time.Second
	visibleStep = 10 * time.Millisecond
)

// stepped are the apps of the nth step.
func (b *bench) stepped(n int) []kube.Key {
	size := min(b.Size.Stepped, len(b.shuffled)/b.Size.Steps)
	return b.shuffled[n*size : (n+1)*size]
}

// step overloads apps and measures how long each waits for replicas. An
// autoscaler that takes longer than patience is late.
func (b *bench) step(ctx context.Context, apps []kube.Key, patience time.Duration) (stepped, error) {
	for _, w := range b.watches {
		w.Clear()
	}
	kinds, begin := overloads(), time.Now()
	for i, app := range apps {
		b.load.Offer(app, kinds[i%len(kinds)].cpus)
	}
	// Who is late is counted below.
	_ = kube.Until(ctx, patience, func() string { return b.missing(apps) })
	visible := make([]time.Time, len(kinds))
	for i := range kinds {
		var err error
		if visible[i], err = b.visible(ctx, apps[i], begin); err != nil {
			return stepped{}, err
		}
	}
	return b.latencies(apps, visible), nil
}

// visible asks Prometheus afterwards, so that nothing is disturbed, when an
// app's use first was beyond the tolerance. By the samples' own time stamps:
// an autoscaler sees them later, by the time that a scrape takes. Apps of one
// kind of overload have exactly the same use.
func (b *bench) visible(ctx context.Context, app kube.Key, begin time.Time) (time.Time, error) {
	const limit = replicas * target * (1 + tolerance)
	span := promv1.Range{Start: begin, End: begin.Add(visibleTime), Step: visibleStep}
	answer, _, _, err := b.prometheus.QueryRange(ctx, hpa.Query(app, b.rateWindow()), span)
	if err != nil {
		return time.Time{}, err
	}
	matrix, ok := answer.(model.Matrix)
	if !ok || len(matrix) != 1 {
		return time.Time{}, fmt.Errorf("there is no use of %s in Prometheus", app)
	}
	for _, v := range matrix[0].Values {
		if float64(v.Value) > limit {
			return v.Timestamp.Time(), nil
		}
	}
	return time.Time{}, fmt.Errorf("the overload of %s did not show in Prometheus", app)
}

// missing names an app that has not the replicas that are due.
func (b *bench) missing(apps []kube.Key) string {
	wanted, kinds := b.wanted(), overloads()
	for i, app := range apps {
		if due := kinds[i%len(kinds)].expect; wanted[app] != due {
			return fmt.Sprintf("%s has %d replicas, due are %d", app, wanted[app], due)
		}
	}
	return ""
}

// wanted is spec.replicas of every app over all clusters that live.
func (b *bench) wanted() map[kube.Key]int {
	sum := map[kube.Key]int{}
	for i, w := range b.watches {
		if !b.alive(i) {
			continue
		}
		for key, n := range w.Wanted() {
			sum[key] += n
		}
	}
	return sum
}

// stepped is the outcome of one step.
type stepped struct {
	first, final []time.Duration
	late, wrong  int
}

func (b *bench) latencies(apps []kube.Key, visible []time.Time) stepped {
	var s stepped
	wanted, kinds := b.wanted(), overloads()
	for i, app := range apps {
		events := b.events(app)
		kind := i % len(kinds)
		if len(events) == 0 || wanted[app] != kinds[kind].expect {
			s.late++
			continue
		}
		s.first = append(s.first, max(0, events[0].Sub(visible[kind])))
		s.final = append(s.final, max(0, events[len(events)-1].Sub(visible[kind])))
	}
	for _, app := range without(b.apps, apps) {
		if len(b.events(app)) > 0 {
			s.wrong++
		}
	}
	return s
}

// events are when an app's number changed, in any cluster, in order.
func (b *bench) events(app kube.Key) []time.Time {
	var out []time.Time
	for _, w := range b.watches {
		for _, e := range w.Events(app) {
			out = append(out, e.Time)
		}
	}
	slices.SortFunc(out, time.Time.Compare)
	return out
}

// steps makes all steps and keeps their outcome, and the replicas that every
// app has in the end.
func (b *bench) steps(ctx context.Context, who string, patience, pause time.Duration) error {
	var all stepped
	for n := range b.Size.Steps {
		s, err := b.step(ctx, b.stepped(n), patience)
		if err != nil {
			return err
		}
		all.first, all.final = append(all.first, s.first...), append(all.final, s.final...)
		all.late, all.wrong = all.late+s.late, all.wrong+s.wrong
		b.say("step %d: first change after p50 %.2f s, p99 %.2f s; %d late, %d wrong", n+1, distOf(s.first).P50, distOf(s.first).P99, s.late, s.wrong)
		b.result.Steps[who] = Step{First: distOf(all.first), Final: distOf(all.final), Late: all.late, Wrong: all.wrong}
		// The next one begins at another moment of a round.
		if err := sleep(ctx, pause); err != nil {
			return err
		}
	}
	b.result.Answers[who] = map[kube.Key]int{}
	wanted := b.wanted()
	for _, app := range b.apps {
		b.result.Answers[who][app] = wanted[app]
	}
	return nil
}

func (b *bench) gantrySteps(ctx context.Context) error {
	return b.steps(ctx, gantry, time.Minute, 1700*time.Millisecond)
}
