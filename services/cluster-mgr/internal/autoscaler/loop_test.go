package autoscaler

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"gantry.dev/pkg/fault"
	gantryv1 "gantry.dev/proto/gen/gantry/v1"
	clientv3 "go.etcd.io/etcd/client/v3"
)

func TestARoundScalesWhatNeedsIt(t *testing.T) {
	w := newWorld(t)
	busy, steady := w.app("busy", 4, 0.8), w.app("steady", 4, 0.5)
	w.rounds(1)
	if got := w.desired(busy); got != 6 {
		t.Errorf("busy has %d", got)
	}
	if got := w.desired(steady); got != 4 {
		t.Errorf("steady has %d", got)
	}
	decisions, _, err := w.store.Decisions.List(t.Context(), "")
	if err != nil || len(decisions) != 1 || !strings.HasPrefix(decisions[0].Value.GetFormula(), "4 pods, sum 320 %, target 50 % → 6.4 → 6") {
		t.Errorf("%v, %v", decisions, err)
	}
	if len(w.asked) != 1 {
		t.Errorf("asked %d questions for two apps: %q", len(w.asked), w.asked)
	}
}

// A fleet that is on its target costs no write.
func TestASteadyFleetWritesNothing(t *testing.T) {
	w := newWorld(t)
	for i := range 20 {
		w.app(fmt.Sprintf("app-%d", i), 4, 0.48+float64(i%5)/100)
	}
	w.rounds(1)
	before := w.revision()
	w.rounds(10)
	if after := w.revision(); after != before {
		t.Errorf("%d writes", after-before)
	}
}

// Rules A1 to A3: nothing is taken away while data is missing, whatever the
// way in which it is.
func TestNothingIsTakenAwayInTheDark(t *testing.T) {
	series := func(pod string, value any) string {
		return fmt.Sprintf(`{"metric":{"cluster":"site-a","namespace":"gantry-pay","pod":%q},"value":[0,"%v"]}`, pod, value)
	}
	whole := func(first any) []string {
		return []string{series("idle-0", first), series("idle-1", 0.1), series("idle-2", 0.1), series("idle-3", 0.1)}
	}
	troubles := map[string]func(http.ResponseWriter, *http.Request){
		"none: the control": nil,
		"dead": func(out http.ResponseWriter, _ *http.Request) {
			http.Error(out, "no", http.StatusServiceUnavailable)
		},
		"empty": func(out http.ResponseWriter, _ *http.Request) { answer(out, "") },
		"half": func(out http.ResponseWriter, _ *http.Request) {
			answer(out, "", series("idle-0", 0.1), series("idle-1", 0.1))
		},
		// All pods are there, so nothing but the trouble itself can hold.
		"NaN":      func(out http.ResponseWriter, _ *http.Request) { answer(out, "", whole("NaN")...) },
		"negative": func(out http.ResponseWriter, _ *http.Request) { answer(out, "", whole(-0.1)...) },
		"infinite": func(out http.ResponseWriter, _ *http.Request) { answer(out, "", whole("+Inf")...) },
		"twice": func(out http.ResponseWriter, _ *http.Request) {
			answer(out, "", append(whole(0.1), series("idle-0", 0.2))...)
		},
		"a warning": func(out http.ResponseWriter, _ *http.Request) { answer(out, `"partial"`, whole(0.1)...) },
		"no JSON":   func(out http.ResponseWriter, _ *http.Request) { fmt.Fprint(out, "<html>") },
	}
	for name, trouble := range troubles {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			app := w.app("idle", 4, 0.1)
			w.rounds(1) // seen once while all was well
			w.trouble = trouble
			asked := len(w.asked)
			w.rounds(5)
			switch got := w.desired(app); {
			case len(w.asked) == asked:
				t.Error("nobody asked")
			case trouble == nil && got != 1:
				t.Errorf("the control was not scaled down: %d", got)
			case trouble != nil && got != 4:
				t.Errorf("scaled to %d", got)
			}
		})
	}
}

// rule A4
func TestALongHoldAlarms(t *testing.T) {
	w := newWorld(t)
	app := w.app("idle", 4, 0.1)
	w.trouble = func(out http.ResponseWriter, _ *http.Request) { answer(out, "") }
	w.rounds(1)
	firing := func() bool {
		alarms, _, err := w.store.Alarms.List(t.Context(), "")
		if err != nil {
			t.Fatal(err)
		}
		return len(alarms) == 1 && alarms[0].Value.GetSubject() == app && alarms[0].Value.GetState() == gantryv1.Alarm_STATE_FIRING
	}
	w.now = w.now.Add(599 * time.Second)
	if w.rounds(1); !firing() {
		t.Error("no alarm after ten minutes")
	}
	w.trouble = nil
	if w.rounds(1); firing() {
		t.Error("the alarm goes on after the data came back")
	}
}

