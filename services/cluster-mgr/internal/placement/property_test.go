package placement

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// inputs draws placements of up to five clusters with up to three nodes each.
func inputs(t *rapid.T) Input {
	in := Input{
		App:     "web",
		Desired: rapid.IntRange(0, 30).Draw(t, "desired"),
		PerReplica: Resources{
			MilliCPU:    rapid.Int64Range(0, 1500).Draw(t, "cpu"),
			MemoryBytes: rapid.Int64Range(0, 3<<30).Draw(t, "memory"),
		},
		Rebalance: rapid.Bool().Draw(t, "rebalance"),
		Strategy:  rapid.SampledFrom([]Strategy{"", StrategySpread, StrategyPack, StrategyOrdered}).Draw(t, "strategy"),
		Partly:    rapid.IntRange(0, 3).Draw(t, "partly") == 0,
	}
	for i := range rapid.IntRange(0, 5).Draw(t, "clusters") {
		in.Clusters = append(in.Clusters, drawCluster(t, fmt.Sprintf("site-%c", 'a'+i)))
	}
	return in
}

func drawCluster(t *rapid.T, name string) Cluster {
	small := rapid.IntRange(0, 8)
	c := Cluster{
		Name:     name,
		Eligible: rapid.IntRange(0, 4).Draw(t, "out") > 0,
		Hold:     rapid.IntRange(0, 6).Draw(t, "hold") == 0,
		Current:  small.Draw(t, "current"),
		Weight:   rapid.IntRange(0, 4).Draw(t, "weight"),
	}
	if rapid.Bool().Draw(t, "bounded") {
		c.Min = rapid.IntRange(0, 3).Draw(t, "min")
		c.Max = rapid.SampledFrom([]int{0, c.Min + small.Draw(t, "span")}).Draw(t, "max")
	}
	if rapid.IntRange(0, 5).Draw(t, "avoided") == 0 {
		c.Avoid, c.Stuck = "is avoided", rapid.IntRange(0, c.Current).Draw(t, "stuck")
	}
	c.Priority = rapid.IntRange(0, 2).Draw(t, "priority")
	for n := range rapid.IntRange(0, 3).Draw(t, "nodes") {
		c.Nodes = append(c.Nodes, Node{
			Name:        fmt.Sprintf("n%d", n),
			Allocatable: drawResources(t, "allocatable", 8000, 16<<30),
			Requested:   drawResources(t, "requested", 6000, 8<<30),
			Used:        drawResources(t, "used", 6000, 8<<30),
			Pods:        rapid.IntRange(0, 110).Draw(t, "pods"),
		})
	}
	return c
}

func drawResources(t *rapid.T, label string, cpu, memory int64) Resources {
	return Resources{
		MilliCPU:    rapid.Int64Range(0, cpu).Draw(t, label+" cpu"),
		MemoryBytes: rapid.Int64Range(0, memory).Draw(t, label+" memory"),
	}
}

func byName(in Input) map[string]Cluster {
	m := map[string]Cluster{}
	for _, c := range in.Clusters {
		m[c.Name] = c
	}
	return m
}

func heldReplicas(in Input) int {
	sum := 0
	for _, c := range in.Clusters {
		if c.Hold {
			sum += c.Current
		}
	}
	return sum
}

func TestEveryReplicaIsPlacedOrNamed(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := inputs(t)
		plan := Decide(in)
		if plan.Shortfall == nil {
			if want := max(in.Desired, heldReplicas(in)); plan.Total() != want {
				t.Fatalf("placed %d, want %d", plan.Total(), want)
			}
			return
		}
		if plan.Total() == max(in.Desired, heldReplicas(in)) && plan.Shortfall.Replicas > 0 {
			return // all are placed, some of them without a node
		}
		if in.Partly {
			got, want := plan.Total()+plan.Shortfall.Replicas, max(in.Desired, heldReplicas(in))
			if stay := stuck(in); got < want || got > want+stay {
				t.Fatalf("%d placed and %d named, of %d", plan.Total(), plan.Shortfall.Replicas, in.Desired)
			}
			return
		}
		if plan.Changed() || plan.Shortfall.Replicas <= 0 || plan.Shortfall.Sentence == "" {
			t.Fatalf("a shortfall must change nothing and say what is missing: %+v", plan)
		}
	})
}

