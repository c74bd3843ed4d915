package e2e

import (
	"testing"
	"time"
)

// shortWindow is the stabilization window while Prometheus lies: an autoscaler
// that believes a lie has shrunk the app long before the lie ends.
const shortWindow = 5 * time.Second

// rules A1, A2, A3: what is wrong, old or partial is not small.
func Test14LyingPrometheus(t *testing.T) {
	platform(t)
	settled(t)
	tr := newTraffic(t)
	tr.say(loaded)
	grown := grows(t, 6)
	since := time.Now()
	proxy := lyingPrometheus(t)
	for i, l := range []lie{
		{name: "nothing", change: nothing},
		{name: "NaN", change: notNumbers},
		{name: "half of the pods", change: everySecond},
		{name: "no answer", hang: true},
		{name: "14 s old", skew: 14 * time.Second},
		{name: "a clock 5 min ahead", skew: 5 * time.Minute},
		{name: "a clock 5 min behind", skew: -5 * time.Minute},
	} {
		proxy.tell(t, l, 1)
		if i == 0 {
			applies(t, manifest(t, "stabilizationSeconds: 30", "stabilizationSeconds: 5"))
		}
		holds(t, grown, 3*shortWindow)
		if n := proxy.times(l.name); n < 2 {
			t.Errorf("%s was told %d times: nothing is shown", l.name, n)
		}
		t.Logf("%s: told %d times", l.name, proxy.times(l.name))
	}
	noScaleDown(t, since)
	tr.whole(firstPhase, "truth")
	tr.say(control{Rate: 10, Burn: "0s"})
	proxy.tell(t, lie{name: "truth"}, 0)
	eventually(t, 2*time.Minute, func() string {
		if a := read[app](t, "get", "app", "hello", "-p", "demo"); a.Status.DesiredReplicas >= grown {
			return "the truth does not shrink the app: whatever was held, was held for another reason"
		}
		return ""
	})
	applies(t, manifest(t, "", ""))
	settled(t)
	tr.finish("truth")
}

// applies applies a manifest, as often as another writer comes first.
func applies(t *testing.T, text string) {
	t.Helper()
	eventually(t, time.Minute, func() string {
		if r := gantry(t, text, "apply", "-f", "-"); r.code != 0 {
			return r.err
		}
		return ""
	})
}
