package demo

import (
	"testing"
	"time"

	"gantry.dev/services/gantry/internal/load"
)

func at(seconds float64) time.Time {
	return time.Unix(1_700_000_000, 0).Add(time.Duration(seconds * float64(time.Second)))
}

func failedAt(sent, known float64) load.Bucket {
	return load.Bucket{
		Phase: "site-loss", Requests: 200, Failed: 1, ByClass: map[load.Class]int{load.ClassTimeout: 1},
		Failures: []load.Failure{{Sent: at(sent), At: at(known), Class: load.ClassTimeout}},
	}
}

func TestExpectations(t *testing.T) {
	good := load.Bucket{Phase: "switch/away", Requests: 200, ByCluster: map[string]int{"site-a": 200}, ByVersion: map[string]int{"v2": 200}}
	stray := load.Bucket{Phase: "switch/away", Requests: 200, ByCluster: map[string]int{"site-a": 199, "site-b": 1}, ByVersion: map[string]int{"v1": 1, "v2": 199}}
	unnamed := load.Bucket{Phase: "switch/away", Requests: 200, ByCluster: map[string]int{"": 200}}
	for _, test := range []struct {
		name    string
		check   check
		buckets []load.Bucket
		held    bool
		detail  string
	}{
		{"none failed", noneFailed, []load.Bucket{good}, true, "0 of 200 requests failed"},
		{"one failed", noneFailed, []load.Bucket{good, failedAt(1, 2)}, false, "1 of 400 requests failed: timeout 1"},
		{"no request at all proves nothing", noneFailed, nil, false, "0 of 0 requests failed"},
		{"no failure after the kill", lastFailureSoon(at(10)), []load.Bucket{failedAt(9, 9.5)}, true, "no request failed after the kill"},
		{"last failure in time", lastFailureSoon(at(10)), []load.Bucket{failedAt(12, 17), failedAt(11, 12)}, true,
			"2 failed (timeout 2), the last one sent 2s after the kill and known to have failed at 7s"},
		{"last failure too late", lastFailureSoon(at(10)), []load.Bucket{failedAt(15.1, 16)}, false,
			"1 failed (timeout 1), the last one sent 5.1s after the kill and known to have failed at 6s"},
		{"takeover in time", takeoverSoon(time.Second), nil, true, "longest time without a good answer: 1s"},
		{"takeover too late", takeoverSoon(1001 * time.Millisecond), nil, false, "longest time without a good answer: 1s"},
		{"cluster is empty", notAnsweredBy("site-b", "switch/away"), []load.Bucket{good}, true, "200 answers while it had no traffic: site-a 200"},
		{"cluster is not empty", notAnsweredBy("site-b", "switch/away"), []load.Bucket{good, stray}, false, "400 answers while it had no traffic: site-a 399, site-b 1"},
		{"unnamed answers prove nothing", notAnsweredBy("site-b", "switch/away"), []load.Bucket{unnamed}, false, "200 answers while it had no traffic: (unnamed) 200"},
		{"no answers prove nothing", notAnsweredBy("site-b", "switch/away"), nil, false, "0 answers while it had no traffic: "},
		{"other parts do not count", notAnsweredBy("site-b", "switch"), []load.Bucket{good}, false, "0 answers while it had no traffic: "},
		{"answers again", answeredBy("site-b", "switch/away"), []load.Bucket{stray}, true, "site-a 199, site-b 1"},
		{"only the new version", onlyVersion("v2", "switch/away"), []load.Bucket{good}, true, "v2 200"},
		{"an old version still answers", onlyVersion("v2", "switch/away"), []load.Bucket{good, stray}, false, "v1 1, v2 399"},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := test.check(test.buckets)
			if got.Held != test.held || got.Detail != test.detail {
				t.Errorf("got %v %q, want %v %q", got.Held, got.Detail, test.held, test.detail)
			}
		})
	}
}

func TestRateKept(t *testing.T) {
	if e := rateKept(200, 11_900, time.Minute); !e.Held {
		t.Errorf("got %+v", e)
	}
	if e := rateKept(200, 6_000, time.Minute); e.Held || e.Detail != "100 of 200 requests per second" {
		t.Errorf("got %+v", e)
	}
}

func TestInPhaseTakesItsParts(t *testing.T) {
	buckets := []load.Bucket{{Phase: "switch"}, {Phase: "switch/away"}, {Phase: "switchback"}, {Phase: "scale-up"}}
	if got := inPhase(buckets, "switch"); len(got) != 2 {
		t.Errorf("got %+v", got)
	}
}

// The example of the design: 4 pods at 80 %.
func TestBurnFor(t *testing.T) {
	for _, test := range []struct {
		milli, rate float64
		want        string
	}{{busyMilli, 200, "1.35ms"}, {busyMilli, 400, "550µs"}, {idleMilli, 2000, "0s"}} {
		if got := burnFor(test.milli, test.rate); got != test.want {
			t.Errorf("burnFor(%g, %g) = %s, want %s", test.milli, test.rate, got, test.want)
		}
	}
}

func TestThousands(t *testing.T) {
	for n, want := range map[int]string{0: "0", 999: "999", 1000: "1,000", 1234567: "1,234,567"} {
		if got := thousands(n); got != want {
			t.Errorf("thousands(%d) = %s", n, got)
		}
	}
}
