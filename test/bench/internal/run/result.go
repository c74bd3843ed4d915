package run

import (
	"cmp"
	"math"
	"runtime"
	"slices"
	"time"

	"gantry.dev/test/bench/internal/kube"
	"gantry.dev/test/bench/internal/usage"
)

// Result is everything that was measured, in seconds, CPU seconds and MiB.
type Result struct {
	Time    time.Time `json:"time"`
	Size    Size      `json:"size"`
	Machine Machine   `json:"machine"`
	// By "gantry", "hpa default", "hpa tuned".
	Steady map[string]Steady `json:"steady"`
	Steps  map[string]Step   `json:"steps"`
	// The bare grouped query.
	Query  Query             `json:"query"`
	Idle   map[string]Steady `json:"idle"`
	Deploy Deploy            `json:"deploy"`
	Move   Move              `json:"move"`
	// Replicas that each autoscaler computed in the end, by its name.
	Answers map[string]map[kube.Key]int `json:"answers"`
	// Apps for which both computed another number of replicas; empty: none.
	Differences []string `json:"differences"`
	// The table as it is printed.
	Rows []Row `json:"rows"`
}

func newResult(size Size) Result {
	return Result{
		Size: size, Machine: Machine{CPUs: runtime.NumCPU()}, Answers: map[string]map[kube.Key]int{},
		Steady: map[string]Steady{}, Steps: map[string]Step{}, Idle: map[string]Steady{},
	}
}

// Machine is where and how loaded.
type Machine struct {
	CPUs       int     `json:"cpus"`
	LoadBefore float64 `json:"load_before"`
	LoadAfter  float64 `json:"load_after"`
}

// Steady is a window in which every app stays within the tolerance.
type Steady struct {
	usage.Span
	// How long a round over all apps took, and how many were seen.
	Round  float64 `json:"round_seconds"`
	Rounds int     `json:"rounds"`
	// Between two evaluations of one app.
	Interval Dist `json:"interval"`
	// CPU seconds per round of all processes together, and without what they
	// use while nobody autoscales.
	CPUPerRound    float64 `json:"cpu_seconds_per_round"`
	NetCPUPerRound float64 `json:"net_cpu_seconds_per_round"`
	// Write requests to the API servers per minute, without leases, and by
	// kind; and the leases.
	WritesPerMinute float64            `json:"writes_per_minute"`
	WritesByKind    map[string]float64 `json:"writes_by_kind"`
	LeasesPerMinute float64            `json:"leases_per_minute"`
	// Changes in Gantry's etcd per minute, and in those of the clusters (the
	// writes above, leases too).
	ChangesPerMinute     float64 `json:"etcd_changes_per_minute"`
	KubeChangesPerMinute float64 `json:"kube_etcd_changes_per_minute"`
	// Resident memory of each process at the end, MiB.
	RSS map[string]float64 `json:"rss_mib"`
}

// Step is how long overloaded apps waited.
type Step struct {
	// From visible in Prometheus to the first change of spec.replicas, and to
	// the number that is due.
	First Dist `json:"first"`
	Final Dist `json:"final"`
	// Apps that did not get there in time, and those changed without a reason.
	Late  int `json:"late"`
	Wrong int `json:"wrong"`
}

// Query is the bare grouped query, run alone.
type Query struct {
	Wall Dist    `json:"wall"`
	CPU  float64 `json:"cpu_seconds"`
	// Series in the answer.
	Series int `json:"series"`
}

// Deploy is from the call to the object in both clusters, by waves.
type Deploy struct {
	Gantry []Dist `json:"gantry"`
	// From the call to its answer.
	Answer []Dist `json:"gantry_answer"`
	Floors []Dist `json:"floors"`
	// From the first call to the last object of Gantry's last wave.
	Usage usage.Span `json:"usage"`
}

// Move is the loss of a cluster.
type Move struct {
	Apps     int `json:"apps"`
	Replicas int `json:"replicas"`
	// From the kill to the plan, from its approval to the last wanted replica.
	Detection float64   `json:"detection"`
	Wanted    float64   `json:"wanted"`
	Floors    []float64 `json:"floors"`
	// Resident memory of cluster-mgr afterwards, MiB.
	ManagerRSS float64 `json:"cluster_mgr_rss_mib"`
	// From the approval to the last wanted replica.
	Usage usage.Span `json:"usage"`
}

// Dist describes a sample, in seconds.
type Dist struct {
	Count int     `json:"count"`
	P50   float64 `json:"p50"`
	P99   float64 `json:"p99"`
	Max   float64 `json:"max"`
}

// distOf describes durations; zeros when there are none.
func distOf(sample []time.Duration) Dist {
	if len(sample) == 0 {
		return Dist{}
	}
	sorted := slices.Sorted(slices.Values(sample))
	at := func(p float64) float64 {
		return sorted[int(math.Ceil(p*float64(len(sorted))))-1].Seconds()
	}
	return Dist{Count: len(sorted), P50: at(0.5), P99: at(0.99), Max: at(1)}
}

// middleP99 is the median of the waves' p99; 0 when there are none.
func middleP99(waves []Dist) float64 {
	if len(waves) == 0 {
		return 0
	}
	sorted := slices.SortedFunc(slices.Values(waves), func(a, b Dist) int { return cmp.Compare(a.P99, b.P99) })
	return sorted[len(sorted)/2].P99
}

// best is the smallest of floors; 0 when there are none.
func best(floors []float64) float64 {
	if len(floors) == 0 {
		return 0
	}
	return slices.Min(floors)
}
