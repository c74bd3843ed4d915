package health

import (
	"math"
	"strings"
	"testing"
)

func hearOne(v Voice, o Observation, now int64) Voice {
	o.Vantage, o.Subject = v.Vantage, v.Subject
	return hear([]Voice{v}, []Observation{o}, now, Settings{}.withDefaults())[0]
}

func TestTheSameObservationTwiceCountsOnce(t *testing.T) {
	v := Voice{Vantage: "lb-1", Subject: SubjectPods, HeardUnixMilli: start}
	v = hearOne(v, Observation{AtUnixMilli: 7}, start+1_000)
	v = hearOne(v, Observation{AtUnixMilli: 7}, start+2_000)
	if v.Failures != 1 || v.HeardUnixMilli != start+1_000 {
		t.Errorf("got %+v", v)
	}
}

// Clocks of observers may be minutes off or jump back: only order of arrival counts.
func TestObserversClocksDoNotMatter(t *testing.T) {
	v := Voice{Vantage: "lb-1", Subject: SubjectPods, HeardUnixMilli: start}
	for i, at := range []int64{start + 300_000, start - 300_000, start} {
		v = hearOne(v, Observation{AtUnixMilli: at}, start+int64(i)*1_000)
	}
	if v.Failures != 3 || v.FirstFailureUnixMilli != start {
		t.Errorf("got %+v", v)
	}
}

func TestOurClockGoingBackStartsAnew(t *testing.T) {
	v := Voice{Vantage: "lb-1", Subject: SubjectPods, HeardUnixMilli: start, Failures: 9, FirstFailureUnixMilli: start}
	v = hearOne(v, Observation{AtUnixMilli: 7}, start-1_000)
	if v.Failures != 1 || v.FirstFailureUnixMilli != start-1_000 {
		t.Errorf("got %+v", v)
	}
}

func TestRatios(t *testing.T) {
	cases := []struct {
		subject  string
		ok       bool
		ratio    float64
		wantOK   bool
		wantDead bool
	}{
		{SubjectPods, true, 1, true, false},
		{SubjectPods, true, 0, true, false}, // OK without a number means all
		{SubjectPods, false, 0, false, true},
		{SubjectPods, false, 0.4, false, false},
		{SubjectPods, false, math.NaN(), false, true},
		{SubjectPods, false, -1, false, true},
		{SubjectPods, true, 7, true, false},
		{SubjectNodes, true, 0.7, true, false},
		{SubjectNodes, true, 0.69, false, false},
		{SubjectNodes, false, 0, false, true},
		{SubjectIPAAS, false, 1, false, true},
		{SubjectIPAAS, true, 0, true, false},
	}
	for _, tc := range cases {
		v := hearOne(Voice{Vantage: "x", Subject: tc.subject, HeardUnixMilli: start}, Observation{OK: tc.ok, Ratio: tc.ratio, AtUnixMilli: 1}, start)
		if v.OK != tc.wantOK || v.Dead != tc.wantDead {
			t.Errorf("%s ok=%t ratio=%v: got ok=%t dead=%t", tc.subject, tc.ok, tc.ratio, v.OK, v.Dead)
		}
	}
}

func TestStrangeSubjectsAreIgnoredAndOldVoicesForgotten(t *testing.T) {
	set := Settings{}.withDefaults()
	if got := hear(nil, []Observation{{Vantage: "x", Subject: "WEATHER"}}, start, set); len(got) != 0 {
		t.Errorf("got %+v", got)
	}
	voices := hear(nil, well().look(start), start, set)
	later := start + 20*set.StaleAfterMS + 1
	kept := hear(voices, nil, later, set)
	if len(kept) != 1 || kept[0].Subject != SubjectIdentity {
		t.Errorf("got %+v", kept)
	}
	if text := voices[0].sentence(start+20_000, set); !strings.HasSuffix(text, "; silent for 20 s") {
		t.Errorf("got %q", text)
	}
}

// rule C4: three failures, over thirty seconds, not one less.
func TestWhatConfirms(t *testing.T) {
	set := Settings{}.withDefaults()
	for _, tc := range []struct {
		failures int
		over     int64 // milliseconds
		want     bool
	}{{3, 30_000, true}, {3, 29_999, false}, {2, 60_000, false}} {
		v := Voice{Vantage: "cluster-mgr", Subject: SubjectIPAAS, Failures: tc.failures, FirstFailureUnixMilli: start - tc.over}
		if got := v.confirmed(start, set); got != tc.want {
			t.Errorf("%d failures over %d ms: %t", tc.failures, tc.over, got)
		}
	}
}
