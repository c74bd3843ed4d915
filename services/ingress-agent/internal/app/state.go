package app

import (
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"

	ingressv1 "gantry.dev/proto/gen/gantry/ingress/v1"
	"gantry.dev/services/ingress-agent/internal/balancer"
	"gantry.dev/services/ingress-agent/internal/endpoints"
	"gantry.dev/services/ingress-agent/internal/render"
)

// state is what the loops share; safe for concurrent use.
type state struct {
	mu sync.Mutex
	// The configuration whose weights and clusters count; nil: none yet.
	config *ingressv1.GatewayConfig
	wanted render.Build
	// What Nginx has files for.
	served render.Model
	// Generation that is in effect whole; 0: none yet.
	generation  int64
	quarantined []render.Rejected
	// What is wrong, by the part that says so.
	problems map[string]string
}

func newState() *state { return &state{problems: map[string]string{}} }

// accept takes a configuration: weights and clusters count from now on.
func (s *state) accept(c *ingressv1.GatewayConfig, b render.Build) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.config, s.wanted = c, b
}

// applied says that the accepted configuration's files are in effect.
func (s *state) applied(served render.Model, quarantined []render.Rejected, generation int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.served, s.quarantined, s.generation = served, quarantined, generation
}

func (s *state) problem(part string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.problems, part)
	if err != nil {
		s.problems[part] = err.Error()
	}
}

// message joins what is wrong.
func (s *state) message() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []string
	for part, text := range s.problems {
		all = append(all, part+": "+text)
	}
	slices.Sort(all)
	return strings.Join(all, "; ")
}

// A member is a pod of an upstream.
type member struct {
	cluster, target string
}

// table is what Nginx should choose from: the upstreams that it has files for
// and those that it is about to get. ok is false before the first
// configuration.
func (s *state) table(known endpoints.ByCluster) (t balancer.Table, generation int64, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.config == nil {
		return nil, 0, false
	}
	t = balancer.Table{}
	holds := holds(s.config)
	for _, m := range []render.Model{s.served, s.wanted.Model} {
		for _, h := range m.Hosts {
			for _, l := range h.Locations {
				s.add(t, l.Upstream, holds[l.Upstream], known)
			}
		}
	}
	return t, s.generation, true
}

// holds says by upstream how many seconds a request waits for a first pod: the
// longest that a route to it says.
func holds(c *ingressv1.GatewayConfig) map[string]int {
	out := map[string]int{}
	for _, r := range c.GetRoutes() {
		upstream, err := render.UpstreamOf(r)
		if err != nil {
			continue // it was rejected
		}
		out[upstream] = max(out[upstream], int(r.GetHoldSeconds()))
	}
	return out
}

func (s *state) add(t balancer.Table, upstream string, hold int, known endpoints.ByCluster) {
	if _, ok := t[upstream]; ok {
		return
	}
	app, port, err := render.AppOf(upstream)
	if err != nil {
		return // it was rendered by the same grammar
	}
	u := balancer.Upstream{Clusters: []balancer.Cluster{}, Hold: hold}
	for _, c := range s.config.GetClusters() {
		u.Clusters = append(u.Clusters, balancer.Cluster{
			Name: c.GetName(), Percent: int(c.GetTrafficPercent()), Port: port,
			Pods: append([]string{}, known[c.GetName()][app]...),
		})
	}
	t[upstream] = u
}

// apps are the apps to follow, in order.
func (s *state) apps() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var apps []string
	for _, m := range []render.Model{s.served, s.wanted.Model} {
		for _, h := range m.Hosts {
			for _, l := range h.Locations {
				if app, _, err := render.AppOf(l.Upstream); err == nil {
					apps = append(apps, app)
				}
			}
		}
	}
	slices.Sort(apps)
	return slices.Compact(apps)
}

// members lists each pod once per cluster.
func members(t balancer.Table) []member {
	var all []member
	seen := map[member]bool{}
	for _, u := range t {
		for _, c := range u.Clusters {
			for _, ip := range c.Pods {
				m := member{cluster: c.Name, target: net.JoinHostPort(ip, strconv.Itoa(c.Port))}
				if !seen[m] {
					seen[m] = true
					all = append(all, m)
				}
			}
		}
	}
	return all
}

// view gives what a status tells; the results must not be changed.
func (s *state) view() (*ingressv1.GatewayConfig, []render.Rejected) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.config, s.quarantined
}
