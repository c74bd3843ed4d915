package demo

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"gantry.dev/services/gantry/internal/load"
)

// The figures that the product promises.
const (
	maxLastFailure = 5 * time.Second
	maxDetection   = 60 * time.Second
	maxTakeover    = time.Second
)

// Expectation is one thing that a phase must show.
type Expectation struct {
	Name   string
	Held   bool
	Detail string
}

// check judges the requests of a phase. It is judged when the phase ends and
// again at the end, when late answers have been counted too.
type check func(phase []load.Bucket) Expectation

// fact is a check of something that does not depend on requests.
func fact(name string, held bool, format string, args ...any) check {
	e := Expectation{name, held, fmt.Sprintf(format, args...)}
	return func([]load.Bucket) Expectation { return e }
}

// noneFailed: planned work loses no request.
func noneFailed(phase []load.Bucket) Expectation {
	requests, failed := load.Count(phase)
	detail := fmt.Sprintf("%s of %s requests failed", thousands(failed), thousands(requests))
	if failed > 0 {
		detail += ": " + classes(phase)
	}
	return Expectation{"no request failed", failed == 0 && requests > 0, detail}
}

// lastFailureSoon: the load balancers go around dead pods by themselves.
func lastFailureSoon(killed time.Time) check {
	return func(phase []load.Bucket) Expectation {
		_, failed := load.Count(phase)
		last, found := load.LastFailure(phase, killed)
		if !found {
			return Expectation{"failures end within 5 s", true, "no request failed after the kill"}
		}
		sent := last.Sent.Sub(killed)
		return Expectation{"failures end within 5 s", sent <= maxLastFailure, fmt.Sprintf(
			"%s failed (%s), the last one sent %s after the kill and known to have failed at %s",
			thousands(failed), classes(phase), round(sent), round(last.At.Sub(killed)))}
	}
}

// takeoverSoon: the other node takes the VIP.
func takeoverSoon(gap time.Duration) check {
	return fact("takeover within 1 s", gap <= maxTakeover, "longest time without a good answer: %s", round(gap))
}

// notAnsweredBy: a cluster without traffic answers nothing.
func notAnsweredBy(cluster string, tag string) check {
	return func(phase []load.Bucket) Expectation {
		by := load.Answered(tagged(phase, tag))
		total := sum(by)
		// Answers that do not name their cluster prove nothing.
		held := total > 0 && by[cluster] == 0 && by[""] == 0
		return Expectation{"no request reaches " + cluster, held, fmt.Sprintf(
			"%s answers while it had no traffic: %s", thousands(total), shares(by))}
	}
}

// answeredBy: a cluster that has traffic again does answer.
func answeredBy(cluster string, tag string) check {
	return func(phase []load.Bucket) Expectation {
		by := load.Answered(tagged(phase, tag))
		return Expectation{cluster + " answers again", by[cluster] > 0, shares(by)}
	}
}

// onlyVersion: after the release nothing old answers.
func onlyVersion(version, tag string) check {
	return func(phase []load.Bucket) Expectation {
		by := load.Versions(tagged(phase, tag))
		return Expectation{"only " + version + " answers afterwards", by[version] > 0 && by[version] == sum(by), shares(by)}
	}
}

// rateKept: the load was what was asked for.
func rateKept(rate float64, total int, during time.Duration) Expectation {
	reached := float64(total) / during.Seconds()
	return Expectation{"load is steady", reached >= 0.95*rate, fmt.Sprintf("%.0f of %.0f requests per second", reached, rate)}
}

// judge applies checks to a phase's requests.
func judge(checks []check, phase []load.Bucket) []Expectation {
	var all []Expectation
	for _, c := range checks {
		all = append(all, c(phase))
	}
	return all
}

// inPhase picks the requests of a phase, whatever its part: tags are
// "switch" or "switch/away".
func inPhase(buckets []load.Bucket, name string) (of []load.Bucket) {
	for _, b := range buckets {
		if phase, _, _ := strings.Cut(b.Phase, "/"); phase == name {
			of = append(of, b)
		}
	}
	return of
}

func tagged(buckets []load.Bucket, tag string) (of []load.Bucket) {
	for _, b := range buckets {
		if b.Phase == tag {
			of = append(of, b)
		}
	}
	return of
}

// shares is "site-a 120, site-b 118", in name order.
func shares(by map[string]int) string {
	var parts []string
	for name, n := range by {
		parts = append(parts, orDefault(name, "(unnamed)")+" "+thousands(n))
	}
	slices.Sort(parts)
	return strings.Join(parts, ", ")
}

func classes(buckets []load.Bucket) string {
	by := map[string]int{}
	for class, n := range load.Classes(buckets) {
		by[string(class)] = n
	}
	return shares(by)
}

func sum(by map[string]int) (total int) {
	for _, n := range by {
		total += n
	}
	return total
}