// stuck replicas may be placed and named, both.
func stuck(in Input) int {
	sum := 0
	for _, c := range in.Clusters {
		sum += c.Stuck
	}
	return sum
}

func TestNeverOverCapacity(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := inputs(t)
		clusters := byName(in)
		plan := Decide(in)
		for _, s := range plan.Shares {
			c := clusters[s.Cluster]
			more := s.Replicas - s.From
			switch {
			case plan.Shortfall != nil && !in.Partly:
			case c.Hold && more != 0:
				t.Fatalf("rule C1: held %s went from %d to %d", s.Cluster, s.From, s.Replicas)
			case !c.Hold && !c.Eligible && s.Replicas != 0:
				t.Fatalf("%s is not eligible and has %d", s.Cluster, s.Replicas)
			case more > clusterRoom(c, in.PerReplica).both:
				t.Fatalf("%s gains %d, has room for %d", s.Cluster, more, clusterRoom(c, in.PerReplica).both)
			case !c.Hold && c.Max > 0 && s.Replicas > c.Max:
				t.Fatalf("%s is above its maximum", s.Cluster)
			}
		}
	})
}

// Room is simulated replica by replica: what a plan adds must really go onto nodes.
func TestAdditionsFitOntoNodes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := inputs(t)
		clusters := byName(in)
		plan := Decide(in)
		for _, s := range plan.Shares {
			more := s.Replicas - s.From
			if more <= 0 {
				continue
			}
			before, after := clusters[s.Cluster], Reserve(clusters[s.Cluster], in.PerReplica, more)
			if got := podsOf(after) - podsOf(before); got != more {
				t.Fatalf("%s: %d of %d fit onto its nodes", s.Cluster, got, more)
			}
		}
	})
}

func podsOf(c Cluster) int {
	sum := 0
	for _, n := range c.Nodes {
		sum += n.Pods
	}
	return sum
}

func TestScalingUpNeverLowersAShare(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := inputs(t)
		in.Rebalance = false
		sum := 0
		for i := range in.Clusters {
			c := &in.Clusters[i]
			c.Eligible, c.Min, c.Max, c.Avoid, c.Stuck = true, 0, 0, "", 0
			sum += c.Current
		}
		in.Desired = sum + rapid.IntRange(0, 10).Draw(t, "more")
		for _, s := range Decide(in).Shares {
			if s.Replicas < s.From {
				t.Fatalf("%s fell from %d to %d while growing", s.Cluster, s.From, s.Replicas)
			}
		}
	})
}

func TestScalingDownNeverRaisesAShare(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := inputs(t)
		in.Rebalance = false
		sum := 0
		for i := range in.Clusters {
			c := &in.Clusters[i]
			c.Eligible, c.Min, c.Max, c.Avoid, c.Stuck = true, 0, 0, "", 0
			sum += c.Current
		}
		in.Desired = rapid.IntRange(0, sum).Draw(t, "fewer")
		for _, s := range Decide(in).Shares {
			if s.Replicas > s.From {
				t.Fatalf("%s rose from %d to %d while shrinking", s.Cluster, s.From, s.Replicas)
			}
		}
	})
}

// The least number of moves is found by trying every division.
func TestFewestMoves(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := inputs(t)
		in.Rebalance = false
		in.Desired = rapid.IntRange(0, 12).Draw(t, "desired few")
		in.Clusters = in.Clusters[:min(3, len(in.Clusters))]
		plan := Decide(in)
		if plan.Shortfall != nil {
			return
		}
		d := newDivision(in)
		d.settleMinima()
		if least, got := leastMoves(d.seat, d.want), moves(plan); got != least {
			t.Fatalf("%d moves, %d would do: %s", got, least, plan.Formula)
		}
	})
}

func moves(p Plan) int {
	sum := 0
	for _, s := range p.Shares {
		sum += max(s.Replicas-s.From, s.From-s.Replicas)
	}
	return sum
}

