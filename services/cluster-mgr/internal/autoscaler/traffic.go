package autoscaler

import (
	"time"

	"gantry.dev/services/cluster-mgr/internal/autoscale"
	"gantry.dev/services/cluster-mgr/internal/observe"
)

// heard is what is remembered of an app's requests.
type heard struct {
	requests int64
	at       time.Time
	// Since when none has come.
	quietSince time.Time
}

// listen tells what became of an app's requests since the last round. A new
// leader has heard nothing yet, so for it the quiet begins now.
func (h heard) listen(d observe.AppTraffic, known bool, unknown string, now time.Time) (autoscale.Traffic, heard) {
	next := heard{requests: d.Requests, at: now, quietSince: h.quietSince}
	if h.at.IsZero() || d.Requests != h.requests || d.Held+d.Open > 0 || !known || unknown != "" {
		next.quietSince = now
	}
	t := autoscale.Traffic{Held: d.Held, QuietSeconds: int64(now.Sub(next.quietSince) / time.Second), Unknown: unknown}
	if !known {
		t.Unknown = "no load balancer node has a route to it"
	}
	if elapsed := now.Sub(h.at).Seconds(); !h.at.IsZero() && elapsed >= 1 && d.Requests > h.requests {
		t.RequestsPerSecond = float64(d.Requests-h.requests) / elapsed
	}
	return t, next
}
