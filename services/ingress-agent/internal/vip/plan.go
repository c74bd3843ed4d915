package vip

import "time"

// Sight is what there is to see of one VIP on this node.
type Sight struct {
	// The node shall give its VIPs to the others.
	Drained bool
	// The address is on the interface.
	Holds bool
	// No Nginx of this node takes requests.
	WebDead bool
	// Another node that is not drained answers.
	PeerAnswers bool
}

// A Plan gives one VIP away: first the others get ready to pass on what
// belongs to this node, then Keepalived lets go of it. It is pure; times come
// in.
type Plan struct {
	// Since when the node is drained and could give the VIP away.
	ready time.Time
	// Since when Keepalived keeps away from the VIP because of the drain.
	given time.Time
}

const (
	// Notice is how long the others have to get ready.
	Notice = 1500 * time.Millisecond
	// away is how long Keepalived keeps away at least: another takes the VIP
	// within a tenth of that. Then this node is the last resort again.
	away = time.Second
	// again follows an attempt that nobody took up.
	again = 30 * time.Second
)

// Give tells whether Keepalived is to keep away from the VIP now.
func (p *Plan) Give(s Sight, now time.Time) bool {
	if !s.Drained {
		*p = Plan{}
		return s.WebDead
	}
	if !p.given.IsZero() && now.Sub(p.given) < away {
		return true
	}
	if !s.Holds || !s.PeerAnswers || !p.given.IsZero() && now.Sub(p.given) < again {
		p.ready = time.Time{}
		return s.WebDead
	}
	if p.ready.IsZero() {
		p.ready = now
	}
	if now.Sub(p.ready) >= Notice {
		p.given, p.ready = now, time.Time{}
		return true
	}
	return s.WebDead
}
