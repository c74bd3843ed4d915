// Package run is the benchmark: it starts everything, measures Gantry, the
// peer and the floors one after the other on the same clusters, and gives the
// figures.
package run

import (
	"fmt"
	"time"

	"gantry.dev/test/bench/internal/kube"
)

// What every app is like.
const (
	replicas = 4
	// One pod requests one CPU and shall use half of it.
	targetPercent = 50
	target        = 0.5
	maxReplicas   = 20
	// share of the target that an app uses normally, and by how much that is
	// another at each scrape: within the tolerance of ten percent.
	share  = 0.95
	jitter = 0.03
	// tolerance of both autoscalers.
	tolerance = 0.1
)

// Size says how much is measured.
type Size struct {
	Apps, Projects int
	// Apps that are overloaded at once, and how often other ones are.
	Stepped, Steps int
	// Apps deployed at once, and how often: Gantry and the floor take turns.
	Deploys, Waves int
	// How long the steady state is watched, and how long nothing is.
	Window, Idle time.Duration
	// Nodes of a cluster.
	Nodes int
	// How often a floor is measured; the best counts.
	FloorRuns int
}

// Full is the size of the goals.
func Full() Size {
	return Size{Apps: 1000, Projects: 20, Stepped: 50, Steps: 2, Deploys: 100, Waves: 3, Window: time.Minute, Idle: 20 * time.Second, Nodes: 20, FloorRuns: 2}
}

// Stretch is five times the apps.
func Stretch() Size {
	s := Full()
	s.Apps, s.FloorRuns = 5000, 1
	return s
}

// Smoke shows within minutes that everything works; its figures mean nothing.
func Smoke() Size {
	return Size{Apps: 20, Projects: 4, Stepped: 6, Steps: 1, Deploys: 10, Waves: 1, Window: 10 * time.Second, Idle: 5 * time.Second, Nodes: 4, FloorRuns: 1}
}

// apps are the names of all apps, divided evenly among the projects.
func (s Size) apps() []kube.Key {
	out := make([]kube.Key, s.Apps)
	for i := range out {
		out[i] = kube.KeyOf("gantry-"+project(i%s.Projects), fmt.Sprintf("app-%04d", i))
	}
	return out
}

func project(i int) string { return fmt.Sprintf("bench-%02d", i) }

// overload is one way to overload an app: what its pods use together, and how
// many replicas that needs. The number of pods before it does not matter: from
// any smaller one the surplus is beyond the tolerance.
type overload struct {
	cpus   float64
	expect int
}

func overloads() []overload {
	var out []overload
	for whole := replicas; whole < replicas+3; whole++ {
		out = append(out, overload{(float64(whole) + 0.8) * target, whole + 1})
	}
	return out
}
