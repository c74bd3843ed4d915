package autoscale

import "fmt"

const now = int64(1_790_000_000)

// load adds n ready pods of a cluster, each at percent of CPU, with fresh samples.
func load(in *Input, cluster string, n int, percent float64) {
	for i := range n {
		pod := fmt.Sprintf("web-%s-%02d", cluster, i)
		in.Pods = append(in.Pods, Pod{Name: pod, Cluster: cluster, Ready: true})
		in.Metrics[0].Samples = append(in.Metrics[0].Samples, Sample{Pod: pod, Cluster: cluster, Percent: percent, AgeSeconds: 1})
	}
	in.Current += n
	in.Clusters = append(in.Clusters, ClusterView{Name: cluster, Observed: true, InRotation: true, Replicas: n})
}

func cpuInput(target float64) Input {
	return Input{
		App: "web", NowUnix: now, ScrapeIntervalSeconds: 2,
		Policy:  Policy{Min: 1, Max: 100},
		Metrics: []Metric{{Name: "CPU", TargetPercent: target}},
	}
}

// app is one cluster with n pods at percent, target 50.
func app(n int, percent float64) Input {
	in := cpuInput(50)
	load(&in, "site-a", n, percent)
	return in
}

// quiet is a history that covers the whole default window with one wanted number.
func quiet(desired int) []Recommendation {
	var h []Recommendation
	for at := now - 300; at < now; at += 30 {
		h = append(h, Recommendation{AtUnix: at, Desired: desired})
	}
	return h
}

func with(in Input, change func(*Input)) Input {
	change(&in)
	return in
}
