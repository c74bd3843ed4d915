package stream

import (
	"slices"
	"time"
)

// Pace bounds reloads: each leaves workers behind that stay as long as their
// connections do.
type Pace struct {
	// Least time between two reloads.
	Least time.Duration
	// Added for each worker of an earlier generation, up to a minute: a pod
	// that has gone is passed over meanwhile.
	PerOld time.Duration
}

const (
	// reloadShare: reloads are at least this many times as far apart as the
	// last one took.
	reloadShare = 2
	longest     = time.Minute
)

// Wait is how long after a reload that took so long the next one may follow.
// An urgent one does not wait for old workers.
func (p Pace) Wait(took time.Duration, old int, urgent bool) time.Duration {
	wait := max(p.Least, reloadShare*took)
	if !urgent {
		wait = max(wait, min(time.Duration(old)*p.PerOld, longest))
	}
	return wait
}

// Urgent tells whether the change is more than one of pods: another form, or
// a route none of whose served pods is still one.
func Urgent(served, wanted Model) bool {
	if len(served.Routes) != len(wanted.Routes) {
		return true
	}
	for i, w := range wanted.Routes {
		s := served.Routes[i]
		if !equalForm(s.Form, w.Form) || len(w.Servers) > 0 && !slices.ContainsFunc(s.Servers, func(x Server) bool { return usable(w, x.Address) }) {
			return true
		}
	}
	return false
}

func usable(r Route, address string) bool {
	return slices.ContainsFunc(r.Servers, func(s Server) bool { return s.Address == address && !s.Last })
}
