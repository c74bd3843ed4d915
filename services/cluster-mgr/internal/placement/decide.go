package placement

import (
	"cmp"
	"fmt"
	"slices"
)

// Decide divides Desired replicas over the clusters of in. Desired and Current below 0 count as 0.
func Decide(in Input) Plan {
	d := newDivision(in)
	if d.want <= d.capacity() {
		return d.divide()
	}
	short := d.shortfall()
	d.leaveStuck(short.Replicas)
	switch {
	case d.want <= d.capacity():
		return d.divide().without(short, "without a node")
	case in.Partly:
		d.want = d.capacity()
		return d.divide().without(short, "not placed")
	}
	return d.refuse(short)
}

func (d *division) divide() Plan {
	d.settleMinima()
	d.start()
	d.fill()
	d.takeBack()
	return d.plan()
}

// without names in a plan what it could not place.
func (p Plan) without(short Shortfall, how string) Plan {
	p.Formula += fmt.Sprintf(", %s %s", replicas(short.Replicas), how)
	p.Shortfall = &short
	return p
}

// division is the work in progress over clusters in name order.
type division struct {
	in   Input
	seat []seat
	// want is what the eligible clusters share: Desired without the held replicas.
	want int
	held int
}

// seat is one cluster in the division.
type seat struct {
	Cluster
	room     room
	fits     int
	lo, hi   int // bounds on replicas
	stuck    int // replicas that may stay above hi, without a node
	replicas int
}

func newDivision(in Input) *division {
	clusters := slices.Clone(in.Clusters)
	slices.SortStableFunc(clusters, func(a, b Cluster) int { return cmp.Compare(a.Name, b.Name) })
	d := &division{in: in, seat: make([]seat, 0, len(clusters))}
	for _, c := range clusters {
		s := newSeat(c, in.PerReplica)
		if c.Hold && !c.Idle {
			d.held += s.Current
		}
		d.seat = append(d.seat, s)
	}
	d.want = max(0, clamp(in.Desired, 0, maxReplicas)-d.held)
	return d
}

func newSeat(c Cluster, per Resources) seat {
	c.Current = clamp(c.Current, 0, maxReplicas)
	c.Weight = clamp(c.Weight, 1, maxWeight)
	c.Eligible = c.Eligible && !c.Hold
	s := seat{Cluster: c}
	switch {
	case c.Hold:
		s.fits, s.lo, s.hi, s.replicas = c.Current, c.Current, c.Current, c.Current
	case c.Eligible:
		s.room = clusterRoom(c, per)
		s.fits = min(c.Current+s.room.both, maxReplicas)
		s.hi = s.fits
		if c.Max > 0 {
			s.hi = min(s.hi, c.Max)
		}
		s.avoid()
		s.lo = clamp(c.Min, 0, s.hi)
	}
	return s
}

// avoid lets an avoided cluster keep at most what runs there.
func (s *seat) avoid() {
	if s.Avoid == "" {
		return
	}
	has := min(s.Current, s.hi)
	s.hi = min(s.hi, max(0, s.Current-max(0, s.Stuck)))
	s.stuck = has - s.hi
}

// leaveStuck lets so many stuck replicas stay where they are, if there are so many, because there is
// no room for them elsewhere.
func (d *division) leaveStuck(missing int) {
	for i := range d.seat {
		s := &d.seat[i]
		stay := min(s.stuck, missing)
		s.hi += stay
		missing -= stay
	}
}

// capacity is how many replicas the eligible clusters could take within their maxima.
func (d *division) capacity() int {
	sum := 0
	for _, s := range d.seat {
		if s.Eligible {
			sum += s.hi
		}
	}
	return sum
}

// settleMinima lowers the minima, in proportion, where they ask for more than is wanted. What is
// there counts first, so that nothing moves for a minimum that cannot be met anyway.
func (d *division) settleMinima() {
	sum := 0
	for _, s := range d.seat {
		if s.Eligible {
			sum += s.lo
		}
	}
	if sum <= d.want {
		return
	}
	given := make([]int, len(d.seat))
	has := func(i int) int { return given[i] }
	for range d.want {
		i := -1
		if !d.in.Rebalance {
			i = d.best(func(i int) bool { return given[i] < min(d.seat[i].lo, d.seat[i].Current) }, has)
		}
		if i < 0 {
			i = d.best(func(i int) bool { return given[i] < d.seat[i].lo }, has)
		}
		given[i]++
	}
	for i := range d.seat {
		if d.seat[i].Eligible {
			d.seat[i].lo = given[i]
		}
	}
}

// start gives every eligible cluster what it has for certain: what is there now within its
// bounds, or the bare minimum when dividing anew.
func (d *division) start() {
	for i := range d.seat {
		s := &d.seat[i]
		switch {
		case !s.Eligible:
		case d.in.Rebalance:
			s.replicas = s.lo
		default:
			s.replicas = clamp(s.Current, s.lo, s.hi)
		}
	}
}

// fill seats replicas until the wanted number is reached.
func (d *division) fill() {
	for missing := d.want - d.placed(); missing > 0; missing-- {
		i := d.best(
			func(i int) bool { return d.seat[i].replicas < d.seat[i].hi },
			func(i int) int { return d.seat[i].replicas })
		d.seat[i].replicas++
	}
}

// takeBack removes the seats that would have been given last.
func (d *division) takeBack() {
	for surplus := d.placed() - d.want; surplus > 0; surplus-- {
		worst := -1
		for i, s := range d.seat {
			if s.Eligible && s.replicas > s.lo && (worst < 0 || d.after(i, worst)) {
				worst = i
			}
		}
		d.seat[worst].replicas--
	}
}

func (d *division) placed() int {
	sum := 0
	for _, s := range d.seat {
		if s.Eligible {
			sum += s.replicas
		}
	}
	return sum
}

// best is the eligible cluster that gets the next seat among those that may take one.
// Capacity was checked before, so there always is one.
func (d *division) best(may func(int) bool, has func(int) int) int {
	best := -1
	for i, s := range d.seat {
		if s.Eligible && may(i) && (best < 0 || d.before(i, has(i), best, has(best))) {
			best = i
		}
	}
	return best
}

func clamp(v, lo, hi int) int {
	return max(lo, min(v, hi))
}
