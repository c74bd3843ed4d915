package placement

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

const mib = 1 << 20

var small = Resources{MilliCPU: 500, MemoryBytes: 128 * mib}

// node has exactly the given free CPU and plenty of memory.
func node(name string, freeMilli int64) Node {
	return Node{
		Name:        name,
		Allocatable: Resources{MilliCPU: freeMilli + 1000, MemoryBytes: 64 << 30},
		Requested:   Resources{MilliCPU: 1000, MemoryBytes: 1 << 30},
	}
}

// cluster has one node with room for so many replicas of small beside the current ones.
func cluster(name string, room, current int) Cluster {
	return Cluster{Name: name, Eligible: true, Current: current, Nodes: []Node{node("n1", int64(room)*500)}}
}

func with(c Cluster, change func(*Cluster)) Cluster {
	change(&c)
	return c
}

func counts(p Plan) []int {
	out := []int{}
	for _, s := range p.Shares {
		out = append(out, s.Replicas)
	}
	return out
}

func TestDivision(t *testing.T) {
	cases := []struct {
		name      string
		desired   int
		rebalance bool
		clusters  []Cluster
		want      []int
		formula   string
	}{
		{
			name: "equal rooms share equally", desired: 4,
			clusters: []Cluster{cluster("site-a", 10, 0), cluster("site-b", 10, 0)},
			want:     []int{2, 2}, formula: "+4 replicas over site-a 0 of 10, site-b 0 of 10 → site-a 2, site-b 2",
		},
		{
			name: "a tie goes to the first name", desired: 1,
			clusters: []Cluster{cluster("site-b", 10, 0), cluster("site-a", 10, 0)},
			want:     []int{1, 0}, formula: "+1 replica over site-a 0 of 10, site-b 0 of 10 → site-a 1, site-b 0",
		},
		{
			// 53, 24 and 23 of 100 seats, the numbers of textbooks, divided by 10.
			name: "unequal rooms share in proportion", desired: 10,
			clusters: []Cluster{cluster("a", 53, 0), cluster("b", 24, 0), cluster("c", 23, 0)},
			want:     []int{6, 2, 2}, formula: "+10 replicas over a 0 of 53, b 0 of 24, c 0 of 23 → a 6, b 2, c 2",
		},
		{
			name: "growing gives only the difference away", desired: 6,
			clusters: []Cluster{cluster("site-a", 6, 4), cluster("site-b", 10, 0)},
			want:     []int{4, 2}, formula: "+2 replicas over site-a 4 of 10, site-b 0 of 10 → site-a 4, site-b 2",
		},
		{
			name: "shrinking takes back from the fullest", desired: 4,
			clusters: []Cluster{cluster("site-a", 4, 6), cluster("site-b", 8, 2)},
			want:     []int{2, 2}, formula: "-4 replicas over site-a 6 of 10, site-b 2 of 10 → site-a 2, site-b 2",
		},
		{
			name: "shrinking a tie keeps the first name", desired: 3,
			clusters: []Cluster{cluster("site-a", 8, 2), cluster("site-b", 8, 2)},
			want:     []int{2, 1}, formula: "-1 replica over site-a 2 of 10, site-b 2 of 10 → site-a 2, site-b 1",
		},
		{
			name: "nothing to do moves nothing, however lopsided", desired: 5,
			clusters: []Cluster{cluster("site-a", 5, 5), cluster("site-b", 10, 0)},
			want:     []int{5, 0}, formula: "5 replicas over site-a 5 of 10, site-b 0 of 10 → site-a 5, site-b 0",
		},
		{
			name: "rebalance divides anew", desired: 4, rebalance: true,
			clusters: []Cluster{cluster("site-a", 6, 4), cluster("site-b", 10, 0)},
			want:     []int{2, 2}, formula: "4 replicas anew over site-a 4 of 10, site-b 0 of 10 → site-a 2, site-b 2",
		},
		{
			name: "rebalance does not move a replica for a tie", desired: 3, rebalance: true,
			clusters: []Cluster{cluster("site-a", 9, 1), cluster("site-b", 8, 2)},
			want:     []int{1, 2}, formula: "3 replicas anew over site-a 1 of 10, site-b 2 of 10 → site-a 1, site-b 2",
		},
		{
			name: "weight multiplies room", desired: 4,
			clusters: []Cluster{with(cluster("site-a", 10, 0), func(c *Cluster) { c.Weight = 3 }), cluster("site-b", 10, 0)},
			want:     []int{3, 1}, formula: "+4 replicas over site-a 0 of 10 ×3, site-b 0 of 10 → site-a 3, site-b 1",
		},
		{
			name: "maximum sends the rest on", desired: 6,
			clusters: []Cluster{with(cluster("site-a", 10, 0), func(c *Cluster) { c.Max = 1 }), cluster("site-b", 10, 0)},
			want:     []int{1, 5}, formula: "+6 replicas over site-a 0 of 10, site-b 0 of 10 → site-a 1, site-b 5",
		},
		{
			name: "a minimum set later moves just enough", desired: 4,
			clusters: []Cluster{cluster("site-a", 10, 4), with(cluster("site-b", 10, 0), func(c *Cluster) { c.Min = 1 })},
			want:     []int{3, 1}, formula: "4 replicas over site-a 4 of 14, site-b 0 of 10 → site-a 3, site-b 1",
		},
		{
			name: "minima beyond the total share it", desired: 3,
			clusters: []Cluster{
				with(cluster("site-a", 10, 0), func(c *Cluster) { c.Min = 4 }),
				with(cluster("site-b", 10, 0), func(c *Cluster) { c.Min = 4 }),
			},
			want: []int{2, 1}, formula: "+3 replicas over site-a 0 of 10, site-b 0 of 10 → site-a 2, site-b 1",
		},
		{
			name: "a minimum without room is served as far as it goes", desired: 4,
			clusters: []Cluster{cluster("site-a", 10, 0), with(cluster("site-b", 1, 0), func(c *Cluster) { c.Min = 3 })},
			want:     []int{3, 1}, formula: "+4 replicas over site-a 0 of 10, site-b 0 of 1 → site-a 3, site-b 1",
		},
		{
			name: "an ineligible cluster's replicas move", desired: 5,
			clusters: []Cluster{cluster("site-a", 10, 2), with(cluster("site-b", 10, 3), func(c *Cluster) { c.Eligible, c.Reason = false, "is drained" })},
			want:     []int{5, 0}, formula: "+3 replicas over site-a 2 of 12 → site-a 5",
		},
		{
			// rule C1
			name: "a held cluster keeps its replicas", desired: 13,
			clusters: []Cluster{cluster("site-a", 10, 5), with(cluster("site-b", 0, 5), func(c *Cluster) { c.Hold = true })},
			want:     []int{8, 5}, formula: "+3 replicas over site-a 5 of 15 → site-a 8, + 5 held in site-b = 13",
		},
		{
			// rule C1
			name: "held replicas stay even when fewer are wanted", desired: 3,
			clusters: []Cluster{cluster("site-a", 10, 2), with(cluster("site-b", 0, 5), func(c *Cluster) { c.Hold = true })},
			want:     []int{0, 5}, formula: "-2 replicas over site-a 2 of 12 → site-a 0, + 5 held in site-b = 5",
		},
		{
			// the coverage rule's 8, all on A, while B stands by without traffic
			name: "idle replicas stay and do not count", desired: 8,
			clusters: []Cluster{cluster("site-a", 10, 5), with(cluster("site-b", 0, 5), func(c *Cluster) { c.Hold, c.Idle = true, true })},
			want:     []int{8, 5}, formula: "+3 replicas over site-a 5 of 15 → site-a 8",
		},
		{
			name: "no cluster at all and nothing wanted", desired: 0,
			want: []int{}, formula: "0 replicas over no cluster",
		},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			plan := Decide(Input{App: "web", Desired: tc.desired, PerReplica: small, Clusters: tc.clusters, Rebalance: tc.rebalance})
			if plan.Shortfall != nil {
				t.Fatalf("unexpected shortfall: %s", plan.Shortfall.Sentence)
			}
			if diff := cmp.Diff(tc.want, counts(plan)); diff != "" {
				t.Errorf("replicas (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tc.formula, plan.Formula); diff != "" {
				t.Errorf("formula (-want +got):\n%s", diff)
			}
		})
	}
}

