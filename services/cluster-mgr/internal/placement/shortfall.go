package placement

import (
	"fmt"
	"strings"
)

// refuse leaves every share as it is and names what is missing.
func (d *division) refuse(short Shortfall) Plan {
	p := Plan{Shares: make([]Share, 0, len(d.seat)), Shortfall: &short}
	for _, s := range d.seat {
		p.Shares = append(p.Shares, Share{
			Cluster: s.Name, Replicas: s.Current, From: s.Current, Fits: s.fits,
			Reason: fmt.Sprintf("%s stays at %d: not all wanted replicas fit", s.Name, s.Current),
		})
	}
	p.Formula = fmt.Sprintf("%s over %s → %s not placed, unchanged",
		replicas(d.want), d.present(), replicas(short.Replicas))
	return p
}

func (d *division) shortfall() Shortfall {
	present, all := 0, room{}
	for _, s := range d.seat {
		if s.Eligible {
			present += min(s.Current, s.hi)
			all = all.add(s.room)
		}
	}
	more := d.want - present
	short := Shortfall{Replicas: d.want - d.capacity()}
	per := d.in.PerReplica
	short.MilliCPU = satMul(more-all.cpu, per.MilliCPU)
	short.MemoryBytes = satMul(more-all.memory, per.MemoryBytes)
	why := d.cause(&short, more, all)
	short.Sentence = fmt.Sprintf("needs %s of %s; %s; %s", moreReplicas(more), per, d.rooms(), why)
	return short
}

// cause says what limits, and fills the amounts where only both resources together do.
func (d *division) cause(short *Shortfall, more int, all room) string {
	per := d.in.PerReplica
	switch {
	case d.eligible() == 0:
		return "no cluster is eligible"
	case short.MilliCPU > 0 || short.MemoryBytes > 0:
		return "short by " + amounts(short) + d.pieces(short, more, all)
	case all.both >= more && d.avoided():
		return fmt.Sprintf("the clusters that are avoided leave out %s", replicas(short.Replicas))
	case all.both >= more:
		return fmt.Sprintf("the maxima of the clusters leave out %s", replicas(short.Replicas))
	case all.cpu > all.both && all.memory > all.both:
		short.MilliCPU = satMul(short.Replicas, per.MilliCPU)
		short.MemoryBytes = satMul(short.Replicas, per.MemoryBytes)
		return "no node has enough CPU and memory free together"
	}
	return "the nodes take no more pods"
}

// pieces explains a shortfall that the sum of the free capacity seems to contradict.
func (d *division) pieces(short *Shortfall, more int, all room) string {
	per := d.in.PerReplica
	cpu := short.MilliCPU > 0 && all.free.MilliCPU >= satMul(more, per.MilliCPU)
	memory := short.MemoryBytes > 0 && all.free.MemoryBytes >= satMul(more, per.MemoryBytes)
	switch {
	case cpu:
		return fmt.Sprintf(" (%dm CPU are free, in pieces too small for one replica or on nodes without pod slots)", all.free.MilliCPU)
	case memory:
		return fmt.Sprintf(" (%s are free, in pieces too small for one replica or on nodes without pod slots)", bytesText(all.free.MemoryBytes))
	}
	return ""
}

// avoided tells whether a cluster with room takes no more for a while.
func (d *division) avoided() bool {
	for _, s := range d.seat {
		if s.Eligible && s.Avoid != "" && s.room.both > 0 {
			return true
		}
	}
	return false
}

func (d *division) eligible() int {
	n := 0
	for _, s := range d.seat {
		if s.Eligible {
			n++
		}
	}
	return n
}

// rooms lists what each cluster could still take: "site-a has room for 1, site-b for 0".
func (d *division) rooms() string {
	var parts []string
	verb := "has room for"
	for _, s := range d.seat {
		switch {
		case s.Hold:
			parts = append(parts, fmt.Sprintf("%s holds its %d", s.Name, s.Current))
		case !s.Eligible:
			parts = append(parts, fmt.Sprintf("%s %s", s.Name, reasonOr(s.Reason, "is not eligible")))
		default:
			parts = append(parts, fmt.Sprintf("%s %s %d%s", s.Name, verb, s.hi-min(s.Current, s.hi), maxNote(s)))
			verb = "for"
		}
	}
	if len(parts) == 0 {
		return "there is no cluster"
	}
	return strings.Join(parts, ", ")
}

func maxNote(s seat) string {
	switch {
	case s.stuck > 0:
		return fmt.Sprintf(" (no node takes %d of its replicas)", s.stuck)
	case s.Avoid != "":
		return " (it is avoided for a while)"
	case s.hi < s.fits:
		return fmt.Sprintf(" (its maximum is %d)", s.Max)
	}
	return ""
}

func amounts(s *Shortfall) string {
	var parts []string
	if s.MilliCPU > 0 {
		parts = append(parts, fmt.Sprintf("%dm CPU", s.MilliCPU))
	}
	if s.MemoryBytes > 0 {
		parts = append(parts, bytesText(s.MemoryBytes)+" of memory")
	}
	return strings.Join(parts, " and ")
}
