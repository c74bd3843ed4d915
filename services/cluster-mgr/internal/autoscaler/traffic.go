package autoscaler

import (
	"fmt"
	"time"

	"gantry.dev/services/cluster-mgr/internal/autoscale"
	"gantry.dev/services/cluster-mgr/internal/observe"
)

// staleAfter is the age from which what a load balancer node said is not what
// it sees.
const staleAfter = 10 * time.Second

// demand is what the load balancer nodes say of one app.
type demand struct {
	requests   int64
	held, open int
}

// demands adds up what the nodes said last, and says why it is not all;
// empty: it is.
func demands(view observe.View, now time.Time) (byApp map[string]demand, unknown string) {
	byApp = map[string]demand{}
	for name, agent := range view.Agents {
		if agent.Err != nil || agent.Status == nil || now.Sub(agent.Time) > staleAfter {
			unknown = fmt.Sprintf("%s does not answer", name)
		}
		for _, a := range agent.Status.GetApps() {
			d := byApp[a.GetApp()]
			d.requests += a.GetRequests()
			d.open += int(a.GetOpen())
			if agent.Err == nil {
				d.held += int(a.GetHeld())
			}
			byApp[a.GetApp()] = d
		}
	}
	return byApp, unknown
}

// heard is what is remembered of an app's requests.
type heard struct {
	requests int64
	at       time.Time
	// Since when none has come.
	quietSince time.Time
}

// listen tells what became of an app's requests since the last round. A new
// leader has heard nothing yet, so for it the quiet begins now.
func (h heard) listen(d demand, known bool, unknown string, now time.Time) (autoscale.Traffic, heard) {
	next := heard{requests: d.requests, at: now, quietSince: h.quietSince}
	if h.at.IsZero() || d.requests != h.requests || d.held+d.open > 0 || !known || unknown != "" {
		next.quietSince = now
	}
	t := autoscale.Traffic{Held: d.held, QuietSeconds: int64(now.Sub(next.quietSince) / time.Second), Unknown: unknown}
	if !known {
		t.Unknown = "no load balancer node has a route to it"
	}
	if elapsed := now.Sub(h.at).Seconds(); !h.at.IsZero() && elapsed >= 1 && d.requests > h.requests {
		t.RequestsPerSecond = float64(d.requests-h.requests) / elapsed
	}
	return t, next
}