func leastMoves(seats []seat, want int) int {
	if len(seats) == 0 {
		if want == 0 {
			return 0
		}
		return 1 << 30
	}
	s, rest := seats[0], seats[1:]
	if !s.Eligible {
		off := s.Current - s.replicas // a held cluster keeps all, one that is out loses all
		return off + leastMoves(rest, want)
	}
	best := 1 << 30
	for n := s.lo; n <= min(s.hi, want); n++ {
		best = min(best, max(n-s.Current, s.Current-n)+leastMoves(rest, want-n))
	}
	return best
}

// Growing one by one ends where dividing at once does: the division depends on the total, not on
// the path to it.
func TestStepByStepEqualsAtOnce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := inputs(t)
		in.Rebalance = false
		for i := range in.Clusters {
			in.Clusters[i].Current, in.Clusters[i].Min = 0, 0
		}
		atOnce := Decide(in)
		if atOnce.Shortfall != nil {
			return
		}
		step := in
		step.Clusters = slices.Clone(in.Clusters)
		for n := range in.Desired {
			step.Desired = n + 1
			plan := Decide(step)
			for i, s := range plan.Shares {
				c := &step.Clusters[i]
				*c = Reserve(*c, in.PerReplica, s.Replicas-s.From)
				c.Current = s.Replicas
			}
		}
		for i, s := range atOnce.Shares {
			if step.Clusters[i].Current != s.Replicas {
				t.Fatalf("%s: at once %d, step by step %d", s.Cluster, s.Replicas, step.Clusters[i].Current)
			}
		}
	})
}

func TestOrderOfInputDoesNotMatter(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := inputs(t)
		want := encode(t, Decide(in))
		shuffled := in
		shuffled.Clusters = slices.Clone(in.Clusters)
		r := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 1))
		r.Shuffle(len(shuffled.Clusters), func(i, j int) {
			shuffled.Clusters[i], shuffled.Clusters[j] = shuffled.Clusters[j], shuffled.Clusters[i]
		})
		for i := range shuffled.Clusters {
			nodes := slices.Clone(shuffled.Clusters[i].Nodes)
			slices.Reverse(nodes)
			shuffled.Clusters[i].Nodes = nodes
		}
		if got := encode(t, Decide(shuffled)); got != want {
			t.Fatalf("order changed the plan:\n%s\n%s", want, got)
		}
	})
}

func TestReplayIsByteForByte(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := inputs(t)
		want := encode(t, Decide(in))
		var stored Input
		if err := json.Unmarshal([]byte(encode(t, in)), &stored); err != nil {
			t.Fatal(err)
		}
		if got := encode(t, Decide(stored)); got != want {
			t.Fatalf("replay differs:\n%s\n%s", want, got)
		}
	})
}

// A second look at an unchanged world decides nothing new.
func TestStable(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := inputs(t)
		plan := Decide(in)
		if plan.Shortfall != nil {
			return
		}
		clusters := byName(in)
		in.Clusters = nil
		for _, s := range plan.Shares {
			c := Reserve(clusters[s.Cluster], in.PerReplica, s.Replicas-s.From)
			c.Current = s.Replicas
			c.Stuck = max(0, c.Stuck-max(0, s.From-s.Replicas)) // they end first
			in.Clusters = append(in.Clusters, c)
		}
		in.Rebalance = false
		if again := Decide(in); again.Changed() {
			t.Fatalf("moves again: %s, then %s", plan.Formula, again.Formula)
		}
	})
}

func encode(t interface{ Fatal(...any) }, v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// Stored inputs are read back from JSON: whatever is in there, Decide neither panics nor places
// more than there is room for.
func FuzzDecide(f *testing.F) {
	f.Add([]byte(`{"app":"web","desired":4,"per_replica":{"milli_cpu":500},"clusters":[{"name":"a","eligible":true,"nodes":[{"name":"n","allocatable":{"milli_cpu":4000}}]}]}`))
	f.Add([]byte(`{"desired":-1,"clusters":[{"name":"a","current":-5,"weight":-1,"min":9,"max":-2,"eligible":true}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		var in Input
		if json.Unmarshal(data, &in) != nil || in.Desired > 1000 {
			return
		}
		plan := Decide(in)
		if plan.Shortfall == nil && plan.Total() < min(max(in.Desired, 0), maxReplicas) {
			t.Fatalf("%d of %d placed without a shortfall", plan.Total(), in.Desired)
		}
	})
}
