package autoscale

import (
	"math"
	"strings"
	"testing"
)

// grow decides again and again, 30 s apart, for an app whose pods all have what percent says of their
// number, and gives the replicas after each decision.
func grow(rounds int, percent func(replicas int) float64, requests ...float64) (course []int, last Decision) {
	replicas, d := 4, Decision{}
	for i := range rounds {
		in := app(replicas, percent(replicas))
		in.NowUnix = now + int64(30*i)
		in.Policy.MaxStepUp = 4
		in.History, in.Growths = d.History, d.Growths
		if i < len(requests) {
			in.Traffic.RequestsPerSecond = requests[i]
		}
		d = Decide(in)
		replicas = d.Desired
		course = append(course, replicas)
	}
	return course, d
}

func TestGrowingThatDoesNotHelpStops(t *testing.T) {
	busy := func(int) float64 { return 90 } // a database is the limit: each new pod is as busy
	course, d := grow(6, busy)
	if got := course[len(course)-1]; got != 19 || d.ReasonCode != ReasonUseless || !strings.Contains(d.Useless, "from 4 to 19 replicas") {
		t.Errorf("%v, %s: %s; alarm %q", course, d.ReasonCode, d.Reason, d.Useless)
	}
	if course, d = grow(8, busy); course[len(course)-1] != 23 || d.ReasonCode == ReasonUseless || d.Useless == "" {
		t.Errorf("after two minutes it is not tried again: %v, %s", course, d.ReasonCode)
	}
	if course, d = grow(6, busy, 100, 110, 105, 101, 108, 103); course[len(course)-1] != 19 || d.Useless == "" {
		t.Errorf("as many requests as before: %v, %s", course, d.Reason)
	}
}

func TestGrowingThatHelpsGoesOn(t *testing.T) {
	course, d := grow(8, func(n int) float64 { return 2000 / float64(n) }) // one load, divided
	if got := course[len(course)-1]; got < 36 || d.Useless != "" {
		t.Errorf("%v, %s", course, d.Reason)
	}
	// The load rises by a fifth each half minute: each pod is as busy after each growth as before.
	load, requests := 320.0, make([]float64, 16)
	for i := range requests {
		requests[i] = 100 * math.Pow(1.2, float64(i))
	}
	course, d = grow(len(requests), func(n int) float64 { load *= 1.2; return load / float64(n) }, requests...)
	if got := course[len(course)-1]; got < 55 || d.Useless != "" {
		t.Errorf("it stopped while the load rose: %v, %s", course, d.Reason)
	}
}

// A growth says nothing before its replicas are ready.
func TestAGrowthIsJudgedWhenItsReplicasAreReady(t *testing.T) {
	in := app(8, 120)
	in.Current, in.Clusters[0].Replicas = 16, 16
	for i := range 8 {
		in.Pods = append(in.Pods, Pod{Name: "starting-" + string(rune('a'+i)), Cluster: "site-a"})
	}
	in.Growths = []Growth{{now - 90, 2, 90, 0}, {now - 60, 4, 90, 0}, {now - 30, 8, 90, 0}}
	if d := Decide(in); d.Action != ActionUp || len(d.Growths) != 3 {
		t.Errorf("%s, %v", d.ReasonCode, d.Growths)
	}
}
