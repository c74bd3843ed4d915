package offline

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"gantry.dev/services/cluster-mgr/internal/failover"
)

// Failover plans how traffic and replicas leave a cluster or come back. What is planned is told by the
// field that only its input has: to_percent is a switch of traffic, app a shift of its requests, of the
// way back of a finished plan, healthy_since_unix a return, switch_allowed the approval of a plan
// without a person, observation the next step of a plan; anything else is a migration. It fails when
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
	case has("observation"):
		return next(data, stored)
	case has("of"):
		return planned(data, stored, failover.Revert)
	case has("app"):
		return planned(data, stored, failover.Shift)
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
	a := Answer{Kind: kindFailover, Subject: subject(p), Action: string(p.Kind), Summary: summary(p), Reasons: sentences(p)}
	if len(p.Steps) == 0 {
		a.Action = "IMPOSSIBLE"
	}
	for _, s := range p.Steps {
		a.Steps = append(a.Steps, s.Sentence)
	}
	return a.with(p, stored)
}

// subject is the app or the cluster that a plan is about.
func subject(p failover.Plan) string { return cmp.Or(p.App, p.Cluster) }

func summary(p failover.Plan) string {
	what := strings.ToLower(strings.ReplaceAll(string(p.Kind), "_", " "))
	if len(p.Steps) == 0 {
		return fmt.Sprintf("%s of %s cannot be done", what, subject(p))
	}
	replicas := 0
	for _, m := range p.Moves {
		replicas += m.Replicas
	}
	if p.App != "" {
		return fmt.Sprintf("%s of %s: %d steps", what, p.App, len(p.Steps))
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

func next(data []byte, stored string) (Answer, error) {
	var in failover.NextInput
	if err := decode(data, &in); err != nil {
		return Answer{}, err
	}
	out := failover.Next(in.Plan, in.Progress, in.Observation)
	return Answer{Kind: kindFailover, Subject: subject(in.Plan), Action: string(out.Action), Summary: out.Reason, Reasons: out.Lacking}.with(out, stored)
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
