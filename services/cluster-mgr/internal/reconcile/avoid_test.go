package reconcile

import (
	"strings"
	"time"
)

func stuckGoElsewhere(w *world) {
	w.deploy("web", 4)
	w.ok(w.pass()) // nothing schedules in site-b
	w.a().settle()
	w.ok(w.pass())
	w.now = w.now.Add(59 * time.Second)
	w.ok(w.pass())
	w.expect("not before a minute is over", w.shares("web"), "site-a 2, site-b 2")
	w.now = w.now.Add(2 * time.Second)
	w.ok(w.pass())
	w.expect("replanned", w.shares("web"), "site-a 4, site-b 0")
	a := w.assignment("web")
	if len(a.Avoid) != 1 || a.Avoid[0].Cluster != "clusters/site-b" || a.Avoid[0].Times != 1 || a.Avoid[0].UntilUnix != w.now.Add(10*time.Minute).Unix() {
		w.t.Errorf("avoided: %+v", a.Avoid)
	}
	if want := "site-b gives back 2 of 2: for more than a minute no node has taken 2 of its replicas (0/1 nodes are available: 1 Insufficient cpu)"; a.Shares[1].Reason != want {
		w.t.Errorf("reason %q", a.Shares[1].Reason)
	}
	// Now site-a's new ones hang too: no way back within the ten minutes.
	w.ok(w.pass())
	w.now = w.now.Add(61 * time.Second)
	w.ok(w.pass())
	w.expect("no ping-pong", w.shares("web"), "site-a 4, site-b 0")
	if s := w.assignment("web").Shortfall; !strings.Contains(s, "site-b for 0 (it is avoided for a while)") {
		w.t.Errorf("shortfall %q", s)
	}
	w.a().settle()
	w.ok(w.pass())
	w.ok(w.pass())
	w.expect("nothing is short when they run", w.assignment("web").Shortfall, "")
	w.deploy("web", 5)
	w.settle()
	w.expect("growing avoids it too", w.shares("web"), "site-a 5, site-b 0")
}

func stuckStayWhereNothingFits(w *world) {
	w.cells["site-b"].do(func() { w.b().nodes = nil })
	w.deploy("web", 4)
	w.ok(w.pass())
	w.ok(w.pass())
	w.now = w.now.Add(2 * time.Minute)
	w.ok(w.pass())
	a := w.assignment("web")
	w.expect("shares", w.shares("web"), "site-a 4, site-b 0")
	if !strings.Contains(a.Shortfall, "no node takes 4 of its replicas") || len(a.Avoid) != 0 {
		w.t.Errorf("%+v", a)
	}
	decision := a.Decision
	w.now = w.now.Add(2 * time.Minute)
	w.ok(w.pass())
	w.expect("said once", w.assignment("web").Decision, decision)
}

// No node of either cluster takes the last replicas, though there seems to be
// room: they are tried here and there, ever more rarely.
func stuckComeToRest(w *world) {
	w.deploy("web", 4)
	w.ok(w.pass())
	w.a().settle() // two run, two do not
	moves, last := 0, w.shares("web")
	for range 6 * 60 / 5 {
		w.now = w.now.Add(5 * time.Minute)
		w.ok(w.pass())
		if now := w.shares("web"); now != last {
			moves, last = moves+1, now
		}
	}
	if moves < 3 || moves > 10 {
		w.t.Errorf("%d moves in six hours", moves)
	}
	if w.assignment("web").Shortfall == "" {
		w.t.Error("nothing is said to be short")
	}
}
