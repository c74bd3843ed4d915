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
	"gantry.dev/services/ingress-agent/internal/stream"
	"gantry.dev/services/ingress-agent/internal/vip"
)

// state is what the loops share; safe for concurrent use.
type state struct {
	mu sync.Mutex
	// The configuration whose weights and clusters count; nil: none yet.
	config *ingressv1.GatewayConfig
	wanted render.Build
	// What Nginx has files for.
	served render.Model
	// The upstreams of both.
	routed []routed
	// Generation that is in effect whole; 0: none yet.
	generation  int64
	quarantined []render.Rejected
	// The same of the stream routes.
	streamGeneration   int64
	streamsQuarantined []render.Rejected
	conflicts          []*ingressv1.VipConflict
	// What is wrong, by the part that says so.
	problems map[string]string
}

func newState() *state { return &state{problems: map[string]string{}} }

// accept takes a configuration: weights and clusters count from now on.
func (s *state) accept(c *ingressv1.GatewayConfig, b render.Build) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.config, s.wanted = c, b
	s.routed = routedOf(s.config, s.served, s.wanted.Model)
}

// applied says that the accepted configuration's files are in effect.
func (s *state) applied(served render.Model, quarantined []render.Rejected, generation int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.served, s.quarantined, s.generation = served, quarantined, generation
	s.routed = routedOf(s.config, s.served, s.wanted.Model)
}

// streamed says that the stream routes of a generation are in effect.
func (s *state) streamed(generation int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.streamGeneration = generation
}

func (s *state) quarantineStreams(all []stream.Rejected) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.streamsQuarantined = nil
	for _, r := range all {
		s.streamsQuarantined = append(s.streamsQuarantined, render.Rejected(r))
	}
}

func (s *state) quarantinedStreams() []render.Rejected {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.streamsQuarantined)
}

// confirmed is the generation that is in effect as a whole, when Nginx serves
// this one of HTTP.
func (s *state) confirmed(http int64) int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.config.GetStreamRoutes()) == 0 {
		return http
	}
	return min(http, s.streamGeneration)
}

// problem says what is wrong with a part, and whether that is news.
func (s *state) problem(part string, err error) (news bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	before := s.problems[part]
	delete(s.problems, part)
	if err != nil {
		s.problems[part] = err.Error()
	}
	return s.problems[part] != before
}

// conflict says which VIPs have several owners now.
func (s *state) conflict(found []vip.Conflict) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.conflicts = nil
	for _, c := range found {
		s.conflicts = append(s.conflicts, &ingressv1.VipConflict{Vip: c.VIP, HardwareAddresses: c.Owners})
	}
}

// conflicted gives what conflict said last; it must not be changed.
func (s *state) conflicted() []*ingressv1.VipConflict {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.conflicts
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
	t = make(balancer.Table, len(s.routed))
	shares := sharesOf(s.config)
	for _, r := range s.routed {
		t[r.name] = r.in(s.config.GetClusters(), shares[r.app], known)
	}
	return t, s.generation, true
}

// apps are the apps to follow, in order.
func (s *state) apps() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var apps []string
	for _, r := range s.routed {
		apps = append(apps, r.app)
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
