package observe

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"gantry.dev/pkg/names"
	"gantry.dev/services/cluster-mgr/internal/metrics"
	"github.com/prometheus/common/model"
)

const (
	// useEvery is the time between two questions to a Prometheus for the use of
	// nodes over a window, which changes slowly and costs more than other looks.
	useEvery = time.Minute
	// useStale is the age from which an answer is none.
	useStale = 5 * time.Minute
)

// Meter tells what the nodes of the clusters of one Prometheus use at busy times.
type Meter interface {
	Use(ctx context.Context, url string) (metrics.NodeUse, error)
}

// Use is what a cluster's Prometheus said last of the use of its nodes.
type Use struct {
	// By node name. Nodes that it said nothing of are left out.
	Nodes  map[string]metrics.Amount
	Window time.Duration
	// When it gave that answer, and why it gave no newer one.
	Time time.Time
	Err  error
}

// UseOf gives what the nodes of a cluster ("clusters/site-a") used at busy
// times, and says what that is as part of a sentence; without nodes it says why
// there is only what ipaas measures now. It says nothing where nobody measures.
func (v View) UseOf(cluster string, now time.Time) (nodes map[string]metrics.Amount, what string) {
	if v.Use == nil {
		return nil, ""
	}
	u, asked := v.Use[cluster]
	fresh := !u.Time.IsZero() && now.Sub(u.Time) <= useStale
	if fresh && len(u.Nodes) > 0 {
		return u.Nodes, fmt.Sprintf("the 95th percentile of the last %s, measured %s UTC", model.Duration(u.Window), u.Time.UTC().Format(time.TimeOnly))
	}
	why := "its Prometheus has not answered yet"
	switch {
	case asked && u.Err != nil:
		why = "its Prometheus gives no answer"
	case fresh:
		why = "its Prometheus knows none of its nodes"
	case v.Clusters[cluster].Cluster.GetPrometheusUrl() == "":
		why = "it has no Prometheus"
	}
	return nil, "what ipaas measures now, since " + why
}

// measure asks each Prometheus about its nodes once a minute until ctx ends.
func (o *Observer) measure(ctx context.Context) {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	asked := map[string]time.Time{}
	for {
		var questions sync.WaitGroup
		for _, url := range o.prometheuses() {
			if now := time.Now(); now.Sub(asked[url]) >= useEvery {
				asked[url] = now
				questions.Go(func() { o.askUse(ctx, url) })
			}
		}
		questions.Wait()
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// prometheuses are the URLs of all clusters, each once.
func (o *Observer) prometheuses() []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	var urls []string
	for _, c := range o.known.clusters {
		if url := c.Value.GetPrometheusUrl(); url != "" {
			urls = append(urls, url)
		}
	}
	slices.Sort(urls)
	return slices.Compact(urls)
}

// askUse keeps the answer of one Prometheus; without one, the last stays.
func (o *Observer) askUse(ctx context.Context, url string) {
	use, err := o.Meter.Use(ctx, url)
	if err != nil && ctx.Err() == nil {
		o.Logger.Warn("Prometheus does not say what nodes use; placement takes what ipaas measures now", "url", url, "error", err.Error())
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	next := o.use[url]
	if next.err = err; err == nil {
		next.NodeUse, next.time = use, time.Now()
	}
	o.use[url] = next
}

// said is what one Prometheus said last.
type said struct {
	metrics.NodeUse
	time time.Time
	err  error
}

// used is what is known of each cluster; nil where nobody measures. The caller
// holds the lock.
func (o *Observer) used() map[string]Use {
	if o.Meter == nil {
		return nil
	}
	out := make(map[string]Use, len(o.known.clusters))
	for _, c := range o.known.clusters {
		if u, ok := o.use[c.Value.GetPrometheusUrl()]; ok {
			out[c.Name] = Use{Nodes: u.Clusters[names.ID(c.Name)], Window: u.Window, Time: u.time, Err: u.err}
		}
	}
	return out
}