// A Prometheus that hangs holds its own apps and delays the others by its
// patience only.
func TestAHungPrometheusEndsTheRound(t *testing.T) {
	w := newWorld(t)
	app := w.app("idle", 4, 0.1)
	release := make(chan struct{})
	defer close(release)
	w.trouble = func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-release:
		case <-r.Context().Done():
		}
	}
	start := time.Now()
	w.rounds(1)
	if took := time.Since(start); took > 2*mostPatience {
		t.Errorf("the round took %v", took)
	}
	if got := w.desired(app); got != 4 {
		t.Errorf("scaled to %d", got)
	}
}

// rule S1
func TestAFormerLeaderScalesNothing(t *testing.T) {
	w := newWorld(t)
	app := w.app("busy", 4, 0.8)
	if r, err := w.client.Delete(t.Context(), "/test/leader", clientv3.WithPrefix()); err != nil || r.Deleted == 0 {
		t.Fatal(r, err)
	}
	w.now = w.now.Add(time.Hour)
	if err := w.loop.look(t.Context(), w.now); !fault.HasReason(err, "NOT_LEADER") {
		t.Errorf("got %v", err)
	}
	if got := w.desired(app); got != 4 {
		t.Errorf("scaled to %d", got)
	}
}

func TestAnAppsOwnQueryScales(t *testing.T) {
	w := newWorld(t)
	app := w.app("worker", 2, 0.1, func(a *gantryv1.Autoscale) {
		a.Metrics = []*gantryv1.ScaleMetric{{Query: "sum(jobs_waiting)", TargetValue: 10}}
	})
	w.trouble = func(out http.ResponseWriter, _ *http.Request) { answer(out, "", `{"metric":{},"value":[0,"70"]}`) }
	w.rounds(1)
	if got := w.desired(app); got != 7 {
		t.Errorf("scaled to %d", got)
	}
	if len(w.asked) != 1 || !strings.Contains(w.asked[0], `jobs_waiting{cluster="site-a",namespace="gantry-pay"}`) {
		t.Errorf("asked %q", w.asked)
	}
}

func TestToZeroAndBackByARequest(t *testing.T) {
	w := newWorld(t)
	app := w.app("sleeper", 1, 0.01, func(a *gantryv1.Autoscale) {
		a.MinReplicas, a.ScaleToZero, a.IdleSeconds = 0, true, 60
	})
	w.rounds(1)
	w.now = w.now.Add(2 * time.Minute)
	if w.rounds(1); w.desired(app) != 1 {
		t.Fatal("it was ended though no load balancer node speaks of it")
	}
	for range 3 { // a node that answers now and then is not trusted either
		w.now = w.now.Add(70 * time.Second)
		w.hears(app, 10, 0)
		w.now = w.now.Add(10 * time.Second)
		if w.rounds(1); w.desired(app) != 1 {
			t.Fatal("it was ended on an old answer")
		}
	}
	w.hears(app, 10, 0)
	w.rounds(1)
	for range 40 {
		w.hears(app, 10, 0)
		w.rounds(1)
	}
	if got := w.desired(app); got != 0 {
		t.Fatalf("after more than a minute without a request it has %d", got)
	}
	w.hears(app, 11, 1)
	w.loop.last = w.now // its next round is not due
	if err := w.loop.look(t.Context(), w.now.Add(time.Second)); err != nil {
		t.Fatal(err)
	}
	if got := w.desired(app); got != 1 {
		t.Errorf("a held request woke %d", got)
	}
}

func TestAScheduleAndAPause(t *testing.T) {
	w := newWorld(t)
	scheduled := w.app("scheduled", 2, 0.5, func(a *gantryv1.Autoscale) {
		a.Schedules = []*gantryv1.ScaleSchedule{{Name: "always", Cron: "* * * * *", DurationSeconds: 120, MinReplicas: 5}}
	})
	paused := w.app("paused", 2, 2, func(a *gantryv1.Autoscale) { a.Paused = true })
	w.rounds(1)
	if got := w.desired(scheduled); got != 5 {
		t.Errorf("scheduled has %d", got)
	}
	if got := w.desired(paused); got != 2 {
		t.Errorf("paused has %d", got)
	}
}
