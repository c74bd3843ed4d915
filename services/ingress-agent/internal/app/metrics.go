package app

import (
	"context"
	"fmt"

	"gantry.dev/services/ingress-agent/internal/balancer"
	"github.com/prometheus/client_golang/prometheus"
)

// metrics are the agent's own, and the balancer's, which are asked of Nginx
// at each scrape.
type metrics struct {
	client *balancer.Client

	refused, reloads, applyFailed, nginxStarts, keepalivedStarts, cut, streamStarts, streamReloads prometheus.Counter

	requests, latency, up, generation, table *prometheus.Desc
}

func newMetrics(client *balancer.Client) *metrics {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: "gantry_ingress_" + name, Help: help})
	}
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc("gantry_ingress_"+name, help, labels, nil)
	}
	return &metrics{
		client:           client,
		refused:          counter("stale_configs_refused_total", "Configurations of an older leader or generation that were refused."),
		reloads:          counter("reloads_total", "Generations of files brought into effect."),
		applyFailed:      counter("apply_failures_total", "Configurations that could not be brought into effect."),
		nginxStarts:      counter("nginx_starts_total", "Starts of Nginx by the agent."),
		keepalivedStarts: counter("keepalived_starts_total", "Starts of Keepalived by the agent."),
		cut:              counter("vanished_pods_cut_total", "Pods whose connections were cut because they went silent."),
		streamStarts:     counter("stream_nginx_starts_total", "Starts of the stream routes' Nginx by the agent."),
		streamReloads:    counter("stream_reloads_total", "Generations of stream routes brought into effect."),
		requests: desc("requests_total", "Requests by upstream, cluster and class; lost: attempts without an answer; none: no pod was found.",
			"upstream", "cluster", "class"),
		latency:    desc("request_seconds", "Time of answered requests.", "upstream", "cluster"),
		up:         desc("nginx_up", "1 when Nginx answers on its control socket."),
		generation: desc("config_generation", "Generation of the gateway's configuration that Nginx serves."),
		table:      desc("table_generation", "Generation of the table of pods in Nginx."),
	}
}

func (m *metrics) register(r *prometheus.Registry) error {
	for _, c := range []prometheus.Collector{m.refused, m.reloads, m.applyFailed, m.nginxStarts, m.keepalivedStarts, m.cut, m.streamStarts, m.streamReloads, m} {
		if err := r.Register(c); err != nil {
			return fmt.Errorf("register metrics: %w", err)
		}
	}
	return nil
}

// Describe names the balancer's metrics.
func (m *metrics) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{m.requests, m.latency, m.up, m.generation, m.table} {
		out <- d
	}
}

// Collect asks Nginx; when it is silent only nginx_up is given.
func (m *metrics) Collect(out chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), askDeadline*2)
	defer cancel()
	gauge := func(d *prometheus.Desc, v float64) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v)
	}
	status, err := m.client.Status(ctx)
	if err != nil {
		gauge(m.up, 0)
		return
	}
	gauge(m.up, 1)
	gauge(m.generation, float64(status.Config))
	gauge(m.table, float64(status.Generation))
	counters, err := m.client.Counters(ctx)
	if err != nil {
		return
	}
	for key, c := range counters {
		m.collect(out, key, c)
	}
}

func (m *metrics) collect(out chan<- prometheus.Metric, key balancer.Key, c balancer.Counters) {
	for class, n := range c.Requests {
		out <- prometheus.MustNewConstMetric(m.requests, prometheus.CounterValue, float64(n), key.Upstream, key.Cluster, class)
	}
	if key.Cluster == "" {
		return
	}
	buckets, total := map[float64]uint64{}, uint64(0)
	for i, bound := range balancer.BucketBounds() {
		total += c.Buckets[i]
		buckets[bound] = total
	}
	total += c.Buckets[len(c.Buckets)-1]
	out <- prometheus.MustNewConstHistogram(m.latency, total, c.Seconds, buckets, key.Upstream, key.Cluster)
}
