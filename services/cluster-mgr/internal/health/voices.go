package health

import (
	"cmp"
	"fmt"
	"slices"
)

// hear adds new observations to the voices, which stay sorted by subject and vantage point.
func hear(voices []Voice, obs []Observation, now int64, set Settings) []Voice {
	out := slices.Clone(voices)
	sorted := slices.Clone(obs)
	slices.SortStableFunc(sorted, Observation.compare)
	for _, o := range sorted {
		if !knownSubject(o.Subject) {
			continue
		}
		i, found := slices.BinarySearchFunc(out, o, compareVoice)
		if !found {
			out = slices.Insert(out, i, Voice{Vantage: o.Vantage, Subject: o.Subject})
		}
		if !found || o.AtUnixMilli != out[i].AtUnixMilli {
			out[i] = out[i].next(o, now, set)
		}
	}
	return slices.DeleteFunc(out, func(v Voice) bool { return v.forgotten(now, set) })
}

// forgotten: a vantage point that no longer exists is not listed for ever.
func (v Voice) forgotten(now int64, set Settings) bool {
	return !v.fresh(now, set) && now-v.HeardUnixMilli > 20*set.StaleAfterMS
}

func (o Observation) compare(p Observation) int {
	return cmp.Or(
		cmp.Compare(o.Subject, p.Subject), cmp.Compare(o.Vantage, p.Vantage), cmp.Compare(o.AtUnixMilli, p.AtUnixMilli),
		cmp.Compare(o.Ratio, p.Ratio), cmp.Compare(o.Detail, p.Detail))
}

func compareVoice(v Voice, o Observation) int {
	return cmp.Or(cmp.Compare(v.Subject, o.Subject), cmp.Compare(v.Vantage, o.Vantage))
}

func knownSubject(s string) bool {
	switch s {
	case SubjectIPAAS, SubjectAPIServer, SubjectNodes, SubjectPods, SubjectIdentity, SubjectDNS:
		return true
	}
	return false
}

// next is the voice after one more observation.
func (v Voice) next(o Observation, now int64, set Settings) Voice {
	n := Voice{
		Vantage: v.Vantage, Subject: v.Subject, OK: o.OK, Ratio: ratio(o), Detail: o.Detail,
		HeardUnixMilli: now, AtUnixMilli: o.AtUnixMilli,
	}
	switch o.Subject {
	case SubjectNodes:
		n.OK = n.Ratio >= set.MinReadyNodes
		n.Dead = n.Ratio == 0
	case SubjectPods:
		n.OK = n.Ratio >= set.MinPods
		n.Dead = n.Ratio == 0
	default:
		n.Dead = !o.OK
	}
	if !n.Dead {
		return n
	}
	n.Failures, n.FirstFailureUnixMilli = 1, now
	// Silence between two failures is no evidence, and neither is a clock that went back.
	if v.Failures > 0 && v.fresh(now, set) && v.FirstFailureUnixMilli <= now {
		n.Failures, n.FirstFailureUnixMilli = v.Failures+1, v.FirstFailureUnixMilli
	}
	return n
}

// ratio is within 0 and 1. OK without a number means all; nonsense without OK means none.
func ratio(o Observation) float64 {
	switch {
	case o.Subject != SubjectNodes && o.Subject != SubjectPods:
		return 0
	case o.Ratio > 0: // false for NaN
		return min(o.Ratio, 1)
	}
	return float64(one(o.OK))
}

// fresh: the voice was heard lately. One about the identity keeps: who answered wrongly once stays
// untrusted until the right one answers.
func (v Voice) fresh(now int64, set Settings) bool {
	age := now - v.HeardUnixMilli
	return v.Subject == SubjectIdentity || age >= 0 && age < set.StaleAfterMS
}

// suspicious is the first degree of failing, confirmed the second (rule C4).
func (v Voice) suspicious(set Settings) bool {
	return v.Failures >= set.SuspectFailures
}

func (v Voice) confirmed(now int64, set Settings) bool {
	return v.Failures >= set.MinFailures && now-v.FirstFailureUnixMilli >= set.MinDurationMS
}

// sentence is the evidence of one voice for people.
func (v Voice) sentence(now int64, set Settings) string {
	text := v.Vantage + " " + v.claim()
	if v.Failures > 0 {
		text += fmt.Sprintf(", %s over %s", times(v.Failures), seconds(now-v.FirstFailureUnixMilli))
	}
	if v.Detail != "" {
		text += " (" + v.Detail + ")"
	}
	if !v.fresh(now, set) {
		text += "; silent for " + seconds(now-v.HeardUnixMilli)
	}
	return text
}

func (v Voice) claim() string {
	switch v.Subject {
	case SubjectIPAAS:
		return choose(v.OK, "reaches ipaas", "does not reach ipaas")
	case SubjectAPIServer:
		return choose(v.OK, "finds the API server ready", "finds the API server not ready")
	case SubjectNodes:
		return fmt.Sprintf("finds %.0f %% of the nodes ready", 100*v.Ratio)
	case SubjectPods:
		return fmt.Sprintf("gets answers from %.0f %% of the pods", 100*v.Ratio)
	case SubjectDNS:
		return choose(v.OK, "gets answers from DNS", "gets no answer from DNS")
	default:
		return choose(v.OK, "finds the registered identity", "finds another cluster's identity")
	}
}

func choose(ok bool, yes, no string) string {
	if ok {
		return yes
	}
	return no
}

func times(n int) string {
	if n == 1 {
		return "once"
	}
	return fmt.Sprintf("%d times in a row", n)
}

func seconds(ms int64) string {
	return fmt.Sprintf("%d s", ms/1000)
}
