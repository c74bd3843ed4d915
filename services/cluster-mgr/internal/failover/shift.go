package failover

import (
	"fmt"
	"path"
	"slices"
	"strings"
)

// Share is the part of an app's requests that a cluster gets.
type Share struct {
	Cluster string `json:"cluster"`
	Percent int    `json:"percent"`
}

// Serving is an app in one cluster, as its requests see it.
type Serving struct {
	Cluster string `json:"cluster"`
	// Ready pods; the last known ones where Unknown.
	Ready int `json:"ready"`
	// TrafficPercent is the share of its normal traffic that the cluster gets now.
	TrafficPercent int `json:"traffic_percent"`
	// Unknown: the cluster cannot be observed now.
	Unknown bool `json:"unknown,omitempty"`
	// Closed says why it may gain nothing ("is DOWN"); empty: it may.
	Closed string `json:"closed,omitempty"`
}

// ShiftInput is everything that a plan to lead an app's requests to other clusters depends on.
type ShiftInput struct {
	App string `json:"app"`
	// Now are the shares that hold, 100 together; empty = in proportion to ready pods.
	Now []Share `json:"now,omitempty"`
	// To are the shares at the end. Clusters that are not named share the rest in proportion to ready
	// pods; empty = in proportion to ready pods everywhere.
	To []Share `json:"to,omitempty"`
	// StepPercent is how many points of a hundred move per step; 0 = 25.
	StepPercent int       `json:"step_percent,omitempty"`
	Clusters    []Serving `json:"clusters"`
	Guard       Guard     `json:"guard"`
}

// Shift plans to change the shares of an app's requests. Each step moves at most StepPercent points, by
// the shortest way: no cluster's share goes up and down again. A plan without steps has problems that
// say why.
func Shift(in ShiftInput) Plan {
	p := Plan{
		Kind: KindShiftTraffic, App: in.App, Former: in.Now, StepPercent: in.StepPercent, Guard: in.Guard,
		Targets: []string{}, Moves: []Move{}, Steps: []Step{}, Problems: []string{}, Reverse: []Step{},
	}
	clusters := slices.SortedFunc(slices.Values(in.Clusters), func(a, b Serving) int { return strings.Compare(a.Cluster, b.Cluster) })
	s := shift{app: in.App, step: in.StepPercent, clusters: clusters}
	if s.step <= 0 {
		s.step = defaultStep
	}
	if p.Problems = s.wrong(in); len(p.Problems) > 0 {
		return p
	}
	from, to := s.now(in.Now), s.target(in.To)
	if p.Problems = s.impossible(from, to); len(p.Problems) > 0 {
		return p
	}
	if addUp(from) == 0 {
		from = to // nobody is served: there is nothing to move step by step
	}
	for i, c := range clusters {
		if to[i] > from[i] {
			p.Targets = append(p.Targets, c.Cluster)
		}
	}
	p.Steps = s.steps(from, to, len(in.To) == 0)
	p.Reverse = s.steps(to, from, len(in.Now) == 0)
	return p
}

// shift is a plan under construction. Its lists of points have an entry per cluster, 100 together.
type shift struct {
	app      string
	step     int
	clusters []Serving
}

// wrong are the problems of what was asked for.
func (s shift) wrong(in ShiftInput) []string {
	out, sum := []string{}, 0
	for _, share := range in.To {
		sum += share.Percent
		switch c, known := s.find(share.Cluster); {
		case !known:
			out = append(out, "there is no cluster "+share.Cluster)
		case share.Percent < 0:
			out = append(out, fmt.Sprintf("%s cannot get %d %%", share.Cluster, share.Percent))
		case share.Percent > 0 && c.Ready <= 0:
			out = append(out, fmt.Sprintf("%s has no ready pod in %s", path.Base(s.app), share.Cluster))
		}
	}
	if sum > fullTraffic {
		out = append(out, fmt.Sprintf("the shares are %d %% together", sum))
	}
	if why := s.idle(in, sum); len(out) == 0 && why != "" {
		out = append(out, why)
	}
	return out
}

// idle is the reason for which a correct wish leads nowhere; empty: it does not.
func (s shift) idle(in ShiftInput, sum int) string {
	rest := s.ready(unnamed(in.To))
	switch {
	case len(in.To) == 0 && len(in.Now) == 0:
		return fmt.Sprintf("the requests of %s go by ready pods already", path.Base(s.app))
	case addUp(rest) == 0 && sum < fullTraffic:
		return fmt.Sprintf("the shares are %d %% together, and %s has no ready pod in another cluster for the rest", sum, path.Base(s.app))
	case len(in.To) > 0 && len(in.Now) > 0 && slices.Equal(s.now(in.Now), s.target(in.To)):
		return fmt.Sprintf("%s has these shares already", path.Base(s.app))
	}
	return ""
}

