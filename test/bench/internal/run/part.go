package run

import (
	"context"
	"fmt"
	"slices"
	"strings"
)

// Part is what can be measured alone.
type Part string

// The parts, in the order in which they are measured.
const (
	Round  Part = "round"  // the bare query, the steady state and its cost
	Steps  Part = "step"   // apps that are overloaded
	Wave   Part = "deploy" // apps that are deployed at once, and the bare applies
	Loss   Part = "move"   // a cluster dies, and the bare PATCHes
	Peered Part = "hpa"    // the peers
)

// ParseParts reads "round,step"; nothing means all.
func ParseParts(list string) ([]Part, error) {
	known := []Part{Round, Steps, Wave, Loss, Peered}
	if list == "" {
		return known, nil
	}
	var out []Part
	for name := range strings.SplitSeq(list, ",") {
		if !slices.Contains(known, Part(name)) {
			return nil, fmt.Errorf("there is no part %q; take some of %v", name, known)
		}
		out = append(out, Part(name))
	}
	return out, nil
}

// phase is a step of the run.
type phase struct {
	name string
	// The parts that need it.
	of []Part
	do func(context.Context) error
}

// phases are in an order in which each finds what it needs: Gantry first, then
// the loss of a cluster, then the peer on what Gantry left behind.
func (b *bench) phases() []phase {
	if slices.Equal(b.Only, []Part{Peered}) {
		return b.peerPhases()
	}
	all := []phase{
		{"start", b.Only, b.start},
		{"make the apps through the API", b.Only, b.makeApps},
		{"floor: the grouped query", []Part{Round}, b.measureQuery},
		{"Gantry: steady", []Part{Round}, b.gantrySteady},
		{"Gantry: steps", []Part{Steps}, b.gantrySteps},
		{"deploy", []Part{Wave}, b.measureDeploy},
		{"idle, two clusters", []Part{Round}, b.idleTwo},
		{"a cluster dies", []Part{Loss}, b.measureMove},
	}
	if !slices.Contains(b.Only, Loss) {
		all = append(all, phase{"a cluster is taken away", []Part{Peered}, b.takeAway})
	}
	all = append(all,
		phase{"idle, one cluster", []Part{Peered}, b.idleOne},
		phase{"floor: raw PATCHes", []Part{Loss}, b.measurePatches})
	for _, peer := range b.Peers {
		all = append(all, phase{"HPA " + peer, []Part{Peered}, func(ctx context.Context) error { return b.measurePeer(ctx, peer) }})
	}
	return append(all, phase{"compare", b.Only, b.compare})
}

// peerPhases measure the peers alone: one cluster, in which the Deployments are
// made as Gantry would have left them.
func (b *bench) peerPhases() []phase {
	all := []phase{
		{"start one cluster", b.Only, b.startOne},
		{"make the Deployments", b.Only, b.makeDeployments},
		{"idle, one cluster", b.Only, b.idleOne},
	}
	for _, peer := range b.Peers {
		all = append(all, phase{"HPA " + peer, b.Only, func(ctx context.Context) error { return b.measurePeer(ctx, peer) }})
	}
	return append(all, phase{"compare", b.Only, b.compare})
}

// measure goes through the phases of the parts that are wanted.
func (b *bench) measure(ctx context.Context) error {
	for _, p := range b.phases() {
		if !slices.ContainsFunc(p.of, func(part Part) bool { return slices.Contains(b.Only, part) }) {
			continue
		}
		b.say("%s", p.name)
		if err := p.do(ctx); err != nil {
			return fmt.Errorf("%s: %w", p.name, err)
		}
	}
	return nil
}
