package run

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"gantry.dev/test/bench/internal/kube"
	"gantry.dev/test/bench/internal/usage"
	"github.com/prometheus/common/model"
)

// gantry is Gantry's name in the result.
const gantry = "gantry"

// Names of the idle windows.
const (
	idleTwo = "two clusters"
	idleOne = "one cluster"
)

// roundMetric is cluster-mgr's histogram of whole rounds.
const roundMetric = "gantry_autoscale_round_seconds"

// counters are read at the begin and at the end of a window.
type counters struct {
	sample   usage.Sample
	writes   []kube.Writes
	revision float64
}

func (b *bench) count(ctx context.Context) (counters, error) {
	var c counters
	var err error
	if c.sample, err = usage.Take(b.procs.PIDs()); err != nil {
		return c, err
	}
	for i, k := range b.clusters {
		if !b.alive(i) {
			continue
		}
		w, err := k.CountWrites(ctx)
		if err != nil {
			return c, err
		}
		c.writes = append(c.writes, w)
	}
	if b.platform != nil {
		c.revision, err = b.platform.Revision(ctx)
	}
	return c, err
}

// watchWindow lets time pass and gives what was used and written meanwhile.
func (b *bench) watchWindow(ctx context.Context, length time.Duration) (Steady, error) {
	before, err := b.count(ctx)
	if err != nil {
		return Steady{}, err
	}
	if err := sleep(ctx, length); err != nil {
		return Steady{}, err
	}
	after, err := b.count(ctx)
	if err != nil {
		return Steady{}, err
	}
	s := Steady{Span: after.sample.Since(before.sample), WritesByKind: map[string]float64{}, RSS: map[string]float64{}}
	s.addWrites(before, after)
	for name, pid := range b.procs.PIDs() {
		if rss, err := usage.RSS(pid); err == nil {
			s.RSS[name] = rss
		}
	}
	return s, nil
}

// addWrites counts per minute. Leases are not counted: kwok's nodes renew them
// whoever autoscales.
func (s *Steady) addWrites(before, after counters) {
	perMinute := 60 / s.Seconds
	s.ChangesPerMinute = (after.revision - before.revision) * perMinute
	for i := range after.writes {
		d := after.writes[i].Since(before.writes[i])
		s.KubeChangesPerMinute += d.Revision * perMinute
		for what, n := range d.Requests {
			if strings.HasSuffix(what, " leases") {
				s.LeasesPerMinute += n * perMinute
				continue
			}
			s.WritesByKind[what] += n * perMinute
			s.WritesPerMinute += n * perMinute
		}
	}
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

// gantrySteady watches Gantry while every value moves within the tolerance.
func (b *bench) gantrySteady(ctx context.Context) error {
	if err := b.quiet(ctx); err != nil {
		return err
	}
	before, err := b.platform.ManagerMetrics(ctx)
	if err != nil {
		return err
	}
	s, err := b.watchWindow(ctx, b.Size.Window)
	if err != nil {
		return err
	}
	after, err := b.platform.ManagerMetrics(ctx)
	if err != nil {
		return err
	}
	sum0, count0, _ := before.Histogram(roundMetric)
	sum1, count1, ok := after.Histogram(roundMetric)
	if !ok || count1 == count0 {
		return fmt.Errorf("cluster-mgr gives no %s", roundMetric)
	}
	s.Rounds = int(count1 - count0)
	s.Round = (sum1 - sum0) / float64(s.Rounds)
	s.CPUPerRound = s.Total() / float64(s.Rounds)
	b.result.Steady[gantry] = s
	b.say("a round takes %.0f ms, %.2f cores of all processes, %.0f writes/min", s.Round*1000, s.Cores(), s.WritesPerMinute)
	return nil
}

// quiet waits until nothing but leases has been written for a while.
func (b *bench) quiet(ctx context.Context) error {
	const pause, tries = 3 * time.Second, 40
	for range tries {
		s, err := b.watchWindow(ctx, pause)
		if err != nil {
			return err
		}
		if s.WritesPerMinute == 0 {
			return nil
		}
	}
	b.say("there are still writes after %s; what follows contains them", pause*tries)
	return nil
}

// idleTwo measures what everything but Gantry uses, and subtracts it.
func (b *bench) idleTwo(ctx context.Context) error {
	b.platform.Pause()
	if err := b.idle(ctx, idleTwo); err != nil {
		return err
	}
	s := b.result.Steady[gantry]
	s.NetCPUPerRound = b.net(s, idleTwo)
	b.result.Steady[gantry] = s
	if err := b.platform.Resume(ctx); err != nil {
		return err
	}
	if err := b.healthy(ctx); err != nil {
		return err
	}
	return b.quiet(ctx)
}

// idleOne is the same for the peer, which has one cluster.
func (b *bench) idleOne(ctx context.Context) error {
	if b.platform != nil {
		b.platform.Pause()
	}
	if err := b.settled(ctx, nothing); err != nil {
		return err
	}
	return b.idle(ctx, idleOne)
}

func (b *bench) idle(ctx context.Context, name string) error {
	if err := b.quiet(ctx); err != nil {
		return err
	}
	s, err := b.watchWindow(ctx, b.Size.Idle)
	if err != nil {
		return err
	}
	b.result.Idle[name] = s
	b.say("%.2f cores of all processes while nobody autoscales", s.Cores())
	return nil
}

// net is the CPU time per round beyond that of an idle window.
func (b *bench) net(s Steady, idle string) float64 {
	return max(0, (s.Cores()-b.result.Idle[idle].Cores())*s.Seconds/float64(s.Rounds))
}

// measureQuery asks what a round must at least ask.
func (b *bench) measureQuery(ctx context.Context) error {
	const times = 30
	query := fmt.Sprintf(`sum by (cluster, namespace, pod) (rate(container_cpu_usage_seconds_total{namespace=~"gantry-.+",container="app"}[%s]))`,
		model.Duration(b.rateWindow()))
	b.platform.Pause() // its own queries would be in the way
	pids := map[string]int{"prometheus": b.procs.PIDs()["prometheus"]}
	before, err := usage.Take(pids)
	if err != nil {
		return err
	}
	var took []time.Duration
	for range times {
		begin := time.Now()
		answer, _, _, err := b.prometheus.Query(ctx, query, begin)
		if err != nil {
			return err
		}
		took = append(took, time.Since(begin))
		if v, ok := answer.(model.Vector); ok {
			b.result.Query.Series = len(v)
		}
	}
	after, err := usage.Take(pids)
	if err != nil {
		return err
	}
	b.result.Query.Wall = distOf(took)
	b.result.Query.CPU = after.Since(before).Total() / times
	b.say("%.0f ms for %d series", b.result.Query.Wall.P50*1000, b.result.Query.Series)
	if err := b.platform.Resume(ctx); err != nil {
		return err
	}
	return b.healthy(ctx)
}

// rssOf is a process' resident memory now, MiB.
func (b *bench) rssOf(name string) float64 {
	rss, err := usage.RSS(b.procs.PIDs()[name])
	if err != nil {
		return 0
	}
	return rss
}

// without removes what a list holds.
func without(all, some []kube.Key) []kube.Key {
	return slices.DeleteFunc(slices.Clone(all), func(k kube.Key) bool { return slices.Contains(some, k) })
}
