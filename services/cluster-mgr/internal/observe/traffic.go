package observe

import "time"

// staleAfter is the age from which what a load balancer node said is not what
// it sees.
const staleAfter = 10 * time.Second

// AppTraffic is what the load balancer nodes say of one app, added up.
type AppTraffic struct {
	// Requests since each Nginx started. A node that does not answer counts
	// with what it said last, so that the sum does not fall; it does when an
	// Nginx starts anew, and the caller has to expect that.
	Requests int64
	// Held requests wait for a pod now. A node that did not answer the last
	// look holds none that is known.
	Held int
	// Open are under way, held ones included.
	Open int
}

// Traffic adds up by app what the nodes said last, and says as part of a
// sentence why that is not all ("main/lb-1 does not answer"); empty: it is.
func (v View) Traffic(now time.Time) (byApp map[string]AppTraffic, unknown string) {
	byApp = map[string]AppTraffic{}
	for name, agent := range v.Agents {
		if agent.Err != nil || agent.Status == nil || now.Sub(agent.Time) > staleAfter {
			unknown = name + " does not answer"
		}
		for _, a := range agent.Status.GetApps() {
			t := byApp[a.GetApp()]
			t.Requests += a.GetRequests()
			t.Open += int(a.GetOpen())
			if agent.Err == nil {
				t.Held += int(a.GetHeld())
			}
			byApp[a.GetApp()] = t
		}
	}
	return byApp, unknown
}