// impossible are the clusters that should gain and may not.
func (s shift) impossible(from, to []int) []string {
	out := []string{}
	for i, c := range s.clusters {
		if why := c.refuses(); to[i] > from[i] && why != "" {
			out = append(out, fmt.Sprintf("%s %s and can take no more requests of %s", c.Cluster, why, path.Base(s.app)))
		}
	}
	return out
}

// refuses says why a cluster may not gain; empty: it may.
func (c Serving) refuses() string {
	switch {
	case c.Closed != "":
		return c.Closed
	case c.Unknown:
		return "cannot be observed"
	case c.TrafficPercent <= 0:
		return "gets 0 % of its normal traffic"
	case c.Ready <= 0:
		return "has no ready pod"
	}
	return ""
}

func (s shift) find(cluster string) (Serving, bool) {
	for _, c := range s.clusters {
		if c.Cluster == cluster {
			return c, true
		}
	}
	return Serving{}, false
}

// ready are the weights of the clusters that share what is not named: ready pods where requests go.
func (s shift) ready(among func(Serving) bool) []int {
	out := make([]int, len(s.clusters))
	for i, c := range s.clusters {
		if c.TrafficPercent > 0 && c.Closed == "" && among(c) {
			out[i] = max(0, c.Ready)
		}
	}
	return out
}

// points are shares in the order of the clusters; what they leave goes by ready pods to the others that
// may have it.
func (s shift) points(shares []Share, among func(Serving) bool) []int {
	out, left := make([]int, len(s.clusters)), fullTraffic
	for i, c := range s.clusters {
		for _, share := range shares {
			if share.Cluster == c.Cluster {
				out[i] = percent(share.Percent)
			}
		}
		left -= out[i]
	}
	return plus(out, apportion(max(0, left), s.ready(among)), 1)
}

// now are the points of shares that hold. What a cluster had that is registered no more goes by ready
// pods.
func (s shift) now(shares []Share) []int { return s.points(shares, func(Serving) bool { return true }) }

// target are the points of shares that were asked for.
func (s shift) target(shares []Share) []int { return s.points(shares, unnamed(shares)) }

func unnamed(shares []Share) func(Serving) bool {
	return func(c Serving) bool {
		return !slices.ContainsFunc(shares, func(s Share) bool { return s.Cluster == c.Cluster })
	}
}

// steps lead from one list of points to another; free gives the requests back to ready pods with the
// last of them.
func (s shift) steps(from, to []int, free bool) []Step {
	gains, losses := differences(from, to), differences(to, from)
	distance := addUp(gains)
	out := steps{}
	for moved := 0; ; {
		moved = min(moved+s.step, distance)
		shares := s.shares(plus(plus(from, apportion(moved, gains), 1), apportion(moved, losses), -1))
		if moved == distance && free {
			shares = nil
		}
		out.share(s.app, shares)
		if moved == distance {
			return out
		}
	}
}

// shares are the points of the clusters that have some.
func (s shift) shares(points []int) []Share {
	var out []Share
	for i, c := range s.clusters {
		if points[i] > 0 {
			out = append(out, Share{c.Cluster, points[i]})
		}
	}
	return out
}

// share sets shares, which must be served everywhere before the next step.
func (s *steps) share(app string, shares []Share) {
	s.divide(app, shares, nil)
	s.add(StepWaitGeneration, "", "wait until all load balancer nodes serve %s so: %s", path.Base(app), division(shares))
}

func (s *steps) divide(app string, shares, former []Share) {
	*s = append(*s, Step{
		Kind: StepSetShares, App: app, Shares: shares, Former: former,
		Sentence: fmt.Sprintf("divide the requests of %s: %s", path.Base(app), division(shares)),
	})
}

// division says shares in words.
func division(shares []Share) string {
	if len(shares) == 0 {
		return "by ready pods"
	}
	var out []string
	for _, s := range shares {
		out = append(out, fmt.Sprintf("%s %d %%", s.Cluster, s.Percent))
	}
	return strings.Join(out, ", ")
}

// apportion divides points by weights (Sainte-Laguë, ties by order). One point more takes nothing away
// from anybody, so what is moved step by step only grows; as many points as weights are the weights.
func apportion(points int, weights []int) []int {
	out := make([]int, len(weights))
	if addUp(weights) == 0 {
		return out
	}
	for range points {
		best := 0
		for i := range weights {
			if weights[i]*(2*out[best]+1) > weights[best]*(2*out[i]+1) {
				best = i
			}
		}
		out[best]++
	}
	return out
}

// differences are by how much each is more in b than in a.
func differences(a, b []int) []int {
	out := make([]int, len(a))
	for i := range a {
		out[i] = max(0, b[i]-a[i])
	}
	return out
}

func plus(a, b []int, times int) []int {
	out := slices.Clone(a)
	for i := range b {
		out[i] += times * b[i]
	}
	return out
}

func addUp(points []int) int {
	sum := 0
	for _, n := range points {
		sum += n
	}
	return sum
}
