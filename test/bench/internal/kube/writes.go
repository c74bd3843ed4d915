package kube

import (
	"context"
	"fmt"
	"net/http"
	"slices"

	"gantry.dev/test/bench/internal/scrape"
)

// Writes are the changes that a cluster has taken since it began.
type Writes struct {
	// Write requests to the API server by "VERB resource/subresource".
	Requests map[string]float64
	// Revision of etcd: one per change.
	Revision float64
}

// CountWrites reads the counters of the API server and of etcd.
func (k *Cluster) CountWrites(ctx context.Context) (Writes, error) {
	client, err := k.HTTP()
	if err != nil {
		return Writes{}, err
	}
	api, err := scrape.Get(ctx, client, k.URL()+"/metrics")
	if err != nil {
		return Writes{}, fmt.Errorf("count the writes of %s: %w", k.Name, err)
	}
	etcd, err := scrape.Get(ctx, http.DefaultClient, k.EtcdMetrics())
	if err != nil {
		return Writes{}, fmt.Errorf("count the writes of %s: %w", k.Name, err)
	}
	w := Writes{Requests: map[string]float64{}, Revision: Revision(etcd)}
	api.Each("apiserver_request_total", func(l scrape.Labels, v float64) {
		if !slices.Contains([]string{"POST", "PUT", "PATCH", "APPLY", "DELETE", "DELETECOLLECTION"}, l["verb"]) {
			return
		}
		what := l["verb"] + " " + l["resource"]
		if l["subresource"] != "" {
			what += "/" + l["subresource"]
		}
		w.Requests[what] += v
	})
	return w, nil
}

// Revision of an etcd by its metrics.
func Revision(etcd scrape.Metrics) float64 {
	return etcd.Value("etcd_debugging_mvcc_current_revision")
}

// Since are the writes after an earlier count.
func (w Writes) Since(before Writes) Writes {
	out := Writes{Requests: map[string]float64{}, Revision: w.Revision - before.Revision}
	for what, n := range w.Requests {
		if d := n - before.Requests[what]; d > 0 {
			out.Requests[what] = d
		}
	}
	return out
}
