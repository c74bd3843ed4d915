package observe

// HeldRequests is how many requests of an app ("projects/pay/apps/web") the
// load balancer nodes hold now because no pod is ready. A node that did not
// answer the last look holds none that is known.
func (v View) HeldRequests(app string) int {
	held := 0
	for _, agent := range v.Agents {
		if agent.Err != nil {
			continue
		}
		for _, a := range agent.Status.GetApps() {
			if a.GetApp() == app {
				held += int(a.GetHeld())
			}
		}
	}
	return held
}

// Requests is how many requests of an app all load balancer nodes have counted
// since each of their Nginx started. A node that does not answer counts with
// what it said last, so that the sum does not fall; it does when an Nginx
// starts anew, and the caller has to expect that.
func (v View) Requests(app string) int64 {
	var sum int64
	for _, agent := range v.Agents {
		for _, a := range agent.Status.GetApps() {
			if a.GetApp() == app {
				sum += a.GetRequests()
			}
		}
	}
	return sum
}
