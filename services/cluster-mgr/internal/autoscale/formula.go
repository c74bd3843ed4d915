package autoscale

import (
	"fmt"
	"strconv"
	"strings"
)

// formula collects the computation as people read it.
type formula struct{ text string }

func (f formula) String() string { return f.text }

func newFormula(s survey, v view) formula {
	var parts []string
	for _, r := range s.readings {
		text := r.formula()
		if len(s.readings) > 1 {
			text = r.name + ": " + text
		}
		parts = append(parts, text)
	}
	f := formula{strings.Join(parts, "; ")}
	if !s.usable() {
		return f
	}
	best := s.readings[s.best]
	if len(s.readings) > 1 {
		f.text += fmt.Sprintf("; largest %d", best.desired)
	}
	if v.held > 0 {
		f.text += fmt.Sprintf(", + %d held in %s = %d", v.held, strings.Join(v.heldIn, ", "), best.desired+v.held)
	}
	return f
}

func (r reading) formula() string {
	pods := plural(r.pods, "pod")
	switch {
	case r.problem.isSet():
		return pods + ", no usable data"
	case r.partial():
		pods = fmt.Sprintf("%d of %s", r.covered, pods)
	}
	return fmt.Sprintf("%s, sum %s%s, target %s%s → %s → %d", pods, decimal(r.sum), r.unit(), decimal(r.target), r.unit(), decimal(r.raw), r.desired)
}

func (f *formula) tolerance(percent float64, now int) {
	f.text += fmt.Sprintf(", within %s %% of %d", decimal(percent), now)
}

func (f *formula) bounds(wanted, bounded int) {
	switch {
	case f.text == "":
	case bounded < wanted:
		f.text += fmt.Sprintf(", at most %d", bounded)
	case bounded > wanted:
		f.text += fmt.Sprintf(", at least %d", bounded)
	}
}

func (f *formula) step(step, desired int) {
	f.text += fmt.Sprintf(", at most %+d at once → %d", step, desired)
}

func (f *formula) window(seconds, highest int) {
	f.text += fmt.Sprintf(", highest in %d s → %d", seconds, highest)
}

func (t *turn) podsText() string {
	return plural(len(t.view.ready), "ready pod")
}

// decimal writes at most two decimals and no trailing zeros: 6.4, 8, 0.33.
func decimal(f float64) string {
	s := strconv.FormatFloat(f, 'f', 2, 64)
	return strings.TrimSuffix(strings.TrimRight(s, "0"), ".")
}

func count(n int) string { return plural(n, "replica") }

func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

func list(names []string) string { return strings.Join(names, ", ") }
