package health

import "fmt"

// judgement is a verdict by the evidence of one moment, before any hysteresis.
type judgement struct {
	verdict Verdict
	reason  string
}

// tally counts the fresh voices of one subject.
type tally struct {
	heard      int
	alive      int // not Dead
	suspicious int
	confirmed  int
	bad        int // not OK, though not Dead
}

// failing: suspicious to some and alive to nobody. dead: the same, confirmed.
func (t tally) failing() bool { return t.suspicious > 0 && t.alive == 0 }
func (t tally) dead() bool    { return t.confirmed > 0 && t.alive == 0 }

// evidence is what all fresh voices say together.
type evidence struct {
	ipaas, api, nodes, pods, dns, identity tally
	// witnesses are the distinct vantage points with a confirmed failure.
	witnesses int
}

func weigh(voices []Voice, now int64, set Settings) evidence {
	var e evidence
	witnesses := map[string]bool{}
	for _, v := range voices {
		if !v.fresh(now, set) {
			continue
		}
		t := e.of(v.Subject)
		t.heard++
		confirmed := v.confirmed(now, set)
		t.confirmed += one(confirmed)
		t.suspicious += one(v.suspicious(set))
		t.alive += one(!v.Dead)
		t.bad += one(!v.Dead && !v.OK)
		// A DNS that fails is no sign that the cluster does not serve.
		if confirmed && v.Subject != SubjectIdentity && v.Subject != SubjectDNS {
			witnesses[v.Vantage] = true
		}
	}
	e.witnesses = len(witnesses)
	return e
}

func (e *evidence) of(subject string) *tally {
	switch subject {
	case SubjectIPAAS:
		return &e.ipaas
	case SubjectAPIServer:
		return &e.api
	case SubjectNodes:
		return &e.nodes
	case SubjectPods:
		return &e.pods
	case SubjectDNS:
		return &e.dns
	}
	return &e.identity
}

// down is rule C4. The control side is dead to everybody who looks, no pod answers anybody, and
// enough vantage points confirm it. Without pods to probe only those count who cannot reach ipaas.
func (e evidence) down(set Settings) bool {
	control := e.ipaas.dead() || e.api.dead() || e.nodes.dead()
	workload := e.pods.dead() || e.pods.heard == 0 && e.ipaas.dead()
	return control && workload && e.witnesses >= set.MinVantages
}

// judge weighs the voices. allowDown false is rule C3: we do not trust our own eyes. Evidence that
// says neither this nor that keeps the verdict that was.
func judge(e evidence, was Verdict, set Settings, allowDown bool) judgement {
	switch {
	case e.identity.alive < e.identity.heard:
		return judgement{Unknown, "another cluster answers at its address; nothing it says is believed"}
	case e.ipaas.heard+e.api.heard+e.nodes.heard+e.pods.heard == 0:
		return silent(was)
	case e.down(set) && (allowDown || was == Down):
		return judgement{Down, fmt.Sprintf("it does not serve: %d vantage points confirm it", e.witnesses)}
	case e.down(set):
		return judgement{Suspect, "it looks down, but we suspect ourselves"}
	case was == Down && e.ipaas.alive == 0 && e.pods.alive == 0:
		// Once its apps have moved nobody probes pods there any more: fewer witnesses are no recovery.
		return judgement{Down, "it was proven down, and nobody reaches it"}
	}
	return e.lesser(was)
}

// silent is a cluster that nobody speaks about: a proven verdict does not fade by that.
func silent(was Verdict) judgement {
	if was == Down {
		return judgement{Down, "it was down when it was last looked at"}
	}
	return judgement{Unknown, "nobody has said anything about it lately"}
}

// lesser is the judgement of a cluster that is not proven down.
func (e evidence) lesser(was Verdict) judgement {
	switch {
	case e.ipaas.dead() && e.pods.alive > 0:
		return judgement{Degraded, "nobody reaches its ipaas, but its pods answer the load balancers"}
	case e.pods.dead() && e.ipaas.alive > 0 && !e.api.failing() && !e.nodes.failing():
		return judgement{Degraded, "no pod answers the load balancers, but its control plane is well"}
	case e.ipaas.suspicious > 0:
		return judgement{Suspect, "its ipaas is not reached: for too short, by too few, or not by all"}
	case e.pods.failing():
		return judgement{Suspect, "no pod answers the load balancers"}
	case e.api.suspicious > 0:
		return judgement{Degraded, "its API server does not answer, but ipaas can be reached"}
	case e.nodes.suspicious > 0, e.nodes.bad > 0:
		return judgement{Degraded, "too few of its nodes are ready"}
	case e.pods.suspicious > 0, e.pods.bad > 0:
		return judgement{Degraded, "too few of its pods answer all load balancers"}
	case e.dns.suspicious > 0:
		return judgement{Degraded, "its DNS does not answer from inside"}
	case e.ipaas.alive == 0 && was == "":
		return judgement{Unknown, "nobody has reached it yet"}
	case e.ipaas.alive == 0:
		return judgement{was, "no clear news"}
	}
	return judgement{Healthy, "it answers and nothing is wrong with it"}
}

func one(b bool) int {
	if b {
		return 1
	}
	return 0
}
