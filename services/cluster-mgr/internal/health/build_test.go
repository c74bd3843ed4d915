package health

import "fmt"

const (
	start = int64(1_790_000_000_000)
	tick  = int64(2_000)
)

// site is a scripted cluster: each field says what its observers see from now on.
type site struct {
	ipaas   bool    // cluster-mgr-1 reaches ipaas
	api     bool    // ipaas finds its API server ready
	nodes   float64 // ready share
	pods    float64 // answering share, for both load balancer nodes
	probed  bool    // there are pods to probe
	foreign bool    // another cluster answers
	second  *bool   // cluster-mgr-2 looks too
}

func well() site { return site{ipaas: true, api: true, nodes: 1, pods: 1, probed: true} }

func dead() site { return site{probed: true} }

// look is what all observers say at a moment.
func (s site) look(at int64) []Observation {
	obs := []Observation{{Vantage: "cluster-mgr-1", Subject: SubjectIPAAS, OK: s.ipaas, AtUnixMilli: at}}
	if s.second != nil {
		obs = append(obs, Observation{Vantage: "cluster-mgr-2", Subject: SubjectIPAAS, OK: *s.second, AtUnixMilli: at})
	}
	if s.ipaas {
		obs = append(obs,
			Observation{Vantage: "ipaas.site-b", Subject: SubjectIdentity, OK: !s.foreign, AtUnixMilli: at},
			Observation{Vantage: "ipaas.site-b", Subject: SubjectAPIServer, OK: s.api, AtUnixMilli: at})
	}
	if s.ipaas && s.api {
		obs = append(obs, Observation{Vantage: "ipaas.site-b", Subject: SubjectNodes, OK: s.nodes > 0, Ratio: s.nodes, AtUnixMilli: at})
	}
	for n := 1; s.probed && n <= 2; n++ {
		obs = append(obs, Observation{
			Vantage: fmt.Sprintf("ingress-agent.main.lb-%d", n), Subject: SubjectPods, OK: s.pods > 0, Ratio: s.pods, AtUnixMilli: at,
		})
	}
	return obs
}

// watch is a running story of one cluster.
type watch struct {
	state   State
	now     int64
	changes []string // "12s DOWN"
	allowed int      // how often a switch became allowed
}

func newWatch() *watch { return &watch{now: start} }

// see lets the observers report every tick for so many seconds.
func (w *watch) see(s site, forSeconds int64) *watch {
	return w.hear(s.look, forSeconds)
}

func (w *watch) hear(look func(int64) []Observation, forSeconds int64) *watch {
	for end := w.now + forSeconds*1000; w.now < end; w.now += tick {
		before := w.state
		w.state = Decide(w.state, look(w.now), w.now, Settings{})
		if w.state.Changed {
			w.changes = append(w.changes, fmt.Sprintf("%ds %s", (w.now-start)/1000, w.state.Verdict))
		}
		if w.state.SwitchAllowed && !before.SwitchAllowed {
			w.allowed++
		}
	}
	return w
}
