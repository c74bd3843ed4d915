package placement

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func priority(c Cluster, p int) Cluster {
	c.Priority = p
	return c
}

func TestStrategies(t *testing.T) {
	cases := []struct {
		name      string
		strategy  Strategy
		desired   int
		rebalance bool
		clusters  []Cluster
		want      []int
		formula   string
	}{
		{
			name: "packed into the roomiest", strategy: StrategyPack, desired: 8,
			clusters: []Cluster{cluster("site-a", 6, 0), cluster("site-b", 9, 0), cluster("site-c", 9, 0)},
			want:     []int{0, 8, 0}, formula: "+8 replicas packed over site-a 0 of 6, site-b 0 of 9, site-c 0 of 9 → site-a 0, site-b 8, site-c 0",
		},
		{
			name: "packed: what is in use first, then the next roomiest", strategy: StrategyPack, desired: 9,
			clusters: []Cluster{cluster("site-a", 4, 2), cluster("site-b", 9, 0), cluster("site-c", 10, 0)},
			want:     []int{6, 0, 3}, formula: "+7 replicas packed over site-a 2 of 6, site-b 0 of 9, site-c 0 of 10 → site-a 6, site-b 0, site-c 3",
		},
		{
			name: "packed: shrinking empties the smallest", strategy: StrategyPack, desired: 5,
			clusters: []Cluster{cluster("site-a", 4, 5), cluster("site-b", 9, 2), cluster("site-c", 10, 1)},
			want:     []int{5, 0, 0}, formula: "-3 replicas packed over site-a 5 of 9, site-b 2 of 11, site-c 1 of 11 → site-a 5, site-b 0, site-c 0",
		},
		{
			name: "packed: a minimum keeps its cluster in use", strategy: StrategyPack, desired: 4,
			clusters: []Cluster{with(cluster("site-a", 4, 0), func(c *Cluster) { c.Min = 1 }), cluster("site-b", 9, 0)},
			want:     []int{4, 0}, formula: "+4 replicas packed over site-a 0 of 4, site-b 0 of 9 → site-a 4, site-b 0",
		},
		{
			name: "packed anew", strategy: StrategyPack, desired: 6, rebalance: true,
			clusters: []Cluster{cluster("site-a", 4, 3), cluster("site-b", 9, 3)},
			want:     []int{0, 6}, formula: "6 replicas anew packed over site-a 3 of 7, site-b 3 of 12 → site-a 0, site-b 6",
		},
		{
			name: "in order, overflowing", strategy: StrategyOrdered, desired: 8,
			clusters: []Cluster{cluster("site-a", 9, 0), priority(cluster("site-b", 6, 0), 10), priority(with(cluster("site-c", 9, 0), func(c *Cluster) { c.Max = 1 }), 5)},
			want:     []int{1, 6, 1}, formula: "+8 replicas in order over site-a 0 of 9 (priority 0), site-b 0 of 6 (priority 10), site-c 0 of 9 (priority 5) → site-a 1, site-b 6, site-c 1",
		},
		{
			name: "in order: shrinking takes from the last first", strategy: StrategyOrdered, desired: 6,
			clusters: []Cluster{cluster("site-a", 3, 3), priority(cluster("site-b", 3, 4), 10), priority(cluster("site-c", 3, 2), 5)},
			want:     []int{0, 4, 2}, formula: "-3 replicas in order over site-a 3 of 6 (priority 0), site-b 4 of 7 (priority 10), site-c 2 of 5 (priority 5) → site-a 0, site-b 4, site-c 2",
		},
		{
			name: "in order: ties by name, minima bind", strategy: StrategyOrdered, desired: 4,
			clusters: []Cluster{cluster("site-b", 9, 0), cluster("site-a", 9, 0), with(cluster("site-c", 9, 0), func(c *Cluster) { c.Min = 1 })},
			want:     []int{3, 0, 1}, formula: "+4 replicas in order over site-a 0 of 9 (priority 0), site-b 0 of 9 (priority 0), site-c 0 of 9 (priority 0) → site-a 3, site-b 0, site-c 1",
		},
		{
			name: "in order: room that comes back is not filled by itself", strategy: StrategyOrdered, desired: 3,
			clusters: []Cluster{cluster("site-a", 9, 3), priority(cluster("site-b", 9, 0), 1)},
			want:     []int{3, 0}, formula: "3 replicas in order over site-a 3 of 12 (priority 0), site-b 0 of 9 (priority 1) → site-a 3, site-b 0",
		},
		{
			name: "the first replica of a cluster comes at half the price", desired: 2,
			clusters: []Cluster{cluster("site-a", 30, 0), cluster("site-b", 8, 0)},
			want:     []int{1, 1}, formula: "+2 replicas over site-a 0 of 30, site-b 0 of 8 → site-a 1, site-b 1",
		},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			p := Decide(Input{Desired: tc.desired, PerReplica: small, Clusters: tc.clusters, Strategy: tc.strategy, Rebalance: tc.rebalance})
			if p.Shortfall != nil {
				t.Fatal(p.Shortfall.Sentence)
			}
			if diff := cmp.Diff(tc.want, counts(p)); diff != "" {
				t.Errorf("replicas (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tc.formula, p.Formula); diff != "" {
				t.Errorf("formula (-want +got):\n%s", diff)
			}
		})
	}
}

