package placement

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestShortfall(t *testing.T) {
	bigMemory := Resources{MilliCPU: 100, MemoryBytes: 40 << 30}
	cases := []struct {
		name     string
		desired  int
		per      Resources
		clusters []Cluster
		want     Shortfall
		keep     []int
	}{
		{
			name: "CPU, named per cluster", desired: 5, per: small,
			clusters: []Cluster{cluster("site-a", 1, 1), cluster("site-b", 0, 1)},
			want: Shortfall{Replicas: 2, MilliCPU: 1000, Sentence: "needs 3 more replicas of 500m CPU and 128 MiB; " +
				"site-a has room for 1, site-b for 0; short by 1000m CPU"},
			keep: []int{1, 1},
		},
		{
			name: "memory", desired: 3, per: bigMemory,
			clusters: []Cluster{cluster("site-a", 10, 0)},
			want: Shortfall{Replicas: 2, MemoryBytes: 80 << 30, Sentence: "needs 3 more replicas of 100m CPU and 40 GiB; " +
				"site-a has room for 1; short by 80 GiB of memory"},
			keep: []int{0},
		},
		{
			name: "free in pieces that are too small", desired: 1, per: Resources{MilliCPU: 1000},
			clusters: []Cluster{{Name: "a", Eligible: true, Nodes: []Node{node("n1", 600), node("n2", 600)}}},
			want: Shortfall{Replicas: 1, MilliCPU: 1000, Sentence: "needs 1 more replica of 1000m CPU; a has room for 0; short by 1000m CPU " +
				"(1200m CPU are free, in pieces too small for one replica or on nodes without pod slots)"},
			keep: []int{0},
		},
		{
			name: "memory free in pieces", desired: 1, per: Resources{MemoryBytes: 2 << 30},
			clusters: []Cluster{{Name: "a", Eligible: true, Nodes: []Node{
				{Name: "n1", Allocatable: Resources{MemoryBytes: 3 << 29}}, {Name: "n2", Allocatable: Resources{MemoryBytes: 3 << 29}},
			}}},
			want: Shortfall{Replicas: 1, MemoryBytes: 2 << 30, Sentence: "needs 1 more replica of 2 GiB; a has room for 0; short by 2 GiB of memory " +
				"(3 GiB are free, in pieces too small for one replica or on nodes without pod slots)"},
			keep: []int{0},
		},
		{
			name: "CPU on one node and memory on another", desired: 1, per: Resources{1000, 1 << 30},
			clusters: []Cluster{{Name: "a", Eligible: true, Nodes: []Node{
				{Name: "n1", Allocatable: Resources{4000, 1}}, {Name: "n2", Allocatable: Resources{1, 4 << 30}},
			}}},
			want: Shortfall{Replicas: 1, MilliCPU: 1000, MemoryBytes: 1 << 30, Sentence: "needs 1 more replica of 1000m CPU and 1 GiB; " +
				"a has room for 0; no node has enough CPU and memory free together"},
			keep: []int{0},
		},
		{
			name: "maxima", desired: 9, per: small,
			clusters: []Cluster{with(cluster("site-a", 10, 2), func(c *Cluster) { c.Max = 3 }), with(cluster("site-b", 10, 0), func(c *Cluster) { c.Max = 3 })},
			want: Shortfall{Replicas: 3, Sentence: "needs 7 more replicas of 500m CPU and 128 MiB; site-a has room for 1 (its maximum is 3), " +
				"site-b for 3 (its maximum is 3); the maxima of the clusters leave out 3 replicas"},
			keep: []int{2, 0},
		},
		{
			name: "pod slots", desired: 3, per: Resources{},
			clusters: []Cluster{{Name: "a", Eligible: true, Nodes: []Node{{MaxPods: 4, Pods: 2}}}},
			want:     Shortfall{Replicas: 1, Sentence: "needs 3 more replicas of no stated size; a has room for 2; the nodes take no more pods"},
			keep:     []int{0},
		},
		{
			// rule C1: nothing is taken from a cluster only because the others are full
			name: "the replicas of an ineligible cluster stay until there is room", desired: 6, per: small,
			clusters: []Cluster{cluster("site-a", 1, 3), with(cluster("site-b", 9, 3), func(c *Cluster) { c.Eligible, c.Reason = false, "is down" }),
				with(cluster("site-c", 0, 0), func(c *Cluster) { c.Hold = true })},
			want: Shortfall{Replicas: 2, MilliCPU: 1000, Sentence: "needs 3 more replicas of 500m CPU and 128 MiB; " +
				"site-a has room for 1, site-b is down, site-c holds its 0; short by 1000m CPU"},
			keep: []int{3, 3, 0},
		},
		{
			name: "nothing eligible", desired: 2, per: small,
			clusters: []Cluster{with(cluster("site-a", 9, 1), func(c *Cluster) { c.Eligible = false })},
			want:     Shortfall{Replicas: 2, MilliCPU: 1000, MemoryBytes: 256 * mib, Sentence: "needs 2 more replicas of 500m CPU and 128 MiB; site-a is not eligible; no cluster is eligible"},
			keep:     []int{1},
		},
		{
			name: "no cluster", desired: 1, per: Resources{MilliCPU: 1},
			want: Shortfall{Replicas: 1, MilliCPU: 1, Sentence: "needs 1 more replica of 1m CPU; there is no cluster; no cluster is eligible"},
			keep: []int{},
		},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			plan := Decide(Input{Desired: tc.desired, PerReplica: tc.per, Clusters: tc.clusters})
			if plan.Shortfall == nil {
				t.Fatalf("no shortfall in %+v", plan)
			}
			if diff := cmp.Diff(tc.want, *plan.Shortfall); diff != "" {
				t.Errorf("shortfall (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tc.keep, counts(plan)); diff != "" {
				t.Errorf("shares must be unchanged (-want +got):\n%s", diff)
			}
			if plan.Changed() {
				t.Error("a refused plan says that it changes something")
			}
		})
	}
}

func TestPartly(t *testing.T) {
	in := Input{Desired: 6, PerReplica: small, Partly: true, Clusters: []Cluster{
		cluster("site-a", 1, 3), with(cluster("site-b", 9, 3), func(c *Cluster) { c.Eligible, c.Reason = false, "is evacuated" }),
	}}
	plan := Decide(in)
	if diff := cmp.Diff([]int{4, 0}, counts(plan)); diff != "" {
		t.Errorf("replicas (-want +got):\n%s", diff)
	}
	if want := "+1 replica over site-a 3 of 4 → site-a 4, 2 replicas not placed"; plan.Formula != want {
		t.Errorf("formula %q, want %q", plan.Formula, want)
	}
	if plan.Shortfall == nil || plan.Shortfall.Replicas != 2 || plan.Shortfall.MilliCPU != 1000 {
		t.Errorf("shortfall %+v", plan.Shortfall)
	}
	in.Desired = 4
	if plan = Decide(in); plan.Shortfall != nil || plan.Total() != 4 {
		t.Errorf("what fits whole is placed as always: %+v", plan)
	}
}

func TestBytesText(t *testing.T) {
	for b, want := range map[int64]string{
		1: "1 bytes", 2048: "2 KiB", 1500: "1500 bytes", 128 * mib: "128 MiB", 3 << 30: "3 GiB", 3 * mib / 2: "1.5 MiB", 3 << 29: "1536 MiB",
	} {
		if got := bytesText(b); got != want {
			t.Errorf("bytesText(%d) = %q, want %q", b, got, want)
		}
	}
}
