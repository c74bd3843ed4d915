package offline

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"gantry.dev/services/cluster-mgr/internal/failover"
)

// Failover plans how traffic and replicas leave a cluster or come back. What is planned is told by the
// field that only its input has: to_percent is a switch of traffic, healthy_since_unix a return,
// switch_allowed the approval of a plan without a person; anything else is a migration. It fails when
// input cannot be read.
func Failover(input []byte) (Answer, error) {
	data, stored, err := open(input, kindFailover)
	if err != nil {
		return Answer{}, err
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(data, &fields); err != nil {
		return Answer{}, notJSON(err)
	}
	has := func(name string) bool { _, ok := fields[name]; return ok }
	switch {
	case has("switch_allowed"):
		return consenting(data, stored)
	case has("to_percent"):
		return planned(data, stored, failover.Switch)
	case has("healthy_since_unix"):
		return planned(data, stored, failover.FailBack)
	}
	return planned(data, stored, failover.Migrate)
}

func planned[T any](data []byte, stored string, plan func(T) failover.Plan) (Answer, error) {
	var in T
	if err := decode(data, &in); err != nil {
		return Answer{}, err
	}
	p := plan(in)
	a := Answer{Kind: kindFailover, Subject: p.Cluster, Action: string(p.Kind), Summary: summary(p), Reasons: sentences(p)}
	if len(p.Steps) == 0 {
		a.Action = "IMPOSSIBLE"
	}
	for _, s := range p.Steps {
		a.Steps = append(a.Steps, s.Sentence)
	}
	return a.with(p, stored)
}

func summary(p failover.Plan) string {
	what := strings.ToLower(strings.ReplaceAll(string(p.Kind), "_", " "))
	if len(p.Steps) == 0 {
		return fmt.Sprintf("%s of %s cannot be done", what, p.Cluster)
	}
	replicas := 0
	for _, m := range p.Moves {
		replicas += m.Replicas
	}
	return fmt.Sprintf("%s of %s: %d steps, moves of %d replicas, %d of them without a place", what, p.Cluster, len(p.Steps), replicas, p.Unplaced())
}

// sentences are the plan's moves, then its problems.
func sentences(p failover.Plan) []string {
	var out []string
	for _, m := range p.Moves {
		to := "nowhere"
		var places []string
		for _, t := range m.To {
			places = append(places, fmt.Sprintf("%d to %s", t.Replicas, t.Cluster))
		}
		if len(places) > 0 {
			to = strings.Join(places, ", ")
		}
		text := fmt.Sprintf("move %d of %s from %s: %s", m.Replicas, m.App, m.From, to)
		if m.Note != "" && !slices.Contains(p.Problems, m.App+": "+m.Note) {
			text += "; " + m.Note
		}
		out = append(out, text)
	}
	return append(out, p.Problems...)
}

func consenting(data []byte, stored string) (Answer, error) {
	var in failover.ConsentInput
	if err := decode(data, &in); err != nil {
		return Answer{}, err
	}
	out := failover.Consenting(in)
	a := Answer{Kind: kindFailover, Subject: "the prepared plan", Action: "REFUSED", Summary: out.Reason, Reasons: out.Refusals}
	if out.Given {
		a.Action = "APPROVED"
	}
	return a.with(out, stored)
}