func TestReasons(t *testing.T) {
	plan := Decide(Input{App: "web", Desired: 14, PerReplica: small, Clusters: []Cluster{
		cluster("site-a", 10, 2),
		with(cluster("site-b", 10, 3), func(c *Cluster) { c.Max = 4 }),
		with(cluster("site-c", 10, 1), func(c *Cluster) { c.Eligible, c.Reason = false, "is cordoned" }),
		with(cluster("site-d", 10, 2), func(c *Cluster) { c.Hold = true }),
		with(cluster("site-e", 1, 0), func(c *Cluster) { c.Min, c.Weight = 2, 50 }),
		with(cluster("site-f", 1, 0), func(c *Cluster) { c.Eligible = false }),
	}})
	want := []Share{
		{Cluster: "site-a", Replicas: 7, From: 2, Fits: 12, Reason: "site-a gains 5 of its room for 10 more"},
		{Cluster: "site-b", Replicas: 4, From: 3, Fits: 13, Reason: "site-b gains 1 of its room for 10 more; that is its maximum"},
		{Cluster: "site-c", Replicas: 0, From: 1, Fits: 0, Reason: "site-c is cordoned; its 1 replica moves to other clusters"},
		{Cluster: "site-d", Replicas: 2, From: 2, Fits: 2, Reason: "site-d keeps its 2 replicas: it is in rotation but cannot be observed"},
		{Cluster: "site-e", Replicas: 1, From: 0, Fits: 1, Reason: "site-e gains 1 of its room for 1 more and weight 50; its minimum of 2 has no room"},
		{Cluster: "site-f", Replicas: 0, From: 0, Fits: 0, Reason: "site-f is not eligible"},
	}
	if diff := cmp.Diff(want, plan.Shares); diff != "" {
		t.Errorf("shares (-want +got):\n%s", diff)
	}
	idle := Decide(Input{Clusters: []Cluster{{Name: "a", Hold: true, Idle: true, Current: 2}}})
	if got, want := idle.Shares[0].Reason, "a keeps its 2 replicas, which do not count: it gets no traffic"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if plan.Total() != 14 || plan.Replicas("site-a") != 7 || plan.Replicas("nowhere") != 0 || !plan.Changed() {
		t.Errorf("total %d, site-a %d, changed %t", plan.Total(), plan.Replicas("site-a"), plan.Changed())
	}
}

func TestMoreReasons(t *testing.T) {
	cases := []struct {
		name    string
		cluster Cluster
		desired int
		want    string
	}{
		{"keeps", cluster("a", 4, 3), 3, "a keeps 3"},
		{"gives back", cluster("a", 4, 3), 1, "a gives back 2 of 3"},
		{"full", cluster("a", 4, 3), 7, "a gains 4 of its room for 4 more; it is full now"},
		{"minimum", with(cluster("a", 4, 3), func(c *Cluster) { c.Min = 2 }), 2, "a gives back 1 of 3; that is its minimum"},
		{"minimum above total", with(cluster("a", 4, 3), func(c *Cluster) { c.Min = 3 }), 2, "a gives back 1 of 3; its minimum of 3 is more than the 2 wanted allow"},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			plan := Decide(Input{Desired: tc.desired, PerReplica: small, Clusters: []Cluster{tc.cluster}})
			if got := plan.Shares[0].Reason; got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}
