// Package placement divides the replicas of an app over clusters. It is pure: the same Input
// gives the same Plan, byte for byte as JSON, whatever the order of clusters and nodes in it.
//
// The rules:
//
//   - Room is counted in whole replicas per node, free = allocatable - max(requested, used), so
//     that fragmentation counts: ten nodes with half a core free do not fit one replica of a core.
//     The app's own current replicas already occupy capacity and are added back.
//   - SPREAD, the default, is a divisor method by that room times the cluster's weight, so that the
//     highest load is the lowest possible; each cluster's first replica comes at half the price. Ties by
//     name order. PACK uses the fewest clusters, ORDERED fills them by priority.
//   - Scaling up seats only the additional replicas, scaling down takes back the seats that would
//     have been given last; so nothing moves that need not.
//   - Per-cluster minimum and maximum bind always. A minimum that has no room is served as far as
//     it goes; minima beyond the wanted total share it by the same method.
//   - Rebalance divides anew; only exact ties favour where replicas already are.
//   - A held cluster (in rotation, not observable) keeps its replicas: unreachable is not empty
//     (rule C1). They count against the wanted total,
//     unless the cluster is idle.
//   - An avoided cluster takes no more, and those of its replicas that no node takes go elsewhere; what
//     finds no room elsewhere stays, and is named.
//   - Any other cluster that is not eligible gives its replicas to the rest.
//   - Not enough room changes nothing: the shares stay and the shortfall is named per resource.
//     Only Partly places what fits.
package placement

// Resources is an amount of CPU and memory. Negative amounts count as 0.
type Resources struct {
	MilliCPU    int64 `json:"milli_cpu"`
	MemoryBytes int64 `json:"memory_bytes"`
}

// Node is one Kubernetes node as ipaas reports it.
type Node struct {
	Name        string    `json:"name"`
	Allocatable Resources `json:"allocatable"`
	// Requested is the sum of the requests of the pods on the node.
	Requested Resources `json:"requested"`
	// Used is the measured use; zero where nothing is measured, then requests alone count.
	Used Resources `json:"used"`
	// MaxPods is how many pods the kubelet takes; 0 = 110, the kubelet's default.
	MaxPods int `json:"max_pods,omitempty"`
	// Pods is how many of them are there already.
	Pods int `json:"pods,omitempty"`
}

// Cluster is one cluster as a place for the app. Names are unique within an Input.
type Cluster struct {
	Name  string `json:"name"`
	Nodes []Node `json:"nodes"`
	// Use is what the nodes' Used is, as part of a sentence ("the 95th percentile of the last 1h,
	// measured 12:00:00 UTC"); nothing is decided by it.
	Use string `json:"use,omitempty"`
	// Eligible is whether the app may run here; if not, Reason says why as part of a sentence
	// ("is cordoned").
	Eligible bool   `json:"eligible"`
	Reason   string `json:"reason,omitempty"`
	// Hold keeps exactly Current replicas here, whatever else is set: the cluster is in rotation
	// but cannot be observed (rule C1).
	Hold bool `json:"hold,omitempty"`
	// Idle, with Hold: the cluster gets no traffic, so its replicas serve nobody and do not count
	// against Desired (which autoscale means for the clusters in rotation).
	Idle bool `json:"idle,omitempty"`
	// Min and Max bound the replicas here; 0 = no limit.
	Min int `json:"min,omitempty"`
	Max int `json:"max,omitempty"`
	// Weight multiplies the room in the division; 0 = 1, at most 1,000,000.
	Weight int `json:"weight,omitempty"`
	// Priority is of ORDERED only: higher is filled first, ties by name.
	Priority int `json:"priority,omitempty"`
	// Avoid says why nothing more may come here for now, as part of a sentence ("no node takes 2 of its
	// replicas"); empty = it may.
	Avoid string `json:"avoid,omitempty"`
	// Stuck is how many of Current no node takes; they go elsewhere if there is room. Only with Avoid.
	Stuck int `json:"stuck,omitempty"`
	// Current is how many replicas of this app are assigned here now.
	Current int `json:"current"`
}

// Input is everything that a placement depends on.
type Input struct {
	App string `json:"app"`
	// Desired is the wanted total over all clusters, at most 100,000.
	Desired    int       `json:"desired"`
	PerReplica Resources `json:"per_replica"`
	Clusters   []Cluster `json:"clusters"`
	// Strategy is how they are divided; empty = SPREAD.
	Strategy Strategy `json:"strategy,omitempty"`
	// Rebalance divides all replicas anew instead of the difference only.
	Rebalance bool `json:"rebalance,omitempty"`
	// Partly places what fits where not all does, and still names the shortfall: of a lost cluster
	// as much is saved as there is room for.
	Partly bool `json:"partly,omitempty"`
}

// Share is what one cluster gets.
type Share struct {
	Cluster  string `json:"cluster"`
	Replicas int    `json:"replicas"`
	// From is the number before this plan.
	From int `json:"from"`
	// Fits is how many replicas of the app could run here at all, the present ones included.
	Fits int `json:"fits"`
	// Reason is a sentence for people.
	Reason string `json:"reason"`
}

// Plan is the outcome: one share per cluster of the Input, in name order.
type Plan struct {
	Shares  []Share `json:"shares"`
	Formula string  `json:"formula"`
	// Shortfall is set when the wanted replicas do not fit; then the shares are unchanged, unless
	// the Input said Partly, or all that is short are stuck replicas: then these stay.
	Shortfall *Shortfall `json:"shortfall,omitempty"`
}

// Shortfall says what is missing to place all wanted replicas.
type Shortfall struct {
	// Replicas that do not fit anywhere.
	Replicas int `json:"replicas"`
	// MilliCPU and MemoryBytes are 0 when that resource is not what is short.
	MilliCPU    int64  `json:"milli_cpu"`
	MemoryBytes int64  `json:"memory_bytes"`
	Sentence    string `json:"sentence"`
}

// Total is the sum of all shares.
func (p Plan) Total() int {
	sum := 0
	for _, s := range p.Shares {
		sum += s.Replicas
	}
	return sum
}

// Replicas is the share of one cluster; 0 for a cluster that is not in the plan.
func (p Plan) Replicas(cluster string) int {
	for _, s := range p.Shares {
		if s.Cluster == cluster {
			return s.Replicas
		}
	}
	return 0
}

// Changed tells whether any share differs from what is assigned now.
func (p Plan) Changed() bool {
	for _, s := range p.Shares {
		if s.Replicas != s.From {
			return true
		}
	}
	return false
}
