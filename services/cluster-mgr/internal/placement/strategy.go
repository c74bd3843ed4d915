package placement

// Strategy is how the replicas of an app are divided over the clusters. Minima and maxima bind with
// each of them.
type Strategy string

// The strategies; an empty one, or one that is not known, is SPREAD.
const (
	// StrategySpread divides in proportion to room and weight: the highest load is the lowest possible,
	// but for the first replica in each cluster.
	StrategySpread Strategy = "SPREAD"
	// StrategyPack uses as few clusters as possible: those in use first, then the one with the most
	// room. Shrinking takes from the cluster with the fewest, so that it gets empty.
	StrategyPack Strategy = "PACK"
	// StrategyOrdered fills by Priority: the next cluster only when the one before is full. Shrinking
	// takes from the last first.
	StrategyOrdered Strategy = "ORDERED"
)

// before tells whether cluster i, having n seats, gets its next seat before cluster j, having m.
func (d *division) before(i, n, j, m int) bool {
	switch d.in.Strategy {
	case StrategyOrdered:
		return d.inOrder(i, j)
	case StrategyPack:
		return d.packedBefore(i, n, j, m)
	}
	return d.cheaper(i, n, j, m)
}

// after tells whether cluster i gives a seat back before cluster j.
func (d *division) after(i, j int) bool {
	a, b := d.seat[i], d.seat[j]
	if d.in.Strategy == StrategyPack {
		return d.emptiedBefore(i, j)
	}
	return !d.before(i, a.replicas-1, j, b.replicas-1)
}

func (d *division) inOrder(i, j int) bool {
	if a, b := d.seat[i].Priority, d.seat[j].Priority; a != b {
		return a > b
	}
	return i < j
}

// packedBefore prefers a cluster that is in use anyway, then the one that holds the most.
func (d *division) packedBefore(i, n, j, m int) bool {
	a, b := d.seat[i], d.seat[j]
	if used, other := n > 0 || a.lo > 0, m > 0 || b.lo > 0; used != other {
		return used
	}
	if a.hi != b.hi {
		return a.hi > b.hi
	}
	return i < j
}

// emptiedBefore prefers a cluster that can get empty, then the one that is nearest to it.
func (d *division) emptiedBefore(i, j int) bool {
	a, b := d.seat[i], d.seat[j]
	if kept, other := a.lo > 0, b.lo > 0; kept != other {
		return other
	}
	if a.replicas != b.replicas {
		return a.replicas < b.replicas
	}
	return i > j
}

// manner says in a formula how replicas are divided.
func (s Strategy) manner() string {
	switch s {
	case StrategyPack:
		return " packed"
	case StrategyOrdered:
		return " in order"
	}
	return ""
}
