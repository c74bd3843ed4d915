package demo

import (
	"context"
	"fmt"
	"net/http"
	"path"
	"slices"
	"sync"
	"time"

	gantryv1 "gantry.dev/proto/gen/gantry/v1"
)

const sampleInterval = time.Second

// sample is how things stood at one moment.
type sample struct {
	at time.Time
	// Ready replicas, and CPUs used by the app, by cluster.
	ready map[string]int32
	cpu   map[string]float64
}

// sampler looks at the platform each second, tells what changes by itself, and
// keeps what the picture shows.
type sampler struct {
	*stage
	http *http.Client

	mu        sync.Mutex
	samples   []sample
	decisions []*gantryv1.Decision
	newest    string // name of the newest decision seen
	health    map[string]gantryv1.ClusterHealth_State
}

// startSampler begins after the decisions of earlier runs. stop waits until
// the last look has ended.
func startSampler(ctx context.Context, s *stage) (p *sampler, stop func(), err error) {
	p = &sampler{
		stage: s, http: &http.Client{Timeout: 2 * time.Second, Transport: &http.Transport{}},
		health: map[string]gantryv1.ClusterHealth_State{},
	}
	latest, err := s.api.Decisions.ListDecisions(ctx, &gantryv1.ListDecisionsRequest{PageSize: 1})
	if err != nil {
		return nil, nil, fmt.Errorf("read the present decisions: %w", err)
	}
	for _, d := range latest.GetDecisions() {
		p.newest = d.GetName()
	}
	ctx, cancel := context.WithCancel(ctx)
	var running sync.WaitGroup
	running.Go(func() { p.run(ctx) })
	return p, func() { cancel(); running.Wait(); p.http.CloseIdleConnections() }, nil
}

func (p *sampler) run(ctx context.Context) {
	tick := time.NewTicker(sampleInterval)
	defer tick.Stop()
	for {
		p.look(ctx)
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// look takes one sample. What cannot be asked this time is left out: the next
// second asks again, and the phases notice for themselves what is missing.
func (p *sampler) look(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	now := sample{at: time.Now(), ready: map[string]int32{}}
	if app, err := p.getApp(ctx); err == nil {
		for _, a := range app.GetStatus().GetAssignments() {
			now.ready[path.Base(a.GetCluster())] = a.GetReadyReplicas()
		}
	}
	if cpu, err := p.cpuUse(ctx); err == nil {
		now.cpu = cpu
	}
	p.mu.Lock()
	p.samples = append(p.samples, now)
	p.mu.Unlock()
	p.lookAtHealth(ctx)
	p.lookAtDecisions(ctx)
}

func (p *sampler) lookAtHealth(ctx context.Context) {
	list, err := p.api.Clusters.ListClusters(ctx, &gantryv1.ListClustersRequest{})
	if err != nil {
		return
	}
	for _, c := range list.GetClusters() {
		name, state := path.Base(c.GetName()), c.GetHealth().GetState()
		before, known := p.health[name]
		p.health[name] = state
		if known && before != state {
			p.say("%s: %s → %s: %s", name, stateWord(before), stateWord(state), c.GetHealth().GetReason())
			p.mark(eventHealth, name+" "+stateWord(state), fmt.Sprintf("%s is %s: %s", name, stateWord(state), c.GetHealth().GetReason()))
		}
	}
}

func (p *sampler) lookAtDecisions(ctx context.Context) {
	list, err := p.api.Decisions.ListDecisions(ctx, &gantryv1.ListDecisionsRequest{After: p.newest, PageSize: 200})
	if err != nil || len(list.GetDecisions()) == 0 {
		return
	}
	fresh := list.GetDecisions()
	p.newest = fresh[0].GetName() // newest first
	slices.Reverse(fresh)
	for _, d := range fresh {
		p.tellDecision(d)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.decisions = append(p.decisions, fresh...)
}

func (p *sampler) tellDecision(d *gantryv1.Decision) {
	if d.GetFrom() == d.GetTo() {
		return
	}
	switch d.GetKind() {
	case gantryv1.Decision_KIND_AUTOSCALE:
		p.say("autoscaler: %s", orDefault(d.GetFormula(), d.GetSummary()))
		p.mark(eventDecision, "scale "+d.GetFrom()+"→"+d.GetTo(), d.GetFormula())
	case gantryv1.Decision_KIND_PLACEMENT:
		p.say("placement: %s", d.GetSummary())
		p.mark(eventDecision, "place "+d.GetTo(), d.GetSummary())
	case gantryv1.Decision_KIND_FAILOVER:
		p.say("failover: %s", d.GetSummary())
		p.mark(eventDecision, "failover", d.GetSummary())
	}
}

// seen returns everything kept so far.
func (p *sampler) seen() ([]sample, []*gantryv1.Decision) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.samples), slices.Clone(p.decisions)
}
