package placement

import (
	"fmt"
	"strconv"
	"strings"
)

// plan turns the finished division into shares with reasons.
func (d *division) plan() Plan {
	p := Plan{Shares: make([]Share, 0, len(d.seat)), Formula: d.formula()}
	for _, s := range d.seat {
		p.Shares = append(p.Shares, Share{
			Cluster: s.Name, Replicas: s.replicas, From: s.Current, Fits: s.fits, Reason: d.reason(s),
		})
	}
	return p
}

// formula reads `+2 replicas over site-a 2 of 12, site-b 1 of 7 → site-a 3, site-b 2`, where
// "2 of 12" is present of fitting.
func (d *division) formula() string {
	present := 0
	for _, s := range d.seat {
		if s.Eligible {
			present += s.Current
		}
	}
	manner := d.in.Strategy.manner()
	var text string
	switch delta := d.want - present; {
	case d.eligible() == 0:
		text = fmt.Sprintf("%s over no cluster", replicas(d.want))
	case d.in.Rebalance:
		text = fmt.Sprintf("%s anew%s over %s → %s", replicas(d.want), manner, d.present(), d.outcome())
	case delta != 0:
		text = fmt.Sprintf("%+d %s%s over %s → %s", delta, noun(delta), manner, d.present(), d.outcome())
	default:
		text = fmt.Sprintf("%s%s over %s → %s", replicas(d.want), manner, d.present(), d.outcome())
	}
	return text + d.heldNote()
}

// present lists present of fitting, with the weight where one is set.
func (d *division) present() string {
	var parts []string
	for _, s := range d.seat {
		if !s.Eligible {
			continue
		}
		text := fmt.Sprintf("%s %d of %d", s.Name, s.Current, s.fits)
		if s.Weight != 1 {
			text += fmt.Sprintf(" ×%d", s.Weight)
		}
		if d.in.Strategy == StrategyOrdered {
			text += fmt.Sprintf(" (priority %d)", s.Priority)
		}
		parts = append(parts, text)
	}
	if len(parts) == 0 {
		return "no cluster"
	}
	return strings.Join(parts, ", ")
}

func (d *division) outcome() string {
	var parts []string
	for _, s := range d.seat {
		if s.Eligible {
			parts = append(parts, fmt.Sprintf("%s %d", s.Name, s.replicas))
		}
	}
	return strings.Join(parts, ", ")
}

func (d *division) heldNote() string {
	if d.held == 0 {
		return ""
	}
	var names []string
	for _, s := range d.seat {
		if s.Hold && !s.Idle && s.Current > 0 {
			names = append(names, s.Name)
		}
	}
	return fmt.Sprintf(", + %d held in %s = %d", d.held, strings.Join(names, ", "), d.held+d.placed())
}

func (d *division) reason(s seat) string {
	switch {
	case s.Hold && s.Idle:
		return fmt.Sprintf("%s keeps its %s, which do not count: %s", s.Name, replicas(s.Current),
			reasonOr(s.Reason, "it gets no traffic"))
	case s.Hold:
		return fmt.Sprintf("%s keeps its %s: %s", s.Name, replicas(s.Current),
			reasonOr(s.Reason, "it is in rotation but cannot be observed"))
	case !s.Eligible && s.Current > 0:
		return fmt.Sprintf("%s %s; its %s to other clusters", s.Name, reasonOr(s.Reason, "is not eligible"), moving(s.Current))
	case !s.Eligible:
		return fmt.Sprintf("%s %s", s.Name, reasonOr(s.Reason, "is not eligible"))
	}
	return s.change(d.in.Strategy) + d.bound(s)
}

func (s seat) change(by Strategy) string {
	weight := ""
	if s.Weight != 1 {
		weight = fmt.Sprintf(" and weight %d", s.Weight)
	}
	switch delta := s.replicas - s.Current; {
	case delta > 0:
		return fmt.Sprintf("%s gains %d of its room for %d more%s", s.Name, delta, s.fits-s.Current, weight)
	case delta < 0 && s.Stuck > 0 && s.Avoid != "":
		return fmt.Sprintf("%s gives back %d of %d: %s", s.Name, -delta, s.Current, s.Avoid)
	case delta < 0:
		return fmt.Sprintf("%s gives back %d of %d%s", s.Name, -delta, s.Current, weight)
	}
	return fmt.Sprintf("%s keeps %d%s", s.Name, s.replicas, s.unused(by))
}

// unused says why a cluster with room has nothing.
func (s seat) unused(by Strategy) string {
	switch {
	case s.replicas > 0 || s.hi == 0:
		return ""
	case by == StrategyPack:
		return ": the clusters in use hold all"
	case by == StrategyOrdered:
		return fmt.Sprintf(": its turn, by priority %d, has not come", s.Priority)
	}
	return ""
}

// bound says which limit the share touches, if any.
func (d *division) bound(s seat) string {
	switch {
	case s.Avoid != "" && s.replicas >= s.Current:
		return "; it takes no more: " + s.Avoid
	case s.Min > s.replicas && s.Min > s.fits:
		return fmt.Sprintf("; its minimum of %d has no room", s.Min)
	case s.Min > s.replicas:
		return fmt.Sprintf("; its minimum of %d is more than the %d wanted allow", s.Min, d.want)
	case s.Min > 0 && s.replicas == s.Min:
		return "; that is its minimum"
	case s.Max > 0 && s.replicas == s.Max:
		return "; that is its maximum"
	case s.replicas == s.fits && s.replicas > s.Current:
		return "; it is full now"
	}
	return ""
}

// String is the size for people: "500m CPU and 128 MiB".
func (r Resources) String() string {
	var parts []string
	if r.MilliCPU > 0 {
		parts = append(parts, fmt.Sprintf("%dm CPU", r.MilliCPU))
	}
	if r.MemoryBytes > 0 {
		parts = append(parts, bytesText(r.MemoryBytes))
	}
	if len(parts) == 0 {
		return "no stated size"
	}
	return strings.Join(parts, " and ")
}

// bytesText writes an amount of memory in the largest unit that keeps it whole, or to one decimal.
func bytesText(b int64) string {
	const kib, mib, gib = 1 << 10, 1 << 20, 1 << 30
	switch {
	case b >= gib && b%gib == 0:
		return strconv.FormatInt(b/gib, 10) + " GiB"
	case b >= mib && b%mib == 0:
		return strconv.FormatInt(b/mib, 10) + " MiB"
	case b >= mib:
		return strconv.FormatFloat(float64(b)/mib, 'f', 1, 64) + " MiB"
	case b >= kib && b%kib == 0:
		return strconv.FormatInt(b/kib, 10) + " KiB"
	}
	return strconv.FormatInt(b, 10) + " bytes"
}

func replicas(n int) string {
	return fmt.Sprintf("%d %s", n, noun(n))
}

func moving(n int) string {
	if n == 1 {
		return "1 replica moves"
	}
	return replicas(n) + " move"
}

func moreReplicas(n int) string {
	return fmt.Sprintf("%d more %s", n, noun(n))
}

func noun(n int) string {
	if n == 1 || n == -1 {
		return "replica"
	}
	return "replicas"
}

func reasonOr(reason, fallback string) string {
	if reason == "" {
		return fallback
	}
	return reason
}