func TestAvoided(t *testing.T) {
	avoided := func(c Cluster, stuck int) Cluster {
		c.Stuck, c.Avoid = stuck, "no node takes some of its replicas"
		return c
	}
	cases := []struct {
		name      string
		desired   int
		rebalance bool
		clusters  []Cluster
		want      []int
		missing   int
		reason    string
	}{
		{"stuck replicas go elsewhere", 6, false, []Cluster{avoided(cluster("site-a", 9, 4), 3), cluster("site-b", 9, 2)}, []int{1, 5}, 0,
			"site-a gives back 3 of 4: no node takes some of its replicas"},
		{"an avoided cluster takes no more", 6, false, []Cluster{avoided(cluster("site-a", 9, 4), 0), cluster("site-b", 9, 0)}, []int{4, 2}, 0,
			"site-a keeps 4; it takes no more: no node takes some of its replicas"},
		{"what fits nowhere else stays", 6, false, []Cluster{avoided(cluster("site-a", 9, 4), 3), cluster("site-b", 0, 2)}, []int{4, 2}, 3,
			"site-a keeps 4; it takes no more: no node takes some of its replicas"},
		{"and only that", 6, false, []Cluster{avoided(cluster("site-a", 9, 4), 3), cluster("site-b", 2, 2)}, []int{2, 4}, 1,
			"site-a gives back 2 of 4: no node takes some of its replicas"},
		{"also when dividing anew", 6, true, []Cluster{avoided(cluster("site-a", 9, 4), 3), cluster("site-b", 0, 2)}, []int{4, 2}, 3, ""},
		{"more than there is room for is refused whole", 9, false, []Cluster{avoided(cluster("site-a", 9, 4), 3), cluster("site-b", 2, 2)}, []int{4, 2}, 4, ""},
		{"two are avoided: nothing goes round in a circle", 6, false, []Cluster{avoided(cluster("site-a", 9, 4), 3), avoided(cluster("site-b", 9, 2), 0)}, []int{4, 2}, 3, ""},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			p := Decide(Input{Desired: tc.desired, PerReplica: small, Clusters: tc.clusters, Rebalance: tc.rebalance})
			if diff := cmp.Diff(tc.want, counts(p)); diff != "" {
				t.Errorf("replicas (-want +got):\n%s", diff)
			}
			missing := 0
			if p.Shortfall != nil {
				missing = p.Shortfall.Replicas
			}
			if missing != tc.missing {
				t.Errorf("%d missing, want %d: %+v", missing, tc.missing, p.Shortfall)
			}
			if tc.reason != "" && p.Shares[0].Reason != tc.reason {
				t.Errorf("reason %q", p.Shares[0].Reason)
			}
		})
	}
	p := Decide(Input{Desired: 6, PerReplica: small, Clusters: []Cluster{avoided(cluster("site-a", 9, 4), 3), cluster("site-b", 0, 2)}})
	if want := "needs 3 more replicas of 500m CPU and 128 MiB; site-a has room for 0 (no node takes 3 of its replicas), site-b for 0; the clusters that are avoided leave out 3 replicas"; p.Shortfall.Sentence != want {
		t.Errorf("sentence %q", p.Shortfall.Sentence)
	}
}

// Of all divisions with the fewest moves, PACK uses the fewest clusters.
func TestPackUsesFewestClusters(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := Input{PerReplica: small, Strategy: StrategyPack, Rebalance: rapid.Bool().Draw(t, "rebalance")}
		sum := 0
		for i := range rapid.IntRange(1, 4).Draw(t, "clusters") {
			c := cluster(fmt.Sprintf("site-%c", 'a'+i), rapid.IntRange(0, 6).Draw(t, "room"), rapid.IntRange(0, 4).Draw(t, "current"))
			sum += c.Current
			in.Clusters = append(in.Clusters, c)
		}
		in.Desired = rapid.IntRange(0, 12).Draw(t, "desired")
		p := Decide(in)
		if p.Shortfall != nil {
			return
		}
		used := 0
		for _, s := range p.Shares {
			if s.Replicas > 0 {
				used++
			}
		}
		if least := fewest(in, sum, 0, in.Desired); used != least {
			t.Fatalf("%d clusters, %d would do: %s", used, least, p.Formula)
		}
	})
}

func fewest(in Input, present, i, left int) int {
	if i == len(in.Clusters) {
		if left == 0 {
			return 0
		}
		return 1 << 20
	}
	c := in.Clusters[i]
	lo, hi := 0, c.Current+clusterRoom(c, in.PerReplica).both
	switch {
	case in.Rebalance:
	case in.Desired >= present:
		lo = c.Current
	default:
		hi = c.Current
	}
	best := 1 << 20
	for n := lo; n <= min(hi, left); n++ {
		best = min(best, min(n, 1)+fewest(in, present, i+1, left-n))
	}
	return best
}

// ORDERED: whoever gains has no one before it with room left, and whoever gives has no one after it that
// could give.
func TestOrderIsKept(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := inputs(t)
		in.Strategy = StrategyOrdered
		for i := range in.Clusters {
			in.Clusters[i].Priority = rapid.IntRange(0, 2).Draw(t, "priority")
			in.Clusters[i].Min = 0
		}
		p := Decide(in)
		if p.Shortfall != nil || in.Rebalance {
			return
		}
		d := newDivision(in)
		for i, s := range p.Shares {
			for j, o := range p.Shares {
				if !d.seat[i].Eligible || !d.seat[j].Eligible || !d.inOrder(i, j) {
					continue
				}
				if o.Replicas > o.From && s.Replicas < d.seat[i].hi {
					t.Fatalf("%s gains before %s is full: %s", o.Cluster, s.Cluster, p.Formula)
				}
				if s.Replicas < min(s.From, d.seat[i].hi) && o.Replicas > 0 {
					t.Fatalf("%s gives before %s is empty: %s", s.Cluster, o.Cluster, p.Formula)
				}
			}
		}
	})
}
