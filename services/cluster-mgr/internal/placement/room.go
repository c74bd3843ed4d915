package placement

import (
	"cmp"
	"slices"
)

const (
	// defaultMaxPods is the kubelet's own default.
	defaultMaxPods = 110
	// maxPodsCap and maxReplicas keep nonsense in an input from turning into endless loops.
	maxPodsCap  = 10_000
	maxReplicas = 100_000
	maxWeight   = 1_000_000
)

// room is how many more whole replicas fit, by both resources and by each alone: the single
// counts tell which resource a shortfall is about.
type room struct {
	both, cpu, memory int
	free              Resources
}

func (r room) add(o room) room {
	return room{
		both: r.both + o.both, cpu: r.cpu + o.cpu, memory: r.memory + o.memory,
		free: Resources{satAdd(r.free.MilliCPU, o.free.MilliCPU), satAdd(r.free.MemoryBytes, o.free.MemoryBytes)},
	}
}

func clusterRoom(c Cluster, per Resources) room {
	var sum room
	for _, n := range c.Nodes {
		sum = sum.add(nodeRoom(n, per))
	}
	return sum
}

func nodeRoom(n Node, per Resources) room {
	free := n.free()
	pods := podSlots(n)
	cpu := slots(free.MilliCPU, per.MilliCPU, pods)
	memory := slots(free.MemoryBytes, per.MemoryBytes, pods)
	return room{both: min(cpu, memory), cpu: cpu, memory: memory, free: free}
}

// free weighs measured use beside requests: whichever is larger is taken.
func (n Node) free() Resources {
	return Resources{
		MilliCPU:    freeOf(n.Allocatable.MilliCPU, n.Requested.MilliCPU, n.Used.MilliCPU),
		MemoryBytes: freeOf(n.Allocatable.MemoryBytes, n.Requested.MemoryBytes, n.Used.MemoryBytes),
	}
}

func freeOf(allocatable, requested, used int64) int64 {
	return max(0, max(0, allocatable)-max(0, requested, used))
}

func podSlots(n Node) int {
	limit := n.MaxPods
	if limit <= 0 {
		limit = defaultMaxPods
	}
	return max(0, min(limit, maxPodsCap)-max(0, n.Pods))
}

// slots is how many replicas of size per go into free; a resource that is not asked for does not
// limit, the pod slots always do.
func slots(free, per int64, pods int) int {
	if per <= 0 {
		return pods
	}
	return int(min(free/per, int64(pods)))
}

// Reserve returns the cluster with the given number of further replicas laid onto its nodes, as
// capacity for whoever is placed next. Each replica goes to the node with the most room for it,
// ties by name. Replicas beyond the room are not laid anywhere. The argument is not changed.
func Reserve(c Cluster, per Resources, replicas int) Cluster {
	c.Nodes = slices.Clone(c.Nodes)
	for range min(replicas, maxReplicas) {
		i := roomiest(c.Nodes, per)
		if i < 0 {
			break
		}
		n := &c.Nodes[i]
		n.Requested = n.Requested.plus(per)
		n.Used = n.Used.plus(per)
		n.Pods++
	}
	return c
}

func roomiest(nodes []Node, per Resources) int {
	best, most := -1, 0
	for i, n := range nodes {
		fits := nodeRoom(n, per).both
		if fits == 0 || fits < most {
			continue
		}
		if best < 0 || fits > most || cmp.Less(n.Name, nodes[best].Name) {
			best, most = i, fits
		}
	}
	return best
}

func (r Resources) plus(o Resources) Resources {
	return Resources{
		satAdd(max(0, r.MilliCPU), max(0, o.MilliCPU)),
		satAdd(max(0, r.MemoryBytes), max(0, o.MemoryBytes)),
	}
}

// satAdd and satMul work on non-negative numbers and stop at the largest int64.
func satAdd(a, b int64) int64 {
	if s := a + b; s >= a {
		return s
	}
	return maxInt64
}

func satMul(n int, per int64) int64 {
	if n <= 0 || per <= 0 {
		return 0
	}
	if per > maxInt64/int64(n) {
		return maxInt64
	}
	return int64(n) * per
}

const maxInt64 = int64(^uint64(0) >> 1)
