package autoscaler

import (
	"context"
	"sync"
	"time"

	"gantry.dev/pkg/names"
	gantryv1 "gantry.dev/proto/gen/gantry/v1"
	"gantry.dev/services/cluster-mgr/internal/fleet"
	"gantry.dev/services/cluster-mgr/internal/metrics"
	"golang.org/x/sync/errgroup"
)

const (
	// patience bounds all questions of a round: a Prometheus that hangs delays
	// the apps of the others by no more, and its own hold.
	leastPatience = 2 * time.Second
	mostPatience  = 5 * time.Second
	// inFlight bounds the questions to one Prometheus at a time.
	inFlight = 8
)

// question is one query: a resource of all pods at one Prometheus, or an app's
// own query about one cluster.
type question struct {
	url      string
	resource gantryv1.ScaleMetric_Resource
	// Of an own query only.
	query, cluster, project string
}

// ask puts each question that some app's policy needs once, all at the same
// time but for a bound per Prometheus. A question without an answer is left
// out.
func (l *Loop) ask(ctx context.Context, s fleet.Snapshot, apps []*gantryv1.App) map[question]metrics.Answer {
	ctx, cancel := context.WithTimeout(ctx, min(max(l.Interval, leastPatience), mostPatience))
	defer cancel()
	var mu sync.Mutex
	answers := map[question]metrics.Answer{}
	var all errgroup.Group
	for _, questions := range due(s, apps) {
		all.Go(func() error {
			var each errgroup.Group
			each.SetLimit(inFlight)
			for _, q := range questions {
				each.Go(func() error {
					answer, err := l.put(ctx, q)
					if err != nil {
						l.Logger.Warn("Prometheus gave no answer; affected apps hold their replicas", "url", q.url, "error", err.Error())
						return nil
					}
					mu.Lock()
					defer mu.Unlock()
					answers[q] = answer
					return nil
				})
			}
			return each.Wait()
		})
	}
	_ = all.Wait() // nothing fails
	return answers
}

// due lists the questions by Prometheus, each once.
func due(s fleet.Snapshot, apps []*gantryv1.App) map[string][]question {
	seen, byURL := map[question]bool{}, map[string][]question{}
	for _, app := range apps {
		for _, c := range s.Clusters {
			for _, m := range app.GetSpec().GetAutoscale().GetMetrics() {
				q := about(m, app, c.Value)
				if !seen[q] && q.url != "" {
					seen[q] = true
					byURL[q.url] = append(byURL[q.url], q)
				}
			}
		}
	}
	return byURL
}

func (l *Loop) put(ctx context.Context, q question) (metrics.Answer, error) {
	switch {
	case q.query != "":
		return l.source.Query(ctx, q.url, q.query, names.ID(q.cluster), "gantry-"+q.project)
	case q.resource == gantryv1.ScaleMetric_RESOURCE_MEMORY:
		return l.source.Memory(ctx, q.url)
	}
	return l.source.CPU(ctx, q.url)
}

// about is the question that tells a metric of an app in a cluster.
func about(m *gantryv1.ScaleMetric, app *gantryv1.App, c *gantryv1.Cluster) question {
	if m.GetQuery() == "" {
		return question{url: c.GetPrometheusUrl(), resource: m.GetResource()}
	}
	return question{url: c.GetPrometheusUrl(), query: m.GetQuery(), cluster: c.GetName(), project: names.Project(app.GetName())}
}
