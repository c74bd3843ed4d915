package autoscaler

import (
	"slices"
	"time"

	"gantry.dev/pkg/names"
	gantryv1 "gantry.dev/proto/gen/gantry/v1"
	"gantry.dev/services/cluster-mgr/internal/autoscale"
	"gantry.dev/services/cluster-mgr/internal/fleet"
	"gantry.dev/services/cluster-mgr/internal/metrics"
	"gantry.dev/services/cluster-mgr/internal/observe"
	"gantry.dev/services/cluster-mgr/internal/placement"
	"gantry.dev/services/cluster-mgr/internal/schedule"
)

// round is what one round knows.
type round struct {
	fleet.Snapshot
	now     time.Time
	answers map[question]metrics.Answer
	// Pods by cluster, then app.
	pods map[string]map[string][]*gantryv1.Pod
	// Of each app, by the load balancer nodes; unknown says why that is not
	// all.
	traffic map[string]observe.AppTraffic
	unknown string
}

// podsByApp sorts what was seen by app, once for all.
func podsByApp(view observe.View) map[string]map[string][]*gantryv1.Pod {
	out := make(map[string]map[string][]*gantryv1.Pod, len(view.Clusters))
	for name, v := range view.Clusters {
		byApp := make(map[string][]*gantryv1.Pod, len(v.Workloads))
		for _, p := range v.Pods {
			if !p.GetTerminating() {
				byApp[p.GetApp()] = append(byApp[p.GetApp()], p)
			}
		}
		out[name] = byApp
	}
	return out
}

// input joins the answers with the pods that ipaas reports.
func (l *Loop) input(r round, app *gantryv1.App) (autoscale.Input, memory, error) {
	per, err := fleet.PerReplica(app.GetSpec().GetResources())
	if err != nil {
		return autoscale.Input{}, memory{}, err
	}
	last := l.memory[app.GetName()]
	schedules := last.schedules.of(app.GetSpec().GetAutoscale())
	in := autoscale.Input{
		App:                   app.GetName(),
		NowUnix:               r.now.Unix(),
		Policy:                policy(app.GetSpec().GetAutoscale(), schedules.plan, r.now),
		Current:               r.Assignments[app.GetName()].Value.Desired,
		History:               last.history,
		HoldSinceUnix:         last.holdSince,
		Growths:               last.growths,
		ScrapeIntervalSeconds: l.SampleInterval.Seconds(),
		EvalIntervalSeconds:   l.Interval.Seconds(),
		FrozenReason:          l.frozen(r.Snapshot, app),
	}
	next := memory{schedules: schedules}
	traffic, known := r.traffic[app.GetName()]
	in.Traffic, next.heard = last.heard.listen(traffic, known, r.unknown, r.now)
	for _, m := range app.GetSpec().GetAutoscale().GetMetrics() {
		in.Metrics = append(in.Metrics, metric(m))
	}
	for _, c := range r.Clusters {
		addCluster(&in, r, app, c.Value, per)
	}
	return in, next, nil
}

// addCluster adds one cluster's pods and samples. An evacuated cluster, and one
// from which traffic was switched away, counts for nothing.
func addCluster(in *autoscale.Input, r round, app *gantryv1.App, c *gantryv1.Cluster, per placement.Resources) {
	id := names.ID(c.GetName())
	observed, inRotation := r.Observed(c.GetName()), !c.GetEvacuated() && !fleet.Idle(c)
	in.Clusters = append(in.Clusters, autoscale.ClusterView{
		Name:       id,
		Observed:   observed,
		InRotation: inRotation,
		Replicas:   r.Assignments[app.GetName()].Value.Replicas(c.GetName()),
	})
	if !observed || !inRotation {
		return
	}
	pods := r.pods[c.GetName()][app.GetName()]
	for _, p := range pods {
		in.Pods = append(in.Pods, autoscale.Pod{Name: p.GetName(), Cluster: id, Ready: p.GetReady()})
	}
	namespace := "gantry-" + names.Project(app.GetName())
	for i, m := range app.GetSpec().GetAutoscale().GetMetrics() {
		answer := r.answers[about(m, app, c)]
		metric := &in.Metrics[i]
		metric.Warnings = mergeWarnings(metric.Warnings, answer.Warnings)
		for _, total := range answer.Totals {
			metric.Totals = append(metric.Totals, autoscale.NewTotal(id, total))
		}
		if len(answer.Totals) > 0 {
			continue
		}
		for _, p := range pods {
			values := answer.Pods[metrics.Pod{Cluster: id, Namespace: namespace, Name: p.GetName()}]
			metric.Samples = append(metric.Samples, samples(p.GetName(), id, values, unit(per, m))...)
		}
	}
}

// samples gives one sample per series that was found, or a missing one. What
// was found is fresh: the question does not see what is stale.
func samples(pod, cluster string, values []float64, unit float64) []autoscale.Sample {
	if len(values) == 0 {
		return []autoscale.Sample{{Pod: pod, Cluster: cluster, Missing: true}}
	}
	out := make([]autoscale.Sample, 0, len(values))
	for _, v := range values {
		out = append(out, autoscale.Sample{Pod: pod, Cluster: cluster, Percent: v * unit})
	}
	return out
}

// unit turns a number of Prometheus into what the target is compared with:
// percent of what one replica requests, or the number itself.
func unit(per placement.Resources, m *gantryv1.ScaleMetric) float64 {
	switch {
	case m.GetQuery() != "":
		return 1
	case m.GetResource() == gantryv1.ScaleMetric_RESOURCE_MEMORY:
		return 100 / float64(per.MemoryBytes)
	}
	return 100 / (float64(per.MilliCPU) / 1000)
}

func mergeWarnings(have, more []string) []string {
	for _, w := range more {
		if !slices.Contains(have, w) {
			have = append(have, w)
		}
	}
	return have
}

// longestName is how much of a query names its metric.
const longestName = 40

func metric(m *gantryv1.ScaleMetric) autoscale.Metric {
	switch {
	case m.GetQuery() != "":
		name := []rune(m.GetQuery())
		if len(name) > longestName {
			name = append(name[:longestName], '…')
		}
		return autoscale.Metric{Name: string(name), Plain: true, TargetPercent: m.GetTargetValue()}
	case m.GetResource() == gantryv1.ScaleMetric_RESOURCE_MEMORY:
		return autoscale.Metric{Name: "MEMORY", TargetPercent: float64(m.GetTargetPercent())}
	}
	return autoscale.Metric{Name: "CPU", TargetPercent: float64(m.GetTargetPercent())}
}

// schedules of a policy, read once: an app that has not changed has the same
// policy in each snapshot.
type schedules struct {
	policy *gantryv1.Autoscale
	plan   schedule.Plan
}

func (s schedules) of(policy *gantryv1.Autoscale) schedules {
	if s.policy == policy {
		return s
	}
	return schedules{policy, schedule.Read(fleet.Schedules(policy))}
}

// policy is an app's policy with the bounds that hold now.
func policy(a *gantryv1.Autoscale, schedules schedule.Plan, now time.Time) autoscale.Policy {
	bounds := schedules.At(int(a.GetMinReplicas()), int(a.GetMaxReplicas()), now)
	return autoscale.Policy{
		Min:              bounds.Min,
		Max:              bounds.Max,
		Schedules:        bounds.Active,
		Paused:           a.GetPaused(),
		ScaleToZero:      a.GetScaleToZero(),
		IdleSeconds:      int64(a.GetIdleSeconds()),
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
