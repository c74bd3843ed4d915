package placement_test

import (
	"fmt"
	"testing"

	"gantry.dev/services/cluster-mgr/internal/placement"
)

// BenchmarkDecide places one app over clusters of 100 nodes each.
func BenchmarkDecide(b *testing.B) {
	for _, clusters := range []int{2, 10, 50} {
		b.Run(fmt.Sprintf("clusters=%d", clusters), func(b *testing.B) {
			in := placement.Input{App: "projects/p/apps/web", Desired: 40 * clusters, PerReplica: placement.Resources{MilliCPU: 500, MemoryBytes: 1 << 28}}
			for c := range clusters {
				in.Clusters = append(in.Clusters, big(fmt.Sprintf("site-%02d", c)))
			}
			b.ReportAllocs()
			for b.Loop() {
				if p := placement.Decide(in); p.Total() != in.Desired {
					b.Fatal(p.Shortfall)
				}
			}
		})
	}
}

func big(name string) placement.Cluster {
	c := placement.Cluster{Name: name, Eligible: true}
	for n := range 100 {
		c.Nodes = append(c.Nodes, placement.Node{
			Name:        fmt.Sprintf("n%02d", n),
			Allocatable: placement.Resources{MilliCPU: 16_000, MemoryBytes: 64 << 30},
			Requested:   placement.Resources{MilliCPU: int64(n) * 100, MemoryBytes: int64(n) << 28},
		})
	}
	return c
}
