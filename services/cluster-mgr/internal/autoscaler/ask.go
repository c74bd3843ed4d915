package autoscaler

import (
	"context"
	"fmt"
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

// reply is an answer or why there is none.
type reply struct {
	metrics.Answer
	err error
}

// ask puts each question that some app's policy needs once, all at the same
// time but for a bound per Prometheus.
func (l *Loop) ask(ctx context.Context, s fleet.Snapshot, apps []*gantryv1.App) map[question]reply {
	ctx, cancel := context.WithTimeout(ctx, min(max(l.Interval, leastPatience), mostPatience))
	defer cancel()
	replies, groups := map[question]*reply{}, map[string]*errgroup.Group{}
	for _, app := range apps {
		for _, c := range s.Clusters {
			for _, m := range app.GetSpec().GetAutoscale().GetMetrics() {
				q := about(m, app, c.Value)
				if _, asked := replies[q]; asked || q.url == "" {
					continue
				}
				if groups[q.url] == nil {
					groups[q.url] = &errgroup.Group{}
				}
				replies[q] = &reply{}
				l.put(ctx, groups[q.url], q, replies[q])
			}
		}
	}
	out := make(map[question]reply, len(replies))
	for _, g := range groups {
		_ = g.Wait() // each error is in its reply
	}
	for q, r := range replies {
		out[q] = *r
	}
	return out
}

func (l *Loop) put(ctx context.Context, group *errgroup.Group, q question, r *reply) {
	gate := l.gate(q.url)
	group.Go(func() error {
		select {
		case gate <- struct{}{}:
			defer func() { <-gate }()
		case <-ctx.Done():
			r.err = fmt.Errorf("ask Prometheus at %s: %w", q.url, ctx.Err())
			return nil
		}
		switch {
		case q.query != "":
			r.Answer, r.err = l.source.Query(ctx, q.url, q.query, names.ID(q.cluster), "gantry-"+q.project)
		case q.resource == gantryv1.ScaleMetric_RESOURCE_MEMORY:
			r.Answer, r.err = l.source.Memory(ctx, q.url)
		default:
			r.Answer, r.err = l.source.CPU(ctx, q.url)
		}
		if r.err != nil {
			l.Logger.Warn("Prometheus gave no answer; affected apps hold their replicas", "url", q.url, "error", r.err.Error())
		}
		return nil
	})
}

// gate is one Prometheus' bound.
func (l *Loop) gate(url string) chan struct{} {
	if l.gates[url] == nil {
		l.gates[url] = make(chan struct{}, inFlight)
	}
	return l.gates[url]
}

// about is the question that tells a metric of an app in a cluster.
func about(m *gantryv1.ScaleMetric, app *gantryv1.App, c *gantryv1.Cluster) question {
	if m.GetQuery() == "" {
		return question{url: c.GetPrometheusUrl(), resource: m.GetResource()}
	}
	return question{url: c.GetPrometheusUrl(), query: m.GetQuery(), cluster: c.GetName(), project: names.Project(app.GetName())}
}
