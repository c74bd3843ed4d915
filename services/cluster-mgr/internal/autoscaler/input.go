package autoscaler

import (
	"context"
	"math"
	"slices"
	"time"

	"gantry.dev/pkg/names"
	gantryv1 "gantry.dev/proto/gen/gantry/v1"
	"gantry.dev/services/cluster-mgr/internal/autoscale"
	"gantry.dev/services/cluster-mgr/internal/fleet"
	"gantry.dev/services/cluster-mgr/internal/metrics"
	"gantry.dev/services/cluster-mgr/internal/placement"
)

// question is one grouped query: a resource at one Prometheus.
type question struct {
	url      string
	resource gantryv1.ScaleMetric_Resource
}

// reply is an answer or why there is none.
type reply struct {
	metrics.Answer
	err error
}

// ask puts each question that some app's policy needs once.
func (l *Loop) ask(ctx context.Context, s fleet.Snapshot) map[question]reply {
	replies := map[question]reply{}
	for _, r := range resources(s) {
		for _, c := range s.Clusters {
			q := question{c.Value.GetPrometheusUrl(), r}
			if _, asked := replies[q]; asked || q.url == "" {
				continue
			}
			replies[q] = l.put(ctx, q)
		}
	}
	return replies
}

func (l *Loop) put(ctx context.Context, q question) (r reply) {
	if q.resource == gantryv1.ScaleMetric_RESOURCE_MEMORY {
		r.Answer, r.err = l.source.Memory(ctx, q.url)
	} else {
		r.Answer, r.err = l.source.CPU(ctx, q.url)
	}
	if r.err != nil {
		l.Logger.Warn("Prometheus gave no answer; affected apps hold their replicas", "url", q.url, "error", r.err.Error())
	}
	return r
}

func resources(s fleet.Snapshot) []gantryv1.ScaleMetric_Resource {
	var used []gantryv1.ScaleMetric_Resource
	for _, app := range s.Apps {
		for _, m := range app.Value.GetSpec().GetAutoscale().GetMetrics() {
			if !slices.Contains(used, m.GetResource()) {
				used = append(used, m.GetResource())
			}
		}
	}
	return used
}

// input joins the answers with the pods that ipaas reports.
func (l *Loop) input(s fleet.Snapshot, app *gantryv1.App, replies map[question]reply, now time.Time) (autoscale.Input, error) {
	per, err := fleet.PerReplica(app.GetSpec().GetResources())
	if err != nil {
		return autoscale.Input{}, err
	}
	in := autoscale.Input{
		App:                   app.GetName(),
		NowUnix:               now.Unix(),
		Policy:                policy(app.GetSpec().GetAutoscale()),
		Current:               s.Assignments[app.GetName()].Value.Desired,
		History:               l.memory[app.GetName()].history,
		HoldSinceUnix:         l.memory[app.GetName()].holdSince,
		ScrapeIntervalSeconds: l.SampleInterval.Seconds(),
		EvalIntervalSeconds:   l.Interval.Seconds(),
		FrozenReason:          l.frozen(s, app),
	}
	for _, m := range app.GetSpec().GetAutoscale().GetMetrics() {
		in.Metrics = append(in.Metrics, autoscale.Metric{Name: metricName(m), TargetPercent: float64(m.GetTargetPercent())})
	}
	for _, c := range s.Clusters {
		l.addCluster(&in, s, app, c.Value, per, replies)
	}
	return in, nil
}

// addCluster adds one cluster's pods and samples. An evacuated cluster, and one
// from which traffic was switched away, counts for nothing.
func (l *Loop) addCluster(in *autoscale.Input, s fleet.Snapshot, app *gantryv1.App, c *gantryv1.Cluster, per placement.Resources, replies map[question]reply) {
	id := names.ID(c.GetName())
	observed, inRotation := s.Observed(c.GetName()), !c.GetEvacuated() && !fleet.Idle(c)
	in.Clusters = append(in.Clusters, autoscale.ClusterView{
		Name:       id,
		Observed:   observed,
		InRotation: inRotation,
		Replicas:   s.Assignments[app.GetName()].Value.Replicas(c.GetName()),
	})
	if !observed || !inRotation {
		return
	}
	var ready []string
	for _, p := range s.View.Clusters[c.GetName()].Pods {
		if p.GetApp() != app.GetName() || p.GetTerminating() {
			continue
		}
		in.Pods = append(in.Pods, autoscale.Pod{Name: p.GetName(), Cluster: id, Ready: p.GetReady()})
		ready = append(ready, p.GetName())
	}
	for i, m := range app.GetSpec().GetAutoscale().GetMetrics() {
		r := replies[question{c.GetPrometheusUrl(), m.GetResource()}]
		metric := &in.Metrics[i]
		metric.Warnings = mergeWarnings(metric.Warnings, r.Warnings)
		for _, pod := range ready {
			key := metrics.Pod{Cluster: id, Namespace: "gantry-" + names.Project(app.GetName()), Name: pod}
			metric.Samples = append(metric.Samples, samples(pod, id, r.Pods[key], request(per, m.GetResource()))...)
		}
	}
}

// samples gives one sample per series that was found, or a missing one.
func samples(pod, cluster string, values []metrics.Value, request float64) []autoscale.Sample {
	if len(values) == 0 {
		return []autoscale.Sample{{Pod: pod, Cluster: cluster, Missing: true}}
	}
	var out []autoscale.Sample
	for _, v := range values {
		s := autoscale.Sample{Pod: pod, Cluster: cluster, Percent: v.Use / request * 100, AgeSeconds: v.AgeSeconds}
		if math.IsInf(v.AgeSeconds, 0) {
			s.Missing, s.AgeSeconds = true, 0
		}
		out = append(out, s)
	}
	return out
}

// request is what one replica requests, in the unit that the metric has.
func request(per placement.Resources, r gantryv1.ScaleMetric_Resource) float64 {
	if r == gantryv1.ScaleMetric_RESOURCE_MEMORY {
		return float64(per.MemoryBytes)
	}
	return float64(per.MilliCPU) / 1000
}

func mergeWarnings(have, more []string) []string {
	for _, w := range more {
		if !slices.Contains(have, w) {
			have = append(have, w)
		}
	}
	return have
}

func metricName(m *gantryv1.ScaleMetric) string {
	if m.GetResource() == gantryv1.ScaleMetric_RESOURCE_MEMORY {
		return "MEMORY"
	}
	return "CPU"
}

func policy(a *gantryv1.Autoscale) autoscale.Policy {
	return autoscale.Policy{
		Min:              int(a.GetMinReplicas()),
		Max:              int(a.GetMaxReplicas()),
		Rounding:         rounding(a.GetRounding()),
		TolerancePercent: float64(a.GetTolerancePercent()),
		WindowSeconds:    int(a.GetStabilizationSeconds()),
		MaxStepUp:        int(a.GetMaxStepUp()),
		MaxStepDown:      int(a.GetMaxStepDown()),
	}
}

func rounding(r gantryv1.Autoscale_Rounding) string {
	switch r {
	case gantryv1.Autoscale_ROUNDING_UP:
		return autoscale.RoundUp
	case gantryv1.Autoscale_ROUNDING_DOWN:
		return autoscale.RoundDown
	default:
		return autoscale.RoundNearest
	}
}

// frozen says why an app's number may not change now: never two writers.
func (l *Loop) frozen(s fleet.Snapshot, app *gantryv1.App) string {
	if why := l.Frozen(); why != "" {
		return why
	}
	if why := s.Moving(); why != "" {
		return why
	}
	return s.Rollout(app)
}
