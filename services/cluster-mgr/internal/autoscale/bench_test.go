package autoscale_test

import (
	"fmt"
	"testing"

	"gantry.dev/services/cluster-mgr/internal/autoscale"
)

// BenchmarkRound decides 1,000 apps of 4 pods, the work of one round without
// its queries.
func BenchmarkRound(b *testing.B) {
	const apps = 1000
	inputs := make([]autoscale.Input, apps)
	for i := range inputs {
		inputs[i] = steady(fmt.Sprintf("projects/p/apps/a%d", i))
	}
	b.ReportAllocs()
	for b.Loop() {
		for _, in := range inputs {
			if d := autoscale.Decide(in); d.Action != autoscale.ActionHold {
				b.Fatal(d)
			}
		}
	}
	b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N)/apps, "µs/app")
}

// steady is an app on its target, over two clusters.
func steady(app string) autoscale.Input {
	in := autoscale.Input{
		App: app, NowUnix: 1_700_000_000, Current: 4, ScrapeIntervalSeconds: 15,
		Policy:  autoscale.Policy{Min: 2, Max: 10},
		Metrics: []autoscale.Metric{{Name: "CPU", TargetPercent: 50}},
	}
	for c := range 2 {
		cluster := fmt.Sprintf("site-%d", c)
		in.Clusters = append(in.Clusters, autoscale.ClusterView{Name: cluster, Observed: true, InRotation: true, Replicas: 2})
		for p := range 2 {
			pod := fmt.Sprintf("%s-%d", cluster, p)
			in.Pods = append(in.Pods, autoscale.Pod{Name: pod, Cluster: cluster, Ready: true})
			in.Metrics[0].Samples = append(in.Metrics[0].Samples, autoscale.Sample{Pod: pod, Cluster: cluster, Percent: 50, AgeSeconds: 1})
		}
	}
	return in
}
